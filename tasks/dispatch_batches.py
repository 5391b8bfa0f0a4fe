"""Batches of videos submitted to a work pool and followed until the last one ends."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelling, Crashed

from tasks.contracts.errors import BatchError
from tasks.contracts.media import FAILED, BatchRequest, BatchRow
from tasks.contracts.progress import Throughput, share
from tasks.fan_out.batching import RunState, Watch, write_manifest
from tasks.fan_out.config import PoolConfig
from tasks.fan_out.ledger import Ledger, write_request
from tasks.runs import current_progress

PROCESS = "process"  # the type of pool whose workers have one run each, here; others make jobs elsewhere


def pool_of(client: SyncPrefectClient, deployment: str) -> str:
    """Return the name of the pool that a deployment's runs go to.

    Raises:
        BatchError: there is no such deployment, or it has no pool.
    """
    try:
        pool = client.read_deployment_by_name(deployment).work_pool_name
    except ObjectNotFound:
        pool = None
    if pool is None:
        raise BatchError(
            f"There is no deployment {deployment!r} with a pool: `reelsift up` makes one, or "
            "`prefect deploy --all --prefect-file deployments/prefect.yaml`."
        )
    return pool


def capacity(client: SyncPrefectClient, pool: str) -> int:
    """Return how many runs a pool has at once: one a worker, or the jobs that it may make; 0 with no worker online."""
    try:
        workers = client.read_workers_for_work_pool(pool)
        about = client.read_work_pool(pool)
    except ObjectNotFound:
        return 0
    online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
    if online and about.type != PROCESS and about.concurrency_limit:
        return about.concurrency_limit
    return online


def makes_jobs(client: SyncPrefectClient, pool: str) -> bool:
    """Say whether a pool's runs are jobs elsewhere, slow to start, rather than processes of its workers."""
    try:
        return client.read_work_pool(pool).type != PROCESS
    except ObjectNotFound:
        return False


ENDS_WITHIN_S = 10.0  # what a lost run whose process still lives gets to end in
WARN_EVERY_S = 60.0
PAGE_RUNS = 200  # the most that the server lists at once


@dataclass
class _Flight:
    """A batch that is handed out."""

    request: BatchRequest
    ledger: Ledger
    run: FlowRun
    watch: Watch
    attempt: int = 1  # since the batch last got on
    known: int = 0  # rows when the run began
    suspects: list[int] = field(default_factory=list)  # places that runs were at when they died

    @property
    def missing(self) -> list[int]:
        rows = self.ledger.rows()
        return [video.place for video in self.request.videos if video.place not in rows]


