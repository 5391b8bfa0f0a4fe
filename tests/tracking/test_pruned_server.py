"""Runs of a server are pruned: those of the home's own database with their files; without access, none."""

from pathlib import Path

import pytest

from tasks.pruning.items import Outcome
from tasks.tracking.client import MlflowClient, MlflowException, connect
from tasks.tracking.registry import DATASET_TAG, KIND_TAG
from tasks.tracking.store import TrackingStore, tracking_store
from tests.pruning.conftest import PrunedHome, disk_bytes
from tests.support.classifiers import DATASET_ID
from tests.support.mlflow_servers import RunningMlflow


def failed_run(client: MlflowClient) -> str:
    known = client.get_experiment_by_name("pruned")
    experiment_id = known.experiment_id if known else client.create_experiment("pruned")
    run_id = client.create_run(experiment_id, tags={DATASET_TAG: DATASET_ID, KIND_TAG: "moe"}).info.run_id
    client.log_text(run_id, "figures" * 100, "evaluation.json")
    client.set_terminated(run_id, "FAILED")
    return run_id


def prune_only(pruned: PrunedHome, names: set[str]) -> list[Outcome]:
    """Prune some of what would go: the server is other tests' as well."""
    pruning = pruned.pruning(in_days=60)
    plan = pruning.plan()
    chosen = tuple(item for item in plan.goes if item.name in names)
    return list(pruning.carry_out(plan.model_copy(update={"goes": chosen})))


def test_runs_of_the_homes_own_server_are_forgotten(remote: TrackingStore, mlflow_server: RunningMlflow) -> None:
    root, files = mlflow_server.home.root, mlflow_server.home.models / "artifacts"
    client, home = connect(remote), PrunedHome(root, tracking_store(root, remote.uri))
    run_id = failed_run(client)
    before = disk_bytes(files)
    (outcome,) = prune_only(home, {run_id})
    assert (outcome.spared, outcome.freed_bytes) == ("", before - disk_bytes(files))
    assert outcome.freed_bytes == 700
    with pytest.raises(MlflowException, match="not found"):
        client.get_run(run_id)


def test_runs_of_another_homes_server_are_hidden_once(remote: TrackingStore, tmp_path: Path) -> None:
    client = connect(remote)
    elsewhere = PrunedHome(tmp_path / "home", tracking_store(tmp_path / "home", remote.uri))
    run_id = failed_run(client)
    (outcome,) = prune_only(elsewhere, {run_id})
    assert (outcome.freed_bytes, outcome.spared) == (0, "")
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert run_id not in {item.name for item in elsewhere.plan(in_days=60).goes}


def test_without_the_password_nothing_goes_that_a_model_may_name(
    remote: TrackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = failed_run(connect(remote))
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    plan = PrunedHome(remote.folder.parent, remote).plan(in_days=60)
    assert "Nothing that a model might refer to is pruned" in plan.problem
    assert run_id not in {item.name for item in plan.goes}
