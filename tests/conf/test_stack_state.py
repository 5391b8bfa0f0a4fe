"""What a home's files tell of its stack: the same process, at its own port, and a password for its owner alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from conf.home import Home
from conf.stack_state import (
    AUTH_VARIABLE,
    RunningPart,
    StackState,
    age_s,
    credentials_in_force,
    home_credentials,
    process_identity,
    running_part,
    write_state,
)
from deployments.stack.options import StackOptions, credentials_for, login_source
from deployments.stack.plan import StackPart
from deployments.stack.prefect_api import PrefectApi
from deployments.stack.running import Health
from tasks.contracts.errors import AccessError

SERVER = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1")


def part_of(pid: int, port: int | None = None) -> RunningPart:
    identity = process_identity(pid)
    return RunningPart(name="prefect", pid=pid, identity=identity, started_s=0.0, log=Path("log"), port=port)


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run something until the block ends."""
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def test_a_process_is_the_same_whatever_the_clock_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the machine is not set here: what a step of two seconds does to psutil is done to psutil."""
    part = part_of(os.getpid())
    before_s = psutil.Process().create_time()
    boot_s = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot_s + 2.0)
    assert psutil.Process().create_time() == pytest.approx(before_s + 2.0, abs=0.1)
    assert part.is_alive
    assert process_identity(os.getpid()) == part.identity


def test_the_identity_is_that_of_the_kernel() -> None:
    boot, _, ticks = process_identity(os.getpid()).partition(":")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    counted = subprocess.run(
        ["ps", "-o", "etimes=", "-p", str(os.getpid())], check=False, capture_output=True, text=True
    )
    if counted.returncode == 0:
        assert age_s(os.getpid()) == pytest.approx(int(counted.stdout), abs=2)
    assert int(ticks) > 0


def test_another_process_of_the_same_number_and_a_dead_one_are_not_it() -> None:
    with process("sleep", "60") as run:
        part = part_of(run.pid)
        assert part.is_alive
        assert not part.model_copy(update={"identity": process_identity(os.getpid())}).is_alive
        run.send_signal(signal.SIGKILL)
        deadline_s = time.monotonic() + 10
        while psutil.Process(run.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline_s
        assert not part.is_alive  # nobody has asked after it yet


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def test_a_server_is_ready_at_its_own_port_alone(tmp_path: Path) -> None:
    """Of two homes that start at the same ports at once, the second one's server finds the first one's there."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    part = StackPart(name="prefect", command=(), environment={}, port=port, health_url=url)
    with process(*SERVER, str(port)) as first, process("sleep", "60") as second:
        with closing(PrefectApi(url, None)) as api:
            health = Health(api)
            deadline_s = time.monotonic() + 20
            while not health.is_ready(part, part_of(first.pid, port)):
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
            assert api.get(url).is_success
            assert not health.is_ready(part, part_of(second.pid, port))
        for run, found in ((first, True), (second, False)):
            write_state(Home(tmp_path), StackState(options={}, parts=(part_of(run.pid, port),)))
            assert (running_part(Home(tmp_path), "prefect") is not None) == found


def test_a_password_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home_credentials(home) is None
    made = home_credentials(home, create=True)
    assert made is not None
    assert made == home_credentials(home, create=True) == home_credentials(home)
    assert made.password not in repr(made)
    path = home.stack / "password"
    assert (path.stat().st_mode & 0o777, path.read_text()) == (0o600, f"{made.auth_string}\n")
    path.chmod(0o640)
    with pytest.raises(AccessError, match=r"Others can read the stack's password in .*password\. Delete the file"):
        home_credentials(home)
    path.chmod(0o600)
    path.write_text("nothing")
    with pytest.raises(AccessError, match="holds no USER:PASSWORD"):
        home_credentials(home)


def test_where_the_password_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.delenv(AUTH_VARIABLE, raising=False)
    assert login_source("127.0.0.1", no_password=False) == "home"
    assert login_source("127.0.0.1", no_password=True) == "none"
    with pytest.raises(AccessError, match=r"Others could reach 0\.0\.0\.0: leave out --no-password"):
        login_source("0.0.0.0", no_password=True)
    made = credentials_for(StackOptions(), home, create=True)
    write_state(home, StackState(options=StackOptions().model_dump()))
    assert credentials_in_force(home) == made
    with pytest.raises(AccessError, match=f"password from {AUTH_VARIABLE}: set it to the same"):
        credentials_for(StackOptions(login="environment"), home)

    monkeypatch.setenv(AUTH_VARIABLE, "me:correct-horse-battery")
    assert login_source("127.0.0.1", no_password=False) == "environment"
    given = credentials_for(StackOptions(login="environment"), home)
    assert given is not None
    assert given.auth_string == "me:correct-horse-battery"
    write_state(home, StackState(options=StackOptions(login="environment").model_dump()))
    assert credentials_in_force(home) == given
    assert credentials_for(StackOptions(login="none"), home) is None
    assert "correct-horse" not in (home.stack / "state.json").read_text()