class Dispatcher:
    """Sees one run's batches through."""

    def __init__(self, folder: Path, deployment: str, pool: str, config: PoolConfig, progress: "PoolProgress") -> None:
        """Take where the ledgers of the batches lie, and what works on one batch in which pool."""
        self._folder = folder
        self._deployment = deployment
        self._pool = pool
        self._config = config
        self._progress = progress
        self._flying: dict[UUID, _Flight] = {}
        self._rows: dict[int, BatchRow] = {}
        self._told = 0
        self._starts_slowly = False
        self.failures: list[str] = []  # why whole batches could not be worked on
        self._warned_s = time.monotonic()
        self._log = get_run_logger()

    def run(self, requests: Iterable[BatchRequest]) -> list[BatchRow]:
        """Return a row for every video, by place; an end from outside ends the runs as well."""
        waiting = deque(requests)
        with get_client(sync_client=True) as client:
            self._starts_slowly = makes_jobs(client, self._pool)
            try:
                while waiting or self._flying:
                    self._hand_out(waiting, client)
                    self._look(client)
                    time.sleep(self._config.look_every_s)
            except BaseException:
                self._cancel(client)
                raise
        return [self._rows[place] for place in sorted(self._rows)]

    def _hand_out(self, waiting: deque[BatchRequest], client: SyncPrefectClient) -> None:
        if not waiting:
            return
        bound = self._config.batches_per_worker * max(1, capacity(client, self._pool))
        while waiting and len(self._flying) < bound:
            request = waiting.popleft()
            self._start(request, write_request(self._folder, request))

    def _start(self, request: BatchRequest, ledger: Ledger, after: _Flight | None = None) -> None:
        known = len(ledger.rows())
        attempt = after.attempt + 1 if after and known == after.known else 1
        # The same attempt of the same run hands a batch out once, however often it asks.
        key = f"{flow_run.id}-{request.id}-{flow_run.run_count}-{after.run.id if after else 'first'}"
        run = run_deployment(
            self._deployment,
            parameters={"form": {"batch": str(ledger.request_path)}},
            timeout=0,
            flow_run_name=f"batch-{request.id}" + (f"-again-{attempt}" if after else ""),
            idempotency_key=key,
        )
        assert isinstance(run, FlowRun)  # a coroutine in an event loop alone
        suspects = after.suspects if after else []
        self._flying[run.id] = _Flight(request, ledger, run, self._watch(), attempt, known, suspects)

    def _watch(self) -> Watch:
        return Watch(self._config, starts_slowly=self._starts_slowly)

    def _look(self, client: SyncPrefectClient) -> None:
        for run in _read(client, self._flying):
            flight = self._flying[run.id]
            state = run.state.type.value if run.state else "SCHEDULED"
            verdict = flight.watch.judge(state, flight.ledger.heartbeat(str(run.id)))
            if verdict is RunState.LOST:
                self._log.warning("%s has no heartbeat any more; its batch is submitted again", run.name)
                _end(client, run.id)
            if verdict in {RunState.ENDED, RunState.CANCELLED, RunState.LOST}:
                del self._flying[run.id]
                self._land(flight, run, verdict)
        self._tell()
        self._warn(client)

    def _land(self, flight: _Flight, run: FlowRun, verdict: RunState) -> None:
        """Take the rows of a batch whose run has ended, and hand out again what is missing, where that may help."""
        missing = flight.missing
        message = (run.state.message if run.state else None) or "it ended without a word"
        died = verdict is RunState.LOST or (run.state is not None and run.state.is_crashed())
        if missing and died:
            self._blame(flight, str(run.id))
            missing = flight.missing
            got_on = len(flight.ledger.rows()) > flight.known
            if missing and (got_on or flight.attempt < self._config.attempts):
                self._start(flight.request, flight.ledger, after=flight)
                return
        if missing:
            why = "was cancelled" if verdict is RunState.CANCELLED else f"failed: {message}"
            self.failures.append(message)
            self._give_up(flight, missing, f"Its batch {flight.request.id} {why}")
        self._rows |= flight.ledger.rows()
        self._progress.by = detectors_of(self._rows.values())

    def _blame(self, flight: _Flight, run: str) -> None:
        """Give up a video at which the process of a batch has died twice: the others must not suffer for it."""
        place = flight.ledger.at(run)
        if place is None or place not in flight.missing:
            return
        if place in flight.suspects:
            reason = "The worker crashed twice on this video (bad input or out of memory)."
            self._give_up(flight, [place], reason)
        flight.suspects.append(place)

    def _give_up(self, flight: _Flight, places: Sequence[int], reason: str) -> None:
        sources = {video.place: video.source for video in flight.request.videos}
        for place in places:
            row = BatchRow(source=sources[place], status=FAILED, reason=reason, place=place, batch=flight.request.id)
            flight.ledger.add("none", row)

    def _tell(self) -> None:
        flying = (min(flight.ledger.lines(), len(flight.request.videos)) for flight in self._flying.values())
        done = len(self._rows) + sum(flying)
        if done > self._told:
            self._progress.advance("videos", done - self._told)
            self._told = done

    def _warn(self, client: SyncPrefectClient) -> None:
        """Say so where batches wait for a worker that is not there."""
        if not self._flying or time.monotonic() - self._warned_s < WARN_EVERY_S:
            return
        self._warned_s = time.monotonic()
        if not capacity(client, self._pool):
            hint = f"`reelsift up`, or `prefect worker start --pool {self._pool}`"
            self._log.warning("No worker of %s is online, and %d batches wait: %s", self._pool, len(self._flying), hint)

    def _cancel(self, client: SyncPrefectClient) -> None:
        """End the runs of the batches: nobody would take their rows any more."""
        for run_id in self._flying:
            try:
                client.set_flow_run_state(run_id, Cancelling(message="The run that wanted it has ended."))
            except Exception as error:  # noqa: BLE001 - the others must be told as well; the server's own service follows
                logging.getLogger("reelsift").warning("Run %s cannot be cancelled: %s", run_id, error)


