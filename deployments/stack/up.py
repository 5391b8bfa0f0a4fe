"""The stack, brought up.

    what lives stays ─► servers ─► healthy ─► deployments, workers ─► online

In: a plan. Out: a state in which every part is ready, noted in the home; where one fails, or this process is killed,
what this call started is stopped again. A second call finds everything there.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx

from conf.running_stack import MLFLOW_SERVER, PREFECT_SERVER, RunningPart, StackState, read_state, write_state
from deployments.deploy import deploy_all
from deployments.stack.health import Health
from deployments.stack.lock import alone
from deployments.stack.logs import last_words
from deployments.stack.part import Part
from deployments.stack.plan import StackPlan
from deployments.stack.ports import check_free
from deployments.stack.prefect_api import PrefectApi
from deployments.stack.processes import marked, start, stop, trees
from deployments.stack.upkeep import crash_lost_runs, note_known, switch_off_foreign
from deployments.stack.watchdog import Watchdog, watched
from flows.commands.private_server import leftover_servers
from tasks.classifier.tracking import tracking_store
from tasks.classifier.tracking_moved import follow_home
from tasks.contracts.errors import StackError
from tasks.contracts.progress import Progress

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

    def _start(self, parts: Sequence[Part], watchdog: Watchdog) -> None:
        missing = [part for part in parts if part.name not in self._running]
        for part in missing:
            if part.port:
                check_free(self._plan.options.host, part.port, PORT_OPTIONS[part.name])
        for part in missing:
            running = start(part, self._plan.log(part), watchdog.variables)
            self._running[part.name] = running
            self._started.append(running)
            self._note()  # a kill of this very process leaves nothing that nobody knows of

    def _wait(self, parts: Sequence[Part], health: Health) -> None:
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
