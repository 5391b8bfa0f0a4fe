"""What `up` puts right and workers refuse: what somebody else put on the server, and runs whose process is gone."""

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from tests.deployments.stack.test_pool import LONG, LONG_CLIPS, SHORT, clips, form, manifest
from tests.support.local_stack import LocalStack, waited

START_S = 60  # of two processes on a busy machine, and far less than the ten minutes that a cluster's job may take
RUNS, LOCKED_S = 100, 2.0
LOST = "Failed in consume_loop"


def planted(stack: LocalStack, proof: Path) -> dict[str, Any]:
    """Make a deployment whose runs would write a file before any flow began."""
    flow = stack.post("/flows/", {"name": "planted"})
    step = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {proof}"}}
    about = {
        "name": "planted",
        "flow_id": flow["id"],
        "work_pool_name": "cpu",
        "entrypoint": "flows.label_videos.label_videos",
        "pull_steps": [step],
    }
    return stack.post("/deployments/", about)


def automation(stack: LocalStack, deployment: str) -> dict[str, Any]:
    trigger = {"type": "event", "posture": "Reactive", "expect": ["never"], "threshold": 1, "within": 0}
    action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment}
    return stack.post("/automations/", {"name": "planted", "trigger": trigger, "actions": [action]})


def kill_worker(stack: LocalStack, name: str) -> None:
    """End a worker and all that came of it, as a machine that dies."""
    kill_with_children(psutil.Process(stack.processes()[name]))


def kill_with_children(worker: psutil.Process) -> None:
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()