def _read(client: SyncPrefectClient, runs: Iterable[UUID]) -> list[FlowRun]:
    wanted = list(runs)
    pages = (wanted[first : first + PAGE_RUNS] for first in range(0, len(wanted), PAGE_RUNS))
    return [
        run
        for page in pages
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=page)), limit=PAGE_RUNS)
    ]


def _end(client: SyncPrefectClient, run_id: UUID) -> None:
    """End a lost run: by its worker, should that live after all, else in the books alone."""
    client.set_flow_run_state(run_id, Cancelling(message="It has no heartbeat any more."))
    deadline_s = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < deadline_s:
        state = client.read_flow_run(run_id).state
        if state and state.is_final():
            return
        time.sleep(0.5)
    client.set_flow_run_state(run_id, Crashed(message="It has no heartbeat any more."), force=True)


def detectors_of(rows: Iterable[BatchRow]) -> str:
    """Name what looked at the videos, and on which devices; empty where nothing has yet."""
    return ", ".join(sorted({row.detector for row in rows if row.detector}))


def worked_on_pool(
    folder: Path,
    deployment: str,
    known: Sequence[BatchRow],
    requests: Callable[[int], Iterable[BatchRequest]],
    *,
    total: int,
    config: PoolConfig,
    key: str,
) -> tuple[list[BatchRow], Path]:
    """See every video through on the pool of a deployment; return a row for each, by place, and where the rows lie.

    Args:
        folder: where the ledgers of the batches lie, and the manifest.
        deployment: what works on one batch.
        known: rows of videos that need no work.
        requests: the batches of all others, given how many workers there are.
        total: how many videos there are.
        config: how batches are handed out.
        key: of the artifact of the progress.

    Raises:
        BatchError: no deployment works on batches, or nothing could be done at all.
    """
    with get_client(sync_client=True) as client:
        pool = pool_of(client, deployment)
        workers = max(1, capacity(client, pool))
    with PoolProgress("videos", total, key=key) as progress:
        progress.by = detectors_of(known)
        progress.advance("videos", len(known))
        wanted = list(requests(workers))
        dispatcher = Dispatcher(folder, deployment, pool, config, progress)
        fresh = dispatcher.run(wanted) if wanted else []
    rows = sorted([*known, *fresh], key=lambda row: row.place)
    manifest = write_manifest(folder, rows)
    if dispatcher.failures and all(row.status == FAILED for row in rows):
        raise BatchError(f"Nothing could be done on the pool {pool!r}: {dispatcher.failures[0]}")
    return rows, manifest


SHOW_EVERY_S = 5.0


class PoolProgress:
    """A listener for one kind of thing, as long as the block lasts."""

    def __init__(self, what: str, total: int, *, key: str) -> None:
        """Take what is counted, how many there are, and the artifact's key, to which `-progress` is added."""
        self._what = what
        self._total = total
        self._key = f"{key}-progress"
        self._shown_s = time.monotonic()
        self._pace = Throughput(self._shown_s)
        self._artifact: UUID | None = None
        self._listener = current_progress()
        self.by = ""  # which detectors look, once that is known

    def __enter__(self) -> Self:
        """Show that nothing is done yet."""
        self._listener.begin(self._what, self._total, self._what)
        artifact = create_progress_artifact(0.0, key=self._key, description=self._words())
        assert isinstance(artifact, UUID)  # a coroutine in an event loop alone
        self._artifact = artifact
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show what was done, unless the run ends in a hurry."""
        if kind is None:
            self._show()

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Pass on what else is counted."""
        self._listener.begin(what, total, unit)

    def advance(self, what: str, amount: float) -> None:
        """Count, and show it if the last time is long enough ago."""
        self._listener.advance(what, amount)
        self._pace.advance(amount if what == self._what else 0, time.monotonic())
        if time.monotonic() - self._shown_s > SHOW_EVERY_S:
            self._show()

    def _show(self) -> None:
        assert self._artifact is not None
        self._shown_s = time.monotonic()
        part = 100 * self._pace.done / self._total if self._total else 100.0
        update_progress_artifact(self._artifact, min(part, 100.0), description=self._words())

    def _words(self) -> str:
        counted = share(self._pace.done, self._total, self._what) + (f" by {self.by}" if self.by else "")
        left_s = self._pace.left_s(self._total, time.monotonic())
        return f"{counted}, about {left_s:,.0f} s left" if left_s else counted
