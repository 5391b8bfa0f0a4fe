"""The local stack as a person has it: up, looked after, mended, down."""

import os
import select
import signal
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest

from conf.stack_state import AUTH_VARIABLE
from tasks.tracking.store import tracking_store
from tests.deployments.stack.conftest import processes_of
from tests.support.classifiers import registered
from tests.support.local_stack import REELSIFT, LocalStack, clean_environment, waited
from tests.support.published import champion_events

FOLLOWS_WITHIN_S = 60.0  # a command, on a busy machine
PARTS = ["prefect", "mlflow", "cpu-0", "gpu-0", "gpu-1"]


def test_every_part_is_ready_and_bound_to_this_machine(local_stack: LocalStack) -> None:
    parts = local_stack.parts()
    assert list(parts) == PARTS
    assert {part["state"] for part in parts.values()} == {"ready"}
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", local_stack.prefect_port))


def test_other_options_are_refused_while_it_runs(local_stack: LocalStack) -> None:
    run = local_stack.command("up", *local_stack.ports, "--gpu-workers", "3")
    assert run.returncode == 1
    assert "A stack runs here with other options (gpu_workers 2): `reelsift down`" in run.stderr
    named = local_stack.command("up", *local_stack.ports, "--gpu-workers", "2", "--public-name", "box.example")
    assert named.returncode == 1
    assert "A stack runs here with other options (public_name None)" in named.stderr


def test_safety_is_not_switched_off_while_it_runs(local_stack: LocalStack) -> None:
    same = ("--gpu-workers", "2")
    for run, differs in (
        (local_stack.command("up", *local_stack.ports, *same, "--keep-foreign"), "keep_foreign False"),
        (local_stack.command("up", *local_stack.ports, *same, "--no-password"), "login home"),
    ):
        assert run.returncode == 1
        assert f"A stack runs here with other options ({differs}): `reelsift down`" in run.stderr


def test_logs_are_shown_by_part(local_stack: LocalStack) -> None:
    for _ in range(2):  # the server logs what it refuses, and little else
        httpx.get(f"http://127.0.0.1:{local_stack.prefect_port}/api/health", headers={"Host": "evil.example"})
    assert "Worker 'gpu-0' started!" in local_stack.command("logs", "gpu-0", "--lines", "1000").stdout
    assert len(local_stack.command("logs", "prefect", "-n", "2").stdout.splitlines()) == 2
    unknown = local_stack.command("logs", "gpu-7")
    assert unknown.returncode == 1
    assert "The stack has no part 'gpu-7'; there are prefect, mlflow, cpu-0, gpu-0, gpu-1." in unknown.stderr


