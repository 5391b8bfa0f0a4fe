"""A real MLflow server on loopback that asks for a password, as `reelsift up` would start it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from conf.home import Home
from conf.stack_state import Credentials
from deployments.stack.options import StackOptions
from deployments.stack.plan import mlflow_server
from tasks.tracking.store import TrackingStore, tracking_store

STARTS_WITHIN_S = 120
STOPS_WITHIN_S = 30


@dataclass(frozen=True)
class RunningMlflow:
    """A server, the home whose database it serves, and who may use it."""

    url: str
    home: Home
    credentials: Credentials
    process: "ServerProcess"

    @property
    def store(self) -> TrackingStore:
        """The server as a store of commands that run elsewhere."""
        return tracking_store(self.home.root.parent / "elsewhere", self.url)

    @property
    def environment(self) -> dict[str, str]:
        """What MLflow's clients read."""
        return {
            "MLFLOW_TRACKING_USERNAME": self.credentials.user,
            "MLFLOW_TRACKING_PASSWORD": self.credentials.password,
        }


@contextmanager
def running_mlflow(home: Home) -> Iterator[RunningMlflow]:
    """Run the server of a home until the block ends."""
    options = StackOptions(mlflow_port=free_port())
    credentials = Credentials("tester", "with ten words: and more")
    part = mlflow_server(home, options, credentials, os.environ)
    home.models.mkdir(parents=True, exist_ok=True)
    with running(part.command, part.environment, home.models, str(part.health_url)) as process:
        yield RunningMlflow(options.url(options.mlflow_port), home, credentials, process)


class ServerProcess:
    """A server with all that comes of it; killed, it can be started again at the same port."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, health_url: str) -> None:
        self._command, self._environment = command, dict(environment)
        self._folder, self._health_url = folder, health_url
        self.start()

    def start(self) -> None:
        """Start it, and return at once."""
        self._log = self._folder / f"server-{time.monotonic_ns()}.log"
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait for its first answer."""
        _wait_until_it_answers(self._health_url, self._process, self._log)

    def kill(self) -> None:
        """Kill it, and all that came of it."""
        _signal_all(self._process.pid, signal.SIGKILL)
        self._process.wait(STOPS_WITHIN_S)

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        _signal_all(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOPS_WITHIN_S)
        finally:
            _signal_all(self._process.pid, signal.SIGKILL)


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, health_url: str
) -> Iterator[ServerProcess]:
    """Run a server from its first answer until the block ends."""
    process = ServerProcess(command, environment, folder, health_url)
    try:
        process.wait()
        yield process
    finally:
        process.stop()


def free_port() -> int:
    """Return a port that is free now: neither server says which it took when given 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"nothing at {url}, exit status {process.poll()}:\n{log.read_text()[-3000:]}")


def _signal_all(group: int, number: signal.Signals) -> None:
    """Send a signal to all that is left of a group of processes."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)
