"""Finished trainings that MLflow has not got: kept while they may still be logged, with what they learnt from."""

import fcntl
import json
import os

from tasks.tracking.client import connect
from tasks.tracking.kept_training import KeptTraining
from tasks.tracking.registry import TRAINING_TAG
from tests.pruning.conftest import PrunedHome, age, by_name, disk_bytes, names
from tests.reelsift.test_cli import reelsift
from tests.support.classifiers import registered, trained


def test_trainings_go_when_mlflow_has_them_or_nobody_asks_for_them_any_more(pruned: PrunedHome) -> None:
    versions = [pruned.publish(letters, days_ago=90) for letters in ("a", "ab", "abc", "abcd")]
    dataset = {
        name: f"cooking/{version.id}" for name, version in zip(["old", "logged", "held", "new"], versions, strict=True)
    }
    kept = {name: KeptTraining(pruned.store.kept / name) for name in dataset}
    for name, training in kept.items():
        training.save(trained(), dataset[name])
    row = registered(pruned.store, alias="champion")
    connect(pruned.store).set_model_version_tag(row.name, str(row.version), TRAINING_TAG, kept["logged"].name)
    cut_off = pruned.store.kept / "cut off"
    cut_off.mkdir()
    (cut_off / "model.safetensors").write_bytes(b"begun")
    for folder in (kept["old"].folder, kept["held"].folder, cut_off):
        age(folder, 40)
    sizes = {name: disk_bytes(training.folder) for name, training in kept.items()}

    plan = pruned.plan()
    stays = {each.name: each.why for each in plan.stays}
    assert stays[f"{dataset['new']} logistic"] == "MLflow has not got it yet: the same training logs it"
    goes = by_name(plan.goes)
    assert [goes[f"{dataset[name]} logistic"].size_bytes for name in ("old", "logged")] == [
        sizes["old"],
        sizes["logged"],
    ]
    # What one that stays learnt from stays as well; nobody holds `held` yet.
    assert {name for name in dataset if dataset[name] in goes} == {"old", "logged", "held"}

    descriptor = os.open(kept["held"].folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # as `train` holds it while it logs
    try:
        run = reelsift("prune", "--yes", "--keep", 1, "--json", home=pruned.root)
    finally:
        os.close(descriptor)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    gone = {item["name"]: item["size_bytes"] for item in answer["goes"] if item["kind"] == "kept training"}
    assert gone == {f"{dataset[name]} logistic": sizes[name] for name in ("old", "logged")} | {"cut off": 5}
    assert answer["spared"] == []
    left = {path.name for path in pruned.store.kept.iterdir()}
    assert left == {"held", "new"}
    assert all(kept[name].load() for name in left)
    assert {path.name for path in (pruned.root / "datasets" / "cooking").glob("ds-*")} >= {
        versions[2].id,
        versions[3].id,
    }
    assert not (pruned.root / "datasets" / dataset["old"]).exists()


def test_nothing_is_known_of_trainings_where_the_registry_cannot_be_read(pruned: PrunedHome) -> None:
    training = KeptTraining(pruned.store.kept / "key")
    training.save(trained(), "cooking/ds-0123456789ab")
    age(training.folder, 40)
    pruning = pruned.pruning()
    assert names(pruning.plan().goes) == ["cooking/ds-0123456789ab logistic"]
    away = PrunedHome(pruned.root, pruned.store.model_copy(update={"uri": "http://127.0.0.1:9"}))
    assert not away.plan().goes
    (outcome,) = away.pruning().carry_out(pruning.plan())
    assert outcome.spared.startswith("No MLflow server")
    training.load()  # somebody asks for it
    assert not pruned.plan().goes
    assert training.folder.exists()