def test_what_somebody_planted_is_refused_and_switched_off(local_stack: LocalStack, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    deployment = planted(local_stack, proof)
    made = automation(local_stack, deployment["id"])
    started = {"state": {"type": "SCHEDULED"}, "parameters": {}}
    run = local_stack.post(f"/deployments/{deployment['id']}/create_flow_run", started)
    ended = local_stack.ended(run["id"], START_S)
    assert ended["state_type"] == "CRASHED"
    assert "The deployment 'planted' is none of reelsift's" in ended["state"]["message"]
    again = local_stack.command("up", *local_stack.ports, "--gpu-workers", "2")
    assert again.returncode == 0, again.stderr
    told = " ".join(again.stderr.split())
    assert "Deployments that reelsift did not make were paused: 'planted'." in told
    assert "Automations that reelsift did not make were paused: 'planted'." in told
    assert local_stack.api.get(f"/deployments/{deployment['id']}").json()["paused"]
    assert not local_stack.api.get(f"/automations/{made['id']}").json()["enabled"]
    assert not proof.exists()


def test_a_run_takes_no_command_environment_or_folder(local_stack: LocalStack, tmp_path: Path) -> None:
    found = local_stack.api.get("/deployments/name/label-videos/label-videos").json()
    parameters = {"form": {"sources": [str(tmp_path / "x.mp4")]}}
    for name, value in (("command", "touch x"), ("env", {"PYTHONPATH": "x"}), ("working_dir", str(tmp_path))):
        wanted = {"state": {"type": "SCHEDULED"}, "job_variables": {name: value}, "parameters": parameters}
        url = f"/deployments/{found['id']}/create_flow_run"
        answer = local_stack.answered(url, wanted)
        assert (answer.status_code, f"'{name}' was unexpected" in answer.text) == (422, True)


def test_a_run_whose_process_is_gone_is_crashed_by_up(local_stack: LocalStack, tmp_path: Path) -> None:
    sources = clips(tmp_path / "clips", LONG_CLIPS, LONG)  # work enough that it does not end before it is killed
    run_id = local_stack.start("label-videos", {"sources": sources})
    waited(lambda: local_stack.run(run_id)["state_type"] in {"PENDING", "RUNNING"}, START_S, "the run to be taken up")
    waited(lambda: "prefect.worker.name" in local_stack.run(run_id)["labels"], START_S, "its worker to say so")
    kill_worker(local_stack, "cpu-0")
    assert local_stack.run(run_id)["state_type"] in {"PENDING", "RUNNING"}
    again = local_stack.command("up", *local_stack.ports, "--gpu-workers", "2")
    assert again.returncode == 0, again.stderr
    assert "1 run whose process was gone counted as under way, and now as crashed." in " ".join(again.stderr.split())
    ended = local_stack.run(run_id)
    assert (ended["state_type"], "Its process was gone" in ended["state"]["message"]) == ("CRASHED", True)


def test_a_worker_killed_before_the_first_heartbeat_delays_its_batch_by_little(
    local_stack: LocalStack, tmp_path: Path
) -> None:
    sources = clips(tmp_path / "clips", 2, SHORT)
    for _ in range(3):  # on a busy machine the batch may have begun before the kill, which shows nothing
        run_id, had_begun = killed_at_once(local_stack, sources)
        began_s = time.monotonic()
        ended = local_stack.ended(run_id, 150)
        print(f"{time.monotonic() - began_s:.1f} s from the kill to the end of the whole run")
        local_stack.up("--gpu-workers", "2")
        assert ended["state_type"] == "COMPLETED"
        assert {row.status for row in manifest(local_stack, run_id)} == {"done"}
        if not had_begun:
            assert "CRASHED" in {batch["state_type"] for batch in local_stack.batches(run_id)}
            return
    pytest.fail("each batch had begun before its worker could be killed")


def killed_at_once(stack: LocalStack, sources: list[str]) -> tuple[str, bool]:
    """Start a detection, kill the first worker that takes up a batch, and say of which run, and if that had begun."""
    workers = {name: psutil.Process(pid) for name, pid in stack.processes().items()}
    run_id = stack.start("detect-objects", form(sources, again=True))  # other tests have looked at the same clips
    waited(lambda: bool(taken(stack, run_id)), START_S, "a worker to take a batch up")
    kill_with_children(workers[taken(stack, run_id)])
    return run_id, bool(list((stack.home / "batches" / run_id).glob("*.rows.jsonl")))


def taken(stack: LocalStack, run_id: str) -> str:
    """Return the worker that has taken up a batch of a run, or nothing."""
    labels = (each.get("labels") or {} for each in stack.batches(run_id))
    return next((str(label["prefect.worker.name"]) for label in labels if "prefect.worker.name" in label), "")


def test_no_event_is_lost_while_others_write_to_the_database(local_stack: LocalStack) -> None:
    """The automation against zombies first looks whether it follows a run, then notes the event: a reader that writes.

    It must hear that a run has ended even while somebody else has the database's lock, for longer than it takes to try
    four times: else it would call the run dead nine minutes later.
    """
    runs = [str(uuid4()) for _ in range(RUNS)]
    log = local_stack.home / "stack" / "prefect.log"
    already = log.read_text().count(LOST)
    with closing(sqlite3.connect(local_stack.home / "prefect" / "prefect.db", timeout=60)) as database:
        local_stack.post("/events", [_event(run, "heartbeat") for run in runs])
        waited(lambda: set(_heard(database, runs).values()) == {0}, START_S, "the automation to follow the runs")
        database.isolation_level = None
        shown = local_stack.token()  # the server writes it down
        for some in (runs[: RUNS // 2], runs[RUNS // 2 :]):
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE configuration SET updated = updated")
            answer = local_stack.api.post("/events", json=[_event(run, "Completed") for run in some], headers=shown)
            assert answer.is_success, answer.text
            time.sleep(LOCKED_S)
            database.execute("COMMIT")
        waited(lambda: set(_heard(database, runs).values()) == {1}, START_S, "the automation to hear of their ends")
        stored = "SELECT count(*) FROM events WHERE event LIKE 'prefect.flow-run.%' AND resource_id IN ({})"
        ids = [f"prefect.flow-run.{run}" for run in runs]
        query = stored.format(",".join("?" * RUNS))
        waited(lambda: database.execute(query, ids).fetchone() == (2 * RUNS,), START_S, "all events to be stored")
    assert log.read_text().count(LOST) == already


def _event(run: str, what: str) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "event": f"prefect.flow-run.{what}",
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "payload": {},
    }


def _heard(database: sqlite3.Connection, runs: list[str]) -> dict[str, int]:
    """Return how many of the events that it waits for the automation has counted, by the run that it follows."""
    rows = database.execute("SELECT bucketing_key, count FROM automation_bucket")
    found = {key: count for keys, count in rows for key in json.loads(keys)}
    return {run: found.get(f"prefect.flow-run.{run}", -1) for run in runs}
