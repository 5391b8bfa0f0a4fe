"""What `up` puts right and workers refuse: what somebody else put on the server, and runs whose process is gone."""

import time
from pathlib import Path
from typing import Any

import psutil

from flows.commands.demo_clip import made_clip
from tests.deployments.stack.test_pool import SHORT, clips, form, manifest
from tests.support.local_stack import LocalStack, waited

START_S = 60  # of two processes on a busy machine, and far less than the ten minutes that a cluster's job may take


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
    worker = psutil.Process(stack.parts()[name]["pid"])
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
    run_id = local_stack.start("label-videos", {"sources": [str(made_clip(tmp_path))]})
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
    run_id = local_stack.start("detect-objects", form(sources))

    def taken() -> list[str]:
        labels = (each.get("labels") or {} for each in local_stack.batches(run_id))
        return [str(label["prefect.worker.name"]) for label in labels if "prefect.worker.name" in label]

    waited(lambda: bool(taken()), START_S, "a worker to take a batch up")
    victim = taken()[0]
    kill_worker(local_stack, victim)
    folder = local_stack.home / "batches" / run_id
    assert not list(folder.glob("*.rows.jsonl"))  # it had not begun
    began_s = time.monotonic()
    assert local_stack.ended(run_id, 150)["state_type"] == "COMPLETED"
    print(f"{time.monotonic() - began_s:.1f} s from the kill of {victim} to the end of the whole run")
    assert {row.status for row in manifest(local_stack, run_id)} == {"done"}
    states = sorted(batch["state_type"] for batch in local_stack.batches(run_id))
    assert "CRASHED" in states
    local_stack.up("--gpu-workers", "2")
