"""Runs that came to nothing go, and models without an alias if asked for; with their files, and nobody else's."""

from pathlib import Path
from typing import Any

import pytest

from tasks.pruning.items import Kind
from tasks.tracking.client import MlflowClient, MlflowException, connect
from tasks.tracking.loading import load_classifier
from tasks.tracking.registry import DATASET_TAG, KIND_TAG, ModelRow
from tests.datasets.made import contents
from tests.pruning.conftest import PrunedHome, disk_bytes, names
from tests.support.classifiers import registered

LATER: dict[str, Any] = {"in_days": 60}


@pytest.fixture
def client(pruned: PrunedHome) -> MlflowClient:
    return connect(pruned.store)


def logged_run(
    client: MlflowClient, pruned: PrunedHome, status: str, *, tags: dict[str, str] | None = None, name: str = "cooking"
) -> str:
    """A run with a file of its own, as `log_candidate` would tag it."""
    known = client.get_experiment_by_name(name)
    experiment_id = known.experiment_id if known else client.create_experiment(name, pruned.store.artifact_root)
    ours = {DATASET_TAG: "ds-0123456789ab", KIND_TAG: "moe"}
    run_id = client.create_run(experiment_id, tags=ours if tags is None else tags).info.run_id
    client.log_text(run_id, "figures" * 100, "evaluation.json")
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def is_known(client: MlflowClient, run_id: str) -> bool:
    try:
        client.get_run(run_id)
    except MlflowException:
        return False
    return True


def test_runs_that_came_to_nothing_go_with_their_files(pruned: PrunedHome, client: MlflowClient) -> None:
    statuses = {status: logged_run(client, pruned, status) for status in ("FAILED", "FINISHED", "RUNNING")}
    hidden = logged_run(client, pruned, "FAILED")
    client.delete_run(hidden)
    strangers = logged_run(client, pruned, "FAILED", tags={"theirs": "yes"})
    row = registered(pruned.store)
    assert not pruned.plan().goes, "all of them are new"
    plan = pruned.plan(**LATER)
    assert {item.name: item.why for item in plan.goes} == {
        statuses["FAILED"]: "it failed",
        statuses["FINISHED"]: "its model was never registered",
        statuses["RUNNING"]: "it never ended",
        hidden: "it was deleted in MLflow",
    }
    before = disk_bytes(pruned.root / "mlflow" / "artifacts")
    outcomes = pruned.prune(**LATER)
    assert not any(outcome.spared for outcome in outcomes)
    freed = before - disk_bytes(pruned.root / "mlflow" / "artifacts")
    assert sum(outcome.freed_bytes for outcome in outcomes) == plan.freed_bytes == freed == 4 * 700
    assert [is_known(client, each) for each in (*statuses.values(), hidden)] == [False] * 4
    assert is_known(client, strangers)
    assert is_known(client, row.run_id)
    assert client.download_artifacts(strangers, "evaluation.json")


def test_models_go_only_if_asked_for_and_without_an_alias(pruned: PrunedHome, client: MlflowClient) -> None:
    rows = [registered(pruned.store, alias=alias) for alias in ("champion", None, None, None)]
    dataset = pruned.publish("a", days_ago=90)
    pruned.publish("ab", days_ago=80)
    refer(client, rows[1], dataset.id)
    kept = {each.name: each.why for each in pruned.plan(keep=1, **LATER).stays}
    assert kept["cooking/1"] == "it is champion"
    assert kept["cooking/2"] == "it is registered; `--models` lets versions go that have no alias"
    assert kept[f"cooking/{dataset.id}"] == "cooking/2 was trained on it"
    plan = pruned.plan(keep=1, models=True, **LATER)
    assert names(plan.goes)[:3] == ["cooking/3", "cooking/2", f"cooking/{dataset.id}"]
    assert {each.name: each.why for each in plan.stays}["cooking/4"] == "one of the newest 1 of cooking"
    pruning = pruned.pruning(keep=1, models=True, **LATER)
    plan = pruning.plan()
    client.set_registered_model_alias("cooking", "challenger", "3")
    spared = {outcome.item.name: outcome.spared for outcome in pruning.carry_out(plan)}
    assert spared["cooking/3"] == "it is challenger"
    assert not any(why for name, why in spared.items() if name != "cooking/3")
    assert {int(each.version) for each in client.search_model_versions()} == {1, 3, 4}
    assert [is_known(client, row.run_id) for row in rows] == [True, False, True, True]
    assert not pruned.folders.folder(dataset).exists()
    assert load_classifier(pruned.store, rows[0]).label_ids == (0, 1, 2)
    assert len(list((pruned.root / "mlflow" / "artifacts").rglob("*.safetensors"))) == 3


def refer(client: MlflowClient, row: ModelRow, dataset_id: str) -> None:
    client.set_model_version_tag(row.name, str(row.version), DATASET_TAG, dataset_id)


def test_a_young_run_keeps_its_dataset_and_an_old_one_lets_it_go(pruned: PrunedHome, client: MlflowClient) -> None:
    dataset = pruned.publish("a", days_ago=90)
    pruned.publish("ab", days_ago=80)
    run_id = logged_run(client, pruned, "FAILED", tags={DATASET_TAG: dataset.id, KIND_TAG: "moe"})
    assert not [item for item in pruned.plan().goes if item.kind is Kind.DATASET]
    assert names(pruned.plan(**LATER).goes)[:2] == [run_id, f"cooking/{dataset.id}"]


@pytest.mark.parametrize("target", ["datasets", "outside", "parent"])
def test_a_store_that_names_other_files_as_a_runs_own_loses_nobody_anything(
    pruned: PrunedHome, client: MlflowClient, tmp_path: Path, target: str
) -> None:
    """Whoever writes to the database can name any folder as the artifacts of a run."""
    pruned.publish("ab")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    root = {
        "datasets": pruned.folders.root.as_uri(),
        "outside": outside.as_uri(),
        "parent": f"{pruned.root.as_uri()}/mlflow/../../outside",
    }[target]
    experiment_id = client.create_experiment("hostile", root)
    run = client.create_run(experiment_id, tags={DATASET_TAG: "ds-0123456789ab", KIND_TAG: "moe"})
    client.set_terminated(run.info.run_id, "FAILED")
    if target != "datasets":
        (outside / run.info.run_id).mkdir()
        (outside / run.info.run_id / "also precious").write_text("kept")
    before = contents(pruned.folders.root), contents(outside)
    (outcome,) = pruned.prune(**LATER)
    assert (outcome.freed_bytes, outcome.spared) == (0, "")
    assert (contents(pruned.folders.root), contents(outside)) == before
