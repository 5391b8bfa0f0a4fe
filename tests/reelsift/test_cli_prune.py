"""`reelsift prune` as a person meets it, and the flow runs of a real Prefect server."""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, get_client, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Running
from typer.testing import CliRunner

from reelsift.cli import app
from reelsift.prune import _flow_names
from tasks.prune_flow_runs import find_flow_runs, remove_flow_runs
from tests.reelsift.test_cli import reelsift


@flow(name="prepare-dataset")
def ours() -> None:
    create_markdown_artifact("what it has to show", key="shown")
    get_run_logger().info("what it has to tell")


@flow(name="of-somebody-else")
def theirs() -> None: ...


def run_of(made: object) -> UUID:
    """Run a flow for real and return its run's id."""
    return made(return_state=True).state_details.flow_run_id  # pyright: ignore[reportCallIssue]


def is_there(run_id: UUID) -> bool:
    with get_client(sync_client=True) as client:
        try:
            client.read_flow_run(run_id)
        except ObjectNotFound:
            return False
        return True


def left_of(run_id: UUID) -> list[str]:
    """The artifacts and lines of log that a run has left."""
    with get_client(sync_client=True) as client:
        made = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        told = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
        artifacts = [str(each.key) for each in client.read_artifacts(artifact_filter=made)]
        return [*artifacts, *(each.message for each in client.read_logs(log_filter=told))]


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.usefixtures("prefect_server")
def test_flow_runs_that_ended_long_ago_go_with_what_they_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    home = tmp_path / "home"
    gone, needed, strangers = run_of(ours), run_of(ours), run_of(theirs)
    with get_client(sync_client=True) as client:
        running = client.create_flow_run(ours, state=Running()).id
    wait_until(lambda: "Finished in state Completed()" in left_of(gone))  # logs are sent in the background
    assert {"shown", "what it has to tell"} <= set(left_of(gone))
    now = datetime.now(UTC)
    reasons = {str(needed): "it trained cooking/1, champion of cooking,"}
    assert not find_flow_runs(_flow_names(), now - timedelta(days=30), reasons).goes
    found = find_flow_runs(_flow_names(), now, reasons)
    going, staying = ({item.name for item in side} for side in (found.goes, found.stays))
    assert str(gone) in going
    assert not going & {str(needed), str(running), str(strangers)}
    assert str(needed) in staying
    chosen = [item for item in found.goes if item.name == str(gone)]
    assert [outcome.spared for outcome in remove_flow_runs(chosen)] == [""]
    assert [outcome.spared for outcome in remove_flow_runs(chosen)] == ["it is gone already"]
    wait_until(lambda: not left_of(gone))  # the server deletes logs in its own time
    run = reelsift(
        "prune", "--older-than", "0h", "--yes", "--json", home=home, PREFECT_API_URL=str(PREFECT_API_URL.value())
    )
    answer = json.loads(run.stdout)
    assert (run.returncode, answer["dry_run"], answer["spared"]) == (0, False, [])
    assert str(needed) in {item["name"] for item in answer["goes"]}
    assert [is_there(each) for each in (gone, needed, running, strangers)] == [False, False, True, True]


def test_a_registry_that_cannot_be_read_is_an_error_and_keeps_what_it_may_name(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = reelsift(
        "prune",
        "--yes",
        home=home,
        REELSIFT_TRACKING__URI="http://127.0.0.1:9",  # where nothing answers
        PREFECT_API_URL="http://127.0.0.1:9/api",
    )
    assert run.returncode == 1
    assert run.stdout == "0 things are gone, which freed 0 B.\n"
    assert "No MLflow server answers at http://127.0.0.1:9" in run.stderr
    assert "Nothing that a model might refer to is pruned: datasets, runs and models stay." in run.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--older-than", "soon"], id="age"),
        pytest.param(["--older-than", "-3d"], id="negative-age"),
        pytest.param(["--keep", "0"], id="keep"),
    ],
)
def test_a_wrong_usage_exits_with_2(options: list[str]) -> None:
    assert CliRunner().invoke(app, ["prune", *options]).exit_code == 2


def test_flows_have_the_names_of_their_files() -> None:
    """By that, flow runs of others on the same server are left alone."""
    from flows.label_videos import label_videos
    from flows.pipeline import pipeline
    from flows.train_classifier import train_classifier

    assert {each.name for each in (label_videos, pipeline, train_classifier, ours)} <= _flow_names()
    assert theirs.name not in _flow_names()
