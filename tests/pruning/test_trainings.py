"""Finished trainings that MLflow has not got: kept while they may still be logged, with what they learnt from."""

import fcntl
import json
import os

import pytest

from tasks.tracking.candidate import Candidate
from tasks.tracking.client import connect
from tasks.tracking.kept_training import CandidateNote, KeptTraining
from tasks.tracking.registry import TRAINING_TAG
from tests.pruning.conftest import PrunedHome, age, by_name, disk_bytes, names
from tests.support.classifiers import registered, trained
from tests.support.in_process import run_here


def test_trainings_go_when_mlflow_has_them_or_nobody_asks_for_them_any_more(
    pruned: PrunedHome, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
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
        words = ("prune", "--yes", "--keep", 1, "--json")
        run = run_here(*words, home=pruned.root, monkeypatch=monkeypatch, capfd=capfd)
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


def test_notes_of_trainings_go_when_the_registry_has_no_such_model(pruned: PrunedHome) -> None:
    row = registered(pruned.store, alias="champion")
    elsewhere = pruned.store.model_copy(update={"uri": "http://127.0.0.1:9"})
    of = {"there": row.run_id, "gone": "gone", "new": "gone", "elsewhere": "gone", "held": "gone"}
    for number, (key, run_id) in enumerate(of.items()):
        candidate = Candidate(
            name="cooking", version=number, kind="moe", run_id=run_id, experiment_id="1", dataset_id="ds-0123456789ab",
            metrics={}, seconds=1.0, run_url="http://127.0.0.1:5000/r", model_url="http://127.0.0.1:5000/m",
        )  # fmt: skip
        CandidateNote.of(pruned.store, key).write(candidate, elsewhere if key == "elsewhere" else pruned.store)
    (pruned.store.notes / "damaged.json").write_text('{"name": ')
    (pruned.store.notes / "theirs.txt").write_text("of somebody else")
    for path in pruned.store.notes.iterdir():
        age(path, 0 if path.stem == "new" else 40)

    plan = pruned.plan()
    assert {item.name: item.why for item in plan.goes} == {
        "cooking/1": "its model is not in MLflow any more",
        "cooking/4": "its model is not in MLflow any more",
        "damaged.json": "it is damaged",
    }
    assert all(item.path and item.size_bytes == item.path.stat().st_size for item in plan.goes)
    assert CandidateNote.of(pruned.store, "held").read()  # somebody asks for it meanwhile
    outcomes = list(pruned.pruning().carry_out(plan))
    assert [each.item.name for each in outcomes if each.spared] == ["cooking/4"]
    left = {path.name for path in pruned.store.notes.iterdir()}
    assert left == {"there.json", "new.json", "elsewhere.json", "held.json", "theirs.txt"}
