"""Many shards downloaded at once, with an estimate before: present ones are kept, failures reported."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeVar

from pydantic import Field

from tasks.contracts.datasets import PlannedShard, Shard
from tasks.contracts.errors import DownloadError, WithheldFileError
from tasks.contracts.files import ensure_room
from tasks.contracts.model import FrozenModel, Md5
from tasks.contracts.progress import Progress, Silent, check_ending
from tasks.shards.config import DownloadConfig
from tasks.shards.line import Line, open_line
from tasks.shards.mirror import Mirrors, RemoteFile, Source, resolve
from tasks.shards.plan import shard_path
from tasks.shards.sources import size_at_url
from tasks.shards.transfer import FetchedFile, fetch_on_line, find_file

# Between two waits, this thread hears that the process is to end, be it the main one or a task's.
POLL_S = 0.2
GRACE_S = 2.0

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_each(jobs: Sequence[Job], work: Callable[[Job], Result], threads: int, stop: Event) -> list[Result]:
    """Return the result of `work` for each job, in the order of the jobs.

    The first exception of a job, or one in this thread, sets `stop` (for which `work` looks where it waits), gives all
    threads a moment to end, and is raised. The threads are daemons, unlike those of an executor: one
    that waits for a silent server cannot keep the program from ending.
    """
    futures: list[Future[Result]] = [Future() for _ in jobs]
    todo: SimpleQueue[tuple[Job, Future[Result]]] = SimpleQueue()
    for pair in zip(jobs, futures, strict=True):
        todo.put(pair)
    workers = [
        Thread(target=_work_through, args=(todo, work, stop), daemon=True) for _ in range(min(threads, len(jobs)))
    ]
    try:
        for worker in workers:
            worker.start()
        _await(futures)
        return [future.result() for future in futures]
    except BaseException:
        stop.set()
        for worker in workers:
            worker.join(GRACE_S / len(workers))
        raise


def _work_through(todo: SimpleQueue[tuple[Job, Future[Result]]], work: Callable[[Job], Result], stop: Event) -> None:
    while not stop.is_set():
        try:
            job, future = todo.get_nowait()
        except Empty:
            return
        try:
            future.set_result(work(job))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, which raises it
            future.set_exception(error)


def _await(futures: Sequence[Future[Result]]) -> None:
    """Wait until all are done, and raise the first exception without waiting for the others."""
    pending = set(futures)
    while pending:
        check_ending()
        done, pending = wait(pending, POLL_S, FIRST_EXCEPTION)
        for future in done:
            future.result()


class Estimate(FrozenModel):
    """How many files a download has, and how large they are together."""

    files: int = Field(ge=0)
    bytes: int | None = Field(ge=0, description="None where no mirror tells sizes")
    exact: bool = Field(description="every file was asked for, not a sample")


def estimate_download(shards: Sequence[PlannedShard], config: DownloadConfig) -> Estimate:
    """Return what fetching `shards` means; plans give no sizes, so a sample of the files is asked for theirs.

    Raises:
        MirrorError: a mirror's name means nothing.
    """
    with open_line(config, Silent(), "sizes") as line:
        return estimate_on_line(shards, resolve(config), line)


def estimate_on_line(shards: Sequence[PlannedShard], mirrors: Mirrors, line: Line) -> Estimate:
    """Do what `estimate_download` does, with the connections of `line`."""
    config = line.config
    step = max(1.0, len(shards) / config.size_samples)
    sample = [shards[int(number * step)] for number in range(min(len(shards), config.size_samples))]
    sizes = run_each(sample, lambda shard: _size_of(mirrors.shard(shard), line), config.connections, line.stop)
    known = [size for size in sizes if size is not None and size <= config.largest_file_bytes]
    if shards and not known:
        return Estimate(files=len(shards), bytes=None, exact=False)
    exact = len(known) == len(shards)
    total = sum(known) if exact else round(sum(known) / len(known) * len(shards))
    return Estimate(files=len(shards), bytes=total, exact=exact)


def _size_of(sources: Sequence[Source], line: Line) -> int | None:
    """Return the size in bytes that the first source to know it gives, or None."""
    for source in line.in_order(sources):
        if isinstance(source, str):
            size_bytes = size_at_url(line.client, source)
        else:
            size_bytes = source.stat().st_size if source.is_file() else None
        if size_bytes is not None:
            return size_bytes
    return None


class FailedShard(FrozenModel):
    """A shard that could not be downloaded."""

    name: str
    partition: str
    md5: Md5
    reason: str
    is_lasting: bool = Field(default=False, description="no mirror will give it the next time either")
    is_absent: bool = Field(default=False, description="every mirror said for good that it has no such file")


class DownloadReport(FrozenModel):
    """The outcome of a download."""

    shards: tuple[Shard, ...] = Field(description="those that are on the disk now, in the order asked for")
    fetched: int = Field(ge=0, description="files that came over the line")
    skipped: int = Field(ge=0, description="files that were there already, with the right md5")
    retried: int = Field(ge=0, description="attempts beyond the first on a mirror")
    resumed: int = Field(ge=0, description="answers that went on where a part ended")
    failed: tuple[FailedShard, ...]
    bytes_fetched: int = Field(ge=0, description="bytes that came over the line, whether good or not")
    seconds: float = Field(ge=0)


def download_shards(
    shards: Sequence[PlannedShard], folder: Path, config: DownloadConfig, progress: Progress | None = None
) -> DownloadReport:
    """Bring `shards` to their places below `folder`; one that fails does not stop the others.

    The listener hears of two tasks, `files` and `bytes`. Ctrl-C and kill -9 lose only what was in flight: parts stay
    beside the destinations (`.part`) and are taken up the next time. Several processes may do this at once.

    Raises:
        DiskSpaceError: they do not fit, as far as can be told before, or the disk became full on the way.
        MirrorError: a mirror's name means nothing.
    """
    progress = progress or Silent()
    started_s = time.monotonic()
    shards = tuple(dict.fromkeys(shards))
    progress.begin("files", len(shards), "files")
    with open_line(config, progress, "bytes") as line:
        download = _Download(folder, line, progress)
        outcomes = download.find(shards)
        missing = [shard for shard in shards if shard not in outcomes]
        download.make_room(missing)
        outcomes |= download.fetch(missing)
        there = {shard: outcome for shard, outcome in outcomes.items() if isinstance(outcome, FetchedFile)}
        return DownloadReport(
            shards=tuple(_verified(shard, there[shard]) for shard in shards if shard in there),
            fetched=sum(not fetched.was_there for fetched in there.values()),
            skipped=sum(fetched.was_there for fetched in there.values()),
            retried=line.meter.retried,
            resumed=line.meter.resumed,
            failed=tuple(outcome for outcome in outcomes.values() if isinstance(outcome, FailedShard)),
            bytes_fetched=line.meter.bytes_received,
            seconds=time.monotonic() - started_s,
        )


Outcome = FetchedFile | FailedShard


class _Download:
    """The steps of one download, and what they share."""

    def __init__(self, folder: Path, line: Line, progress: Progress) -> None:
        self.folder = folder
        self.mirrors = resolve(line.config)
        self.line = line
        self.progress = progress
        self._lock = Lock()
        self._files_to_come = 0
        self._files_done = 0
        self._bytes_done = 0

    def find(self, shards: Sequence[PlannedShard]) -> dict[PlannedShard, Outcome]:
        """Hash what lies on the disk, on all cores, and return the shards that are there and right."""
        found = run_each(shards, self._find_one, os.cpu_count() or 1, self.line.stop)
        return {shard: there for shard, there in zip(shards, found, strict=True) if there is not None}

    def _find_one(self, shard: PlannedShard) -> FetchedFile | None:
        there = find_file(self._file(shard), self._path(shard))
        if there:
            self.progress.advance("files", 1)
        return there

    def make_room(self, missing: Sequence[PlannedShard]) -> None:
        """Tell the listener how much will come, and refuse what does not fit."""
        estimate = estimate_on_line(missing, self.mirrors, self.line)
        self.progress.begin("bytes", estimate.bytes, "B")
        self._files_to_come = 0 if estimate.exact else len(missing)
        ensure_room(self.folder, estimate.bytes or 0, self.line.config.reserve_bytes, f"{len(missing)} shards")

    def fetch(self, missing: Sequence[PlannedShard]) -> dict[PlannedShard, Outcome]:
        """Fetch what is missing, and return the outcome for each shard."""
        outcomes = run_each(missing, self._fetch_one, self.line.config.connections, self.line.stop)
        return dict(zip(missing, outcomes, strict=True))

    def _fetch_one(self, shard: PlannedShard) -> Outcome:
        try:
            fetched = fetch_on_line(self._file(shard), self._path(shard), self.line)
        except DownloadError as error:
            is_lasting = isinstance(error, WithheldFileError)
            is_absent = is_lasting and error.is_absent
            return FailedShard(**shard.model_dump(), reason=str(error), is_lasting=is_lasting, is_absent=is_absent)
        self.progress.advance("files", 1)
        self._better_total(fetched.size_bytes)
        return fetched

    def _better_total(self, size_bytes: int) -> None:
        """Tell the listener a total with one size more known: the mean of those, for every file that was to come."""
        with self._lock:
            self._files_done += 1
            self._bytes_done += size_bytes
            if self._files_to_come:
                total = round(self._bytes_done / self._files_done * self._files_to_come)
                self.progress.begin("bytes", total, "B")

    def _file(self, shard: PlannedShard) -> RemoteFile:
        return RemoteFile(shard.name, self.mirrors.shard(shard), shard.md5)

    def _path(self, shard: PlannedShard) -> Path:
        return shard_path(self.folder, shard, self.line.config)


def _verified(shard: PlannedShard, fetched: FetchedFile) -> Shard:
    return Shard(**shard.model_dump(), size_bytes=fetched.size_bytes, path=fetched.path)


def fetch_shards(
    shards: Sequence[PlannedShard],
    folder: Path,
    config: DownloadConfig,
    progress: Progress | None = None,
    *,
    strict: bool = True,
) -> DownloadReport:
    """Download shards as `download_shards` does, and let none fail unseen.

    Raises:
        DownloadError: some could not be fetched for now, or where `strict` is set at all; the others are there.
        DiskSpaceError: they do not fit.
    """
    report = download_shards(shards, folder, config, progress)
    if any(strict or not failed.is_lasting for failed in report.failed):
        raise DownloadError(_failure(report))
    return report


def _failure(report: DownloadReport) -> str:
    """Name the first shard that failed, and count the others."""
    first = min(report.failed, key=lambda failed: failed.is_lasting)
    others = f" So did {len(report.failed) - 1} others." if len(report.failed) > 1 else ""
    if first.is_lasting:
        others += " Without `--strict` what no mirror gives is left out."
    return f"{first.name} failed, {len(report.shards)} shards of its batch are on the disk. {first.reason}{others}"
