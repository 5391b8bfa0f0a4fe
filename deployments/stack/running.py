"""The stack, started, checked and stopped; one `up` or `down` at a time in each home."""

import errno
import fcntl
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
from pydantic import AwareDatetime, Field

from conf.home import Home
from conf.private_server import leftover_servers
from conf.stack_state import (
    MLFLOW_SERVER,
    PREFECT_SERVER,
    RunningPart,
    StackState,
    age_s,
    credentials_in_force,
    forget_state,
    read_state,
    write_state,
)
from deployments.register import deploy_all
from deployments.stack.plan import StackPart, StackPlan
from deployments.stack.prefect_api import PrefectApi
from deployments.stack.processes import last_words, marked, start, stop, trees
from deployments.stack.upkeep import crash_lost_runs, note_known, switch_off_foreign
from deployments.stack.watchdog import Watchdog, watched
from tasks.contracts.errors import StackError
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress
from tasks.tracking.store import follow_home, tracking_store

ONLINE = "ONLINE"


class Health:
    """Asks the servers of one stack."""

    def __init__(self, api: PrefectApi) -> None:
        self._api = api

    def is_ready(self, part: StackPart, running: RunningPart) -> bool:
        """Say whether a part does what it is for: a server answers, a worker has told its server of itself."""
        with suppress(httpx.HTTPError, psutil.Error, ValueError, KeyError):
            if part.health_url:  # what answers there may be the server of another home that was quicker
                return running.has_its_port and self._api.get(part.health_url).is_success
            if part.pool:
                workers = self._api.send("POST", f"/work_pools/{part.pool}/workers/filter", {})
                return self._is_online(part.name, workers, age_s(running.pid))
        return False

    @staticmethod
    def _is_online(name: str, workers: Iterable[dict[str, Any]], age_s: float) -> bool:
        """Say whether this worker is there: one of the same name may have died a moment ago, and still be listed.

        So its last heartbeat must be younger than its process, both counted back from now: a clock that is set
        between the two does not matter.
        """
        return any(
            worker["name"] == name
            and worker["status"] == ONLINE
            and (datetime.now(UTC) - datetime.fromisoformat(worker["last_heartbeat_time"])).total_seconds() <= age_s
            for worker in workers
        )


WITHIN_S = 10.0  # an `up` that was killed is cleared up after by then
TRY_EVERY_S = 0.1


@contextmanager
def alone(home: Home) -> Iterator[int]:
    """Keep others from starting or stopping the stack of a home, by a lock on the file whose number this returns.

    Raises:
        StackError: somebody has been at it for some time.
    """
    home.make_private(home.stack)  # what the parts print may say more than others should read
    with (home.stack / "lock").open("w") as file:
        deadline_s = time.monotonic() + WITHIN_S
        while not _locks(file.fileno()):
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"Another `reelsift up` or `reelsift down` is at work in {home.root}. Wait for its end, or end it."
                )
            time.sleep(TRY_EVERY_S)
        yield file.fileno()


