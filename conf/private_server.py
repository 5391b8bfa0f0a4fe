"""The Prefect server of one process: private to it, and gone when the process is, whatever ends that.

A command, or a script that calls a flow, starts one on the home's database if it has no server to join. It listens on a
port of loopback that this process has opened, answers only with a password that both sides have in their environments,
and reads a pipe that this process holds: its end, and on Linux a signal of the kernel's as well, say that it has died.
"""

import atexit
import ctypes
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from conf import collect_rarely
from conf.environment import DATABASE_VARIABLES, SERVER_STARTUP_S
from conf.home import Home
from tasks.contracts.errors import ServerError

HOST = "127.0.0.1"
USER = "reelsift"
MARK = "REELSIFT_SERVER_OF"  # the home, in the environment of such a server
OWNER = "REELSIFT_SERVER_OWNER"  # the number of the process that it belongs to
PREFECTS_OWN_MARK = "PREFECT__SERVER_EPHEMERAL"  # of servers that Prefect starts by itself
LOG_NAME, LARGEST_LOG_BYTES = "prefect-server.log", 1 << 20
NOT_INHERITED = frozenset(
    {"PREFECT_SERVER_API_BASE_PATH", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"}
)
MAIN_THREAD, PROCESS = "main-thread", "process"  # what a server watches the end of
STOP_PATIENCE_S = 5.0
LOOK_AT_OWNER_EVERY_S = 1.0
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
LAST_WORDS = 300


class PrivateServer:
    """A server that this process has started. `variables` lead Prefect's client to it."""

    def __init__(self, home: Home) -> None:
        self._log = _log_file(home)
        # The kernel's signal comes when the thread has ended that started the server, not only when the process has.
        self._dies_with = MAIN_THREAD if threading.current_thread() is threading.main_thread() else PROCESS
        password = secrets.token_urlsafe(32)
        with socket.create_server((HOST, 0)) as listening:
            address = f"http://{HOST}:{listening.getsockname()[1]}"
            self._process = self._start(listening, _server_variables(home, address, password))
        self._port = int(address.rpartition(":")[2])
        self.variables = {
            "PREFECT_API_URL": f"{address}/api",
            "PREFECT_API_AUTH_STRING": f"{USER}:{password}",
            "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
            "PREFECT_UI_URL": "",  # it has no pages; unset, Prefect would make an address of the server's
        }

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more, whatever ended it."""
        return self._process.poll() is not None

    def _start(self, listening: socket.socket, variables: dict[str, str]) -> subprocess.Popen[bytes]:
        listening.set_inheritable(True)
        with self._log.open("ab") as output:
            self._log_began = output.tell()
            # S603: this Python and this module.
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", __name__, str(listening.fileno()), self._dies_with],
                env=variables,
                stdin=subprocess.PIPE,  # nothing is ever written to it
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[listening.fileno()],
                process_group=0,  # Ctrl-C in the terminal ends the command, which then stops its server
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            ServerError: it has ended, or does not answer in time.
        """
        deadline_s = time.monotonic() + SERVER_STARTUP_S
        connection = http.client.HTTPConnection(HOST, self._port, timeout=SERVER_STARTUP_S)
        while self._process.poll() is None and time.monotonic() < deadline_s:
            with suppress(OSError, http.client.HTTPException):
                # The port is open from the start: the answer comes as soon as there is one to give.
                connection.request("GET", "/api/health")
                if connection.getresponse().read() == b"true":
                    connection.close()
                    return
            connection.close()
            time.sleep(0.05)
        code = self._process.poll()
        what = f"did not answer within {SERVER_STARTUP_S} s" if code is None else "ended while it started"
        self.stop()
        raise ServerError(f"The Prefect server of this command {what}: {self._last_words()} All of it: {self._log}")

    def stop(self) -> None:
        """End it; nothing happens where it has ended."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _last_words(self) -> str:
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(self._log_began)
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
            # The error of a traceback stands at its end, before what uvicorn says of it.
            errors = [
                line for line in lines if "Error" in line.partition(":")[0] or "Exception" in line.partition(":")[0]
            ]
            return " ".join((errors or lines or ["it said nothing."])[-1:])[:LAST_WORDS]
        return "it said nothing."


_ours: dict[tuple[str | None, ...], PrivateServer] = {}  # by where their histories lie
_starting = threading.Lock()


def private_server(home: Home) -> PrivateServer:
    """Return this process's server of a home: started by the first call, and stopped when the process ends."""
    place = tuple(os.environ.get(name) for name in ("PREFECT_HOME", *DATABASE_VARIABLES))
    with _starting:
        if place not in _ours or _ours[place].has_ended:
            _ours[place] = PrivateServer(home)
            # Of a command: before Prefect is imported, so after what that has to say at the end.
            atexit.register(_ours[place].stop)
        return _ours[place]


def has_private_server() -> bool:
    """Say whether the server that this process talks to is its own."""
    return bool(_ours)


def leftover_servers(home: Home) -> list[psutil.Process]:
    """Return the servers of a home whose command has died: those of earlier versions outlive it."""
    return [process for process in psutil.process_iter() if _is_leftover(process, home)]


def _is_leftover(process: psutil.Process, home: Home) -> bool:
    try:
        environment = process.environ()
        if environment.get(MARK) == str(home.root):
            return process.ppid() != int(environment.get(OWNER, "0"))
        if PREFECTS_OWN_MARK in environment and environment.get("PREFECT_HOME") == str(home.prefect):
            return _executable(process.parent()) != _executable(process)
    except (psutil.Error, OSError, ValueError):  # not ours to look at, or gone
        pass
    return False


def _executable(process: psutil.Process | None) -> str | None:
    try:
        return process.exe() if process else None
    except psutil.Error:  # of the system's first process, which takes orphans
        return None


def _log_file(home: Home) -> Path:
    home.logs.mkdir(parents=True, exist_ok=True)
    log = home.logs / LOG_NAME
    with suppress(OSError):
        if log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_suffix(".previous.log"))
    return log