def test_a_log_is_followed_until_ctrl_c(local_stack: LocalStack) -> None:
    assert local_stack.command("logs", "prefect", "-f", "--lines", "x").returncode == 2
    command = [str(REELSIFT), "logs", "prefect", "--follow", "--lines", "0"]
    with subprocess.Popen(command, env=local_stack.environment, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        log = local_stack.home / "stack" / "prefect.log"
        output = follower.stdout

        def follows() -> bool:
            with log.open("a") as file:
                file.write("a line\n")
            return bool(select.select([output], [], [], 0.1)[0])

        waited(follows, FOLLOWS_WITHIN_S, "the command to follow the log")
        with log.open("a") as file:
            file.write("a line that came later\n")
        lines = iter(output.readline, "")
        assert any("a line that came later" in line for line in lines)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(timeout=30) == 130


def test_the_password_is_in_one_file_that_only_its_owner_reads(local_stack: LocalStack) -> None:
    user, password = local_stack.login
    assert (user, len(password) >= 24) == ("reelsift", True)
    folder = local_stack.home / "stack"
    holders = [
        path for path in local_stack.home.rglob("*") if path.is_file() and password.encode() in path.read_bytes()
    ]
    assert holders == [folder / "password"]
    assert [path.stat().st_mode & 0o777 for path in (folder, *holders)] == [0o700, 0o600]
    lines = [line for line in processes_of(local_stack.home) if password in line]
    assert not lines
    environment = psutil.Process(local_stack.processes()["prefect"])
    assert Path(f"/proc/{environment.pid}/environ").stat().st_mode & 0o077 == 0


def test_up_again_keeps_everything_and_shows_the_way_in(local_stack: LocalStack) -> None:
    """The automation keeps what it has seen: a run that was killed a moment ago would never be found out otherwise."""
    automations = {each["name"]: each for each in local_stack.post("/automations/filter", {})}
    pids = local_stack.processes()
    run = local_stack.command("up", *local_stack.ports, "--gpu-workers", "2")
    assert run.returncode == 0, run.stderr
    assert f"Prefect: log in with  {':'.join(local_stack.login)}" in run.stdout
    assert f"MLflow:  log in as  {local_stack.login[0]}  with  {local_stack.login[1]}" in run.stdout
    assert {name: part["pid"] for name, part in local_stack.parts().items()} == local_stack.processes() == pids
    again = {each["name"]: each for each in local_stack.post("/automations/filter", {})}
    zombies = "crash-zombie-flow-runs"
    assert (again[zombies]["id"], again[zombies]["updated"]) == (
        automations[zombies]["id"],
        automations[zombies]["updated"],
    )


def test_automations_hear_of_a_champion_that_a_command_makes(local_stack: LocalStack) -> None:
    store = tracking_store(local_stack.home)
    for alias in ("previous_champion", "champion"):
        registered(store, "heard", alias=alias)
    began = datetime.now(UTC)
    run = local_stack.command("models", "rollback", "heard")
    assert (run.returncode, run.stdout) == (0, "heard/1 is the champion of heard again.\n"), run.stderr
    assert run.stderr == ""
    (event,) = champion_events(local_stack.post, began)
    assert event["resource"]["prefect.resource.id"] == "reelsift.model.heard.1"
    assert (event["payload"]["champion"], event["payload"]["reason"]) == ("heard/2", "Rolled back from heard/2.")


def test_without_the_password_only_health_answers(local_stack: LocalStack) -> None:
    prefect, mlflow = f"http://127.0.0.1:{local_stack.prefect_port}/api", local_stack.mlflow_url
    assert httpx.get(f"{prefect}/health").status_code == 200
    assert httpx.get(f"{mlflow}/health").status_code == 200
    for path in ("/version", "/admin/settings", "/csrf-token?client=x", f"/flows/{UUID(int=0)}"):
        assert httpx.get(f"{prefect}{path}").status_code == 401, path
    assert httpx.post(f"{prefect}/flow_runs/filter", json={}).status_code == 403  # without the token that needs one
    assert httpx.get(f"{prefect}/version", auth=("reelsift", "wrong-wrong-wrong")).status_code == 401
    experiments = f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(experiments).status_code == 401
    assert httpx.get(experiments, auth=local_stack.login).status_code == 200


def test_pages_of_other_sites_get_nothing_done(local_stack: LocalStack) -> None:
    experiments = f"{local_stack.mlflow_url}/api/2.0/mlflow/experiments/search"
    auth = local_stack.login
    foreign_host = httpx.get(f"{experiments}?max_results=1", headers={"Host": "evil.example"}, auth=auth)
    assert foreign_host.status_code == 403
    foreign = {"Origin": "http://evil.example"}
    assert httpx.post(experiments, json={"max_results": 1}, headers=foreign, auth=auth).status_code == 403
    prefect = f"http://127.0.0.1:{local_stack.prefect_port}/api/flow_runs/filter"
    assert (
        httpx.post(prefect, json={}, auth=auth).status_code == 403
    )  # no token, as another site's page would have none
    asked = {**foreign, "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in httpx.options(prefect, headers=asked).headers


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        pytest.param(["--host", "0.0.0.0", "--no-password"], {}, "leave out --no-password", id="no-password"),
        pytest.param([], {AUTH_VARIABLE: "me:short"}, "12 characters or more", id="short-password-here"),
        pytest.param(["--host", "0.0.0.0"], {AUTH_VARIABLE: "me:short"}, "12 characters or more", id="short-password"),
        pytest.param(
            ["--host", "192.0.2.1"], {AUTH_VARIABLE: "me:correct-horse-battery"}, "Name an address of this", id="host"
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    stack = LocalStack(tmp_path / "home")
    stack.environment = clean_environment(tmp_path / "home", **variables)
    run = stack.command("up", *stack.ports, *arguments)
    assert run.returncode == 1
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "home" / "stack" / "prefect.log").exists()


def test_a_port_in_use_is_told_with_its_owner(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.mlflow_port))
        taken.listen()
        run = stack.command("up", *stack.ports)
    assert run.returncode == 1
    assert f"Port {stack.mlflow_port} is in use by process {os.getpid()}" in run.stderr
    assert "--mlflow-port PORT" in run.stderr


def test_without_a_stack_every_command_says_so(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "home")
    assert "No stack runs in" in stack.command("status").stderr
    assert "No stack runs in" in stack.command("logs", "gpu-0").stderr
    down = stack.command("down")
    assert (down.returncode, "No stack runs in" in down.stdout) == (0, True)