def _locks(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


WORKERS_PATIENCE_S = 8.0
SERVERS_PATIENCE_S = 5.0
SERVERS = (MLFLOW_SERVER, PREFECT_SERVER)


@dataclass(frozen=True)
class Downed:
    """What a call of `take_down` did."""

    parts: tuple[str, ...]  # that lived
    processes: int  # that were ended, the parts' own and their children
    killed: int  # of these, that did not end when they were asked to


def take_down(home: Home) -> Downed:
    """End every process of the stack; nothing happens where there is none.

    Raises:
        StackError: somebody else is at it, or a process cannot be ended.
    """
    with alone(home):
        state = _known(home)
        living = [part for part in state.parts if part.is_alive]
        _note_known(home, state)
        workers = trees(part for part in living if part.name not in SERVERS)
        servers = trees(part for part in living if part.name in SERVERS)
        killed = stop(workers, WORKERS_PATIENCE_S) + stop(servers, SERVERS_PATIENCE_S)
        left = [*marked(home.root), *leftover_servers(home)]
        killed += stop(left, SERVERS_PATIENCE_S)
        forget_state(home)
    return Downed(tuple(part.name for part in living), len(workers) + len(servers) + len(left), killed)


def _note_known(home: Home, state: StackState) -> None:
    """Remember what people made on the server, if only they could: `up` switches off what is added from now on."""
    server = state.part(PREFECT_SERVER)
    with suppress(StackError):
        credentials = credentials_in_force(home)
        if credentials and server and server.client_url and server.is_alive and server.has_its_port:
            with closing(PrefectApi(server.client_url, credentials)) as api:
                note_known(api, home)


def _known(home: Home) -> StackState:
    """Return what is noted; a damaged note is none, as the mark tells what must go."""
    try:
        return read_state(home) or StackState(options={})
    except StackError:
        return StackState(options={})


def check_free(host: str, port: int, option: str) -> None:
    """Refuse a port on which somebody listens.

    Raises:
        StackError: it is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a server that has just ended is in the way
        try:
            trial.bind((host, port))
        except OSError as error:
            raise StackError(_refusal(error, host, port, option)) from error


def _refusal(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use{_by_whom(port)}. Stop that, or choose another: `reelsift up {option} PORT`."
    if error.errno == errno.EACCES:
        return f"Port {port} is not yours to use. Choose one above 1023: `reelsift up {option} PORT`."
    return f"Nothing can listen on {host}:{port}: {error.strerror or error}. Name an address of this machine in --host."


def _by_whom(port: int) -> str:
    """Name the process that listens, where the system tells."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
            if listens and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


READY_WITHIN_S = 180.0
LOOK_EVERY_S = 0.25
STOP_PATIENCE_S = 5.0
PORT_OPTIONS = {PREFECT_SERVER: "--prefect-port", MLFLOW_SERVER: "--mlflow-port"}


class _Rise:
    """One call of `bring_up`: what it has started, and what it found."""

    def __init__(self, plan: StackPlan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._running: dict[str, RunningPart] = {}
        self._started: list[RunningPart] = []
        self.notes: list[str] = []  # for the person who called

    def run(self, watchdog: Watchdog) -> StackState:
        """Bring up what is missing, and release the watchdog once that is noted.

        Raises:
            StackError: a part fails, or another stack runs in this home.
        """
        self._progress.begin("stack", len(self._plan.parts) + 1, "parts")
        try:
            follow_home(tracking_store(self._plan.home.root))
            with closing(PrefectApi(self._plan.api_url, self._plan.credentials)) as api:
                health = Health(api)
                self._start(self._plan.servers, watchdog)
                self._wait(self._plan.servers, health)
                self._put_right(api)
                self._start(self._plan.workers, watchdog)
                with ThreadPoolExecutor(1) as beside:
                    deployed = beside.submit(deploy_all, self._plan.environment | watchdog.variables)
                    self._wait(self._plan.workers, health)
                    deployed.result()
                if self._plan.credentials:
                    note_known(api, self._plan.home)
                self._progress.advance("stack", 1)
        except BaseException:
            self._undo()
            raise
        state = self._note()
        watchdog.release()
        return state

    def _put_right(self, api: PrefectApi) -> None:
        """Put right what the server has in its books from before, while no worker can take up any of it.

        Raises:
            StackError: the server does not let itself be asked.
        """
        living = [name for name in self._running if name not in {part.name for part in self._plan.servers}]
        try:
            lost = crash_lost_runs(api, living, [part.name for part in self._plan.workers])
            if not self._plan.options.keep_foreign:
                self.notes += switch_off_foreign(api, self._plan.home)
        except httpx.HTTPError as error:
            raise StackError(
                f"The Prefect server refuses its own stack: {error}. See `reelsift logs prefect`."
            ) from error
        if lost:
            runs = "1 run" if lost == 1 else f"{lost} runs"
            self.notes.append(f"{runs} whose process was gone counted as under way, and now as crashed.")

    def find(self) -> None:
        """Keep what lives of an earlier call, and end what nobody knows of any more."""
        state = read_state(self._plan.home) or StackState(options={})
        self._running = {part.name: part for part in state.parts if part.is_alive}
        asked = self._plan.options.model_dump()
        if self._running and state.options != asked:
            other = ", ".join(f"{name} {value}" for name, value in state.options.items() if asked.get(name) != value)
            raise StackError(f"A stack runs here with other options ({other}): `reelsift down`, then `reelsift up`.")
        known = {process.pid for process in trees(self._running.values())}
        strays = [process for process in marked(self._plan.home.root) if process.pid not in known]
        stop([*strays, *leftover_servers(self._plan.home)], STOP_PATIENCE_S)

    def _start(self, parts: Sequence[StackPart], watchdog: Watchdog) -> None:
        missing = [part for part in parts if part.name not in self._running]
        for part in missing:
            if part.port:
                check_free(self._plan.options.host, part.port, PORT_OPTIONS[part.name])
        for part in missing:
            running = start(part, self._plan.log(part), watchdog.variables)
            self._running[part.name] = running
            self._started.append(running)
            self._note()  # a kill of this very process leaves nothing that nobody knows of

    def _wait(self, parts: Sequence[StackPart], health: Health) -> None:
        """Wait until all of these are ready.

        Raises:
            StackError: one has ended, or is not ready in time.
        """
        waiting = list(parts)
        deadline_s = time.monotonic() + READY_WITHIN_S
        while waiting:
            for part in tuple(waiting):
                running = self._running[part.name]
                if health.is_ready(part, running):
                    waiting.remove(part)
                    self._progress.advance("stack", 1)
                elif not running.is_alive:
                    raise StackError(_failure(running, "ended while it started"))
                elif time.monotonic() > deadline_s:
                    raise StackError(_failure(running, f"is not ready after {READY_WITHIN_S:.0f} s"))
            time.sleep(LOOK_EVERY_S)

    def _note(self) -> StackState:
        order = [part.name for part in self._plan.parts]
        parts = tuple(self._running[name] for name in order if name in self._running)
        state = StackState(options=self._plan.options.model_dump(), parts=parts)
        write_state(self._plan.home, state)
        return state

    def _undo(self) -> None:
        stop(trees(self._started), STOP_PATIENCE_S)
        self._running = {name: part for name, part in self._running.items() if part not in self._started}
        self._note()


def bring_up(plan: StackPlan, progress: Progress) -> tuple[StackState, list[str]]:
    """Start what does not run yet, deploy the flows, wait until every part is ready; return what there is to know, too.

    Raises:
        StackError: a port is in use, a part fails, another stack runs in this home, or the flows cannot be deployed.
    """
    plan.home.make_private(plan.home.prefect)  # its database holds forms, logs and blocks
    with alone(plan.home) as lock:
        rise = _Rise(plan, progress)
        rise.find()
        with watched(plan.home, lock) as watchdog:
            return rise.run(watchdog), rise.notes


def _failure(part: RunningPart, what: str) -> str:
    return f"{part.name} {what}. Its last words: {last_words(part.log)} `reelsift logs {part.name}` shows all."


class PartStatus(FrozenModel):
    """A part of the stack as it is now."""

    name: str
    state: Literal["ready", "not ready", "dead"]
    pid: int
    since: AwareDatetime
    memory_bytes: int = Field(description="resident, of the process and of all its children")
    address: str | None
    log: Path


def stack_status(plan: StackPlan, state: StackState) -> list[PartStatus]:
    """Ask every part how it is."""
    planned = {part.name: part for part in plan.parts}
    with closing(PrefectApi(plan.api_url, plan.credentials)) as api:
        health = Health(api)
        return [_status(part, planned.get(part.name), health) for part in state.parts]


def _status(running: RunningPart, part: StackPart | None, health: Health) -> PartStatus:
    alive = running.is_alive
    ready = alive and part is not None and health.is_ready(part, running)
    return PartStatus(
        name=running.name,
        state="ready" if ready else "not ready" if alive else "dead",
        pid=running.pid,
        since=datetime.fromtimestamp(running.started_s, UTC),
        memory_bytes=sum(map(_resident, trees([running]))),
        address=running.address,
        log=running.log,
    )


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