def _server_variables(home: Home, address: str, password: str) -> dict[str, str]:
    """Return the environment of the server: this process's, but for what would make it another one."""
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return inherited | {
        MARK: str(home.root),
        OWNER: str(os.getpid()),
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{password}",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address,
        "PREFECT_SERVER_UI_ENABLED": "false",
        # Prefect's own names: no pages, no scheduler, nothing that starts runs.
        PREFECTS_OWN_MARK: "1",
        # Nobody looks at its blocks. To register them, Prefect imports every integration there is: Kubernetes, Dask.
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    }


def _end_with(owner: int, *, watched: str) -> None:
    """End this process when `owner` does. It may have died already."""
    if sys.platform == "linux" and watched == MAIN_THREAD:
        ctypes.CDLL(None, use_errno=True).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

    def read_to_the_end() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(0)

    def look_at_parent() -> None:  # a process that the owner has forked may hold the pipe open
        while os.getppid() == owner:
            time.sleep(LOOK_AT_OWNER_EVERY_S)
        os._exit(0)

    for watch in (read_to_the_end, look_at_parent):
        threading.Thread(target=watch, daemon=True).start()


def main(arguments: Iterable[str]) -> None:
    """Be the server, on the socket whose number the arguments hold, until what they name has ended."""
    number, watched = arguments
    _end_with(int(os.environ[OWNER]), watched=watched)
    collect_rarely()
    import uvicorn

    from conf.guarded_server import prefect_app

    # No header names the client: there is no proxy between.
    config = uvicorn.Config(
        prefect_app, factory=True, log_level="error", lifespan="on", proxy_headers=False, timeout_graceful_shutdown=2
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(number))])


if __name__ == "__main__":
    main(sys.argv[1:])
