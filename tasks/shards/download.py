"""Many shards onto the disk at once: what is there already stays, what is missing comes, what fails is told.

In: planned shards and a folder. Out: verified files in it and a `DownloadReport`. Does not know what a shard holds.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from pydantic import Field

from tasks.contracts.artifacts import Md5, PlannedShard, Shard
from tasks.contracts.errors import AbsentFileError, DownloadError
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress, Silent
from tasks.shards.config import DownloadConfig
from tasks.shards.estimate import estimate_on_line
from tasks.shards.line import Line, open_line
from tasks.shards.mirror import resolve
from tasks.shards.parallel import run_each
from tasks.shards.plan import shard_path
from tasks.shards.remote import RemoteFile
from tasks.shards.space import ensure_room
from tasks.shards.transfer import Fetched, fetch_on_line, find_file


class FailedShard(FrozenModel):
    """A shard that could not be had."""

    name: str
    partition: str
    md5: Md5
    reason: str
    is_absent: bool = Field(default=False, description="every mirror said for good that it has no such file")


class DownloadReport(FrozenModel):
    """What became of a download."""

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
        there = {shard: outcome for shard, outcome in outcomes.items() if isinstance(outcome, Fetched)}
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


Outcome = Fetched | FailedShard


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

    def _find_one(self, shard: PlannedShard) -> Fetched | None:
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
        """Fetch what is missing, and return what became of each shard."""
        outcomes = run_each(missing, self._fetch_one, self.line.config.connections, self.line.stop)
        return dict(zip(missing, outcomes, strict=True))

    def _fetch_one(self, shard: PlannedShard) -> Outcome:
        try:
            fetched = fetch_on_line(self._file(shard), self._path(shard), self.line)
        except DownloadError as error:
            is_absent = isinstance(error, AbsentFileError)
            return FailedShard(**shard.model_dump(), reason=str(error), is_absent=is_absent)
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


def _verified(shard: PlannedShard, fetched: Fetched) -> Shard:
    return Shard(**shard.model_dump(), size_bytes=fetched.size_bytes, path=fetched.path)
