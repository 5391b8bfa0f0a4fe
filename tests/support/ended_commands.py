"""Commands that are started, caught in the midst of their work, ended by a signal, and looked for afterwards."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from conf.private_server import MARK
from tests.conftest import AUTHORITY

REELSIFT = Path(sys.executable).parent / "reelsift"
GONE_WITHIN_S = 10.0
STARTED_WITHIN_S = 120.0


@contextmanager
def started(home: Path, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the installed command; it is killed in the end, if it still runs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REELSIFT_", "PREFECT_"))}
    process = subprocess.Popen(
        [str(REELSIFT), *map(str, arguments)],
        env=clean | AUTHORITY | {"REELSIFT_HOME": str(home)} | environment,
        cwd=home.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], is_so: Callable[[], object]) -> None:
    """Wait until a command has come so far."""
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while not is_so():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def ended_by(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return the exit code and what was said on stderr."""
    process.send_signal(number)
    _, said = process.communicate(timeout=GONE_WITHIN_S)
    return process.returncode, said


def processes_of(home: Path) -> list[psutil.Process]:
    """Return all processes that were started for a home."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _home(process) == str(home)]


def ports_of(processes: list[psutil.Process]) -> set[int]:
    """Return the ports on which processes listen."""
    connections = [each for process in processes for each in process.net_connections("inet")]
    return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}


def server_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    """Return the private server of a command that runs, once there is one."""
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children():
            with suppress(psutil.Error):
                if MARK in child.environ():
                    return child
    return None


def left_after(home: Path, ports: set[int], within_s: float = GONE_WITHIN_S) -> list[str]:
    """Return the processes of a home and the open ones of the ports that are still there after so long."""
    deadline_s = time.monotonic() + within_s
    while True:
        processes = processes_of(home)
        left = [f"{each.pid}" for each in processes] + [f"port {port}" for port in ports & ports_of_machine()]
        if not left or time.monotonic() > deadline_s:
            return left
        time.sleep(0.1)


def ports_of_machine() -> set[int]:
    """Return all ports on which something listens."""
    connections = psutil.net_connections("inet")
    return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}  # type: ignore[union-attr]


def _home(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get("REELSIFT_HOME")
    except (psutil.Error, OSError):
        return None
