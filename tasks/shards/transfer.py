"""One file from any of its sources to the disk: resumed, verified, retried, failed over.

What is unfinished lies beside the destination: it outlives the process, and one process at a time writes to it.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Event

from tasks.contracts.errors import DownloadError, WithheldFileError
from tasks.contracts.files import DIGEST_BLOCK_BYTES, disk_errors_named, ensure_room, file_digest, format_bytes, is_at
from tasks.contracts.progress import Progress, Silent
from tasks.shards.config import DownloadConfig
from tasks.shards.line import Line, open_line
from tasks.shards.mirror import RemoteFile, Source, shown
from tasks.shards.sources import Body, Fault, Stopped, open_path, open_url, wait_before_retry_s

PART_SUFFIX = ".part"
LOCK_POLL_S = 0.1


class PartialFile:
    """An open, locked `.part` with the digest of what is in it."""

    def __init__(self, path: Path, file: FileIO, algorithm: str | None) -> None:
        self.path = path
        self.size_bytes = 0
        self._file = file
        self._algorithm = algorithm
        self._digest = self._fresh_digest()

    def resume(self) -> None:
        """Take what an earlier process has left as the start of the file."""
        self._file.seek(0)
        while block := self._file.read(DIGEST_BLOCK_BYTES):
            self._digest.update(block)
            self.size_bytes += len(block)

    def restart(self) -> int:
        """Throw away what is there and return how many bytes that was."""
        thrown_away, self.size_bytes = self.size_bytes, 0
        self._file.seek(0)
        self._file.truncate()
        self._digest = self._fresh_digest()
        return thrown_away

    def append(self, chunk: bytes) -> None:
        """Add a chunk at the end.

        Raises:
            OSError: the disk is full, or the like; what did fit is a good start for the next time.
        """
        rest = memoryview(chunk)
        while rest:  # an unbuffered write may take a part only
            written = self._file.write(rest) or 0
            self._digest.update(rest[:written])
            self.size_bytes += written
            rest = rest[written:]

    @property
    def hexdigest(self) -> str:
        """The digest of all that is in the file."""
        return self._digest.hexdigest()

    def publish(self, destination: Path) -> None:
        """Give the file its own name, once its bytes are on the disk."""
        os.fsync(self._file.fileno())
        self.path.replace(destination)

    def discard(self) -> None:
        """Remove the file; only for the holder of the lock."""
        self.path.unlink(missing_ok=True)

    def _fresh_digest(self) -> "hashlib._Hash":
        return hashlib.new(self._algorithm or "md5", usedforsecurity=False)


@contextmanager
def locked_part(destination: Path, algorithm: str | None, stop: Event) -> Iterator[PartialFile]:
    """Open `destination` + `.part` for this process alone; wait while another one has it.

    The lock is the kernel's (flock), so that of a killed process is gone with it. Nothing is left behind
    that has no byte in it.

    Raises:
        Stopped: `stop` was set while waiting.
        OSError: the folder cannot be written to.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    path = destination.with_name(destination.name + PART_SUFFIX)
    with _locked(path, stop) as file:
        part = PartialFile(path, file, algorithm)
        try:
            yield part
        finally:
            if is_at(file.fileno(), path) and os.fstat(file.fileno()).st_size == 0:
                part.discard()


@contextmanager
def _locked(path: Path, stop: Event) -> Iterator[FileIO]:
    while True:
        # Never through a link: another user who may write to the folder could have us write elsewhere.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with FileIO(descriptor, "r+") as file:
            if _lock(file) and is_at(file.fileno(), path):  # not published or removed by its former holder
                yield file
                return
        if stop.wait(LOCK_POLL_S):
            raise Stopped


def _lock(file: FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class StallWatch:
    """Tells a stalled transfer from a slow one."""

    def __init__(self, config: DownloadConfig) -> None:
        self._config = config
        self._since_s = time.monotonic()
        self._bytes = 0

    def count(self, count: int) -> None:
        """Count bytes that have come.

        Raises:
            Fault: fewer than `slowest_bytes_per_s` came over the last `slow_after_s`.
        """
        self._bytes += count
        now_s = time.monotonic()
        elapsed_s = now_s - self._since_s
        if elapsed_s < self._config.slow_after_s:
            return
        if self._bytes < self._config.slowest_bytes_per_s * elapsed_s:
            raise Fault(f"stalled: {format_bytes(self._bytes)} in {elapsed_s:.1f} s")
        self._since_s, self._bytes = now_s, 0


class Filling:
    """Fills a part from the sources of a file."""

    def __init__(self, file: RemoteFile, part: PartialFile, line: Line) -> None:
        self.file = file
        self.part = part
        self.line = line
        self.config = line.config
        self.tag: str | None = None  # of the source in use, for If-Range

    def run(self) -> None:
        """Fill the part, from the first source that can."""
        if self.file.digest:
            self.part.resume()
            self.line.meter.keep(self.part.size_bytes)
        if self._is_whole():  # killed between the last byte and the rename
            return
        faults = list[tuple[Source, Fault]]()
        for source in self.line.in_order(self.file.sources):
            try:
                self._fill_from(source)
            except Fault as fault:
                faults.append((source, fault))
            else:
                return
        reasons = "; ".join(f"{shown(source)}: {fault.reason}" for source, fault in faults)
        words = (
            f"Could not fetch {self.file.label}: {reasons or 'no mirror has a place for it'}. What has come "
            "is kept: run the same again, or name another mirror (us, eu, asia, a URL or a folder) with `--mirror`."
        )
        if faults and all(fault.is_lasting for _, fault in faults):
            raise WithheldFileError(words, is_absent=all(fault.is_absent for _, fault in faults))
        raise DownloadError(words)

    def _fill_from(self, source: Source) -> None:
        """Try one source until it is given up."""
        self.tag = None
        if not self.file.digest:
            self._restart()
        for attempt in range(1, self.config.attempts + 1):
            try:
                self._attempt(source)
            except Fault as fault:
                if self._is_whole():  # all has come, and only the ending was wrong
                    return
                self._recover(source, fault, attempt)
            else:
                self.line.note_success(source)
                return

    def _recover(self, source: Source, fault: Fault, attempt: int) -> None:
        """Make ready for another attempt, or give the source up by raising the fault."""
        if fault.spoils_part or not (self.file.digest or self.tag):
            self._restart()
        if fault.is_final:
            raise fault
        if attempt == self.config.attempts:
            self.line.note_failure(source)
            raise Fault(f"{fault.reason} (attempt {attempt} of {attempt})", is_lasting=fault.is_lasting) from fault
        self.line.meter.retry()
        self.line.pause(wait_before_retry_s(attempt, fault, self.config))

    def _attempt(self, source: Source) -> None:
        with self._open(source) as body:
            self.tag = body.tag
            if body.start != self.part.size_bytes:
                self._restart()  # the source does not heed ranges, or the file has changed
            elif body.start:
                self.line.meter.resume()
            self._take(body)
        self._check(body)

    def _open(self, source: Source) -> AbstractContextManager[Body]:
        offset = self.part.size_bytes
        if isinstance(source, Path):
            return open_path(source, offset)
        return open_url(self.line.client, source, offset, self.tag)

    def _take(self, body: Body) -> None:
        """Append what the body gives, as long as it comes fast enough and within bounds."""
        most_bytes = self.file.size_bytes or self.config.largest_file_bytes
        self._check_size(body.size_bytes or 0, most_bytes)
        if body.size_bytes:
            missing = body.size_bytes - self.part.size_bytes
            ensure_room(self.part.path.parent, missing, self.config.reserve_bytes, self.file.label)
        stall = StallWatch(self.config)
        for chunk in body.chunks:
            if self.line.stop.is_set():
                raise Stopped
            self._check_size(self.part.size_bytes + len(chunk), most_bytes)
            self.part.append(chunk)
            self.line.meter.receive(len(chunk))
            stall.count(len(chunk))

    def _check_size(self, size_bytes: int, most_bytes: int) -> None:
        if size_bytes > most_bytes:
            bound = "the size promised" if self.file.size_bytes else "`largest_file_bytes`"
            reason = f"sends {size_bytes} bytes or more, over {bound} of {most_bytes}"
            raise Fault(reason, spoils_part=True, is_lasting=True)

    def _check(self, body: Body) -> None:
        """Judge what is there now that the body has ended as it should."""
        if self._is_whole():
            return
        size_bytes = self.part.size_bytes
        due_bytes = self.file.size_bytes or body.size_bytes
        if due_bytes is not None and size_bytes < due_bytes:
            raise Fault(f"ends after {size_bytes} of {due_bytes} bytes")
        if self.file.digest:
            found = f"{self.file.algorithm} {self.part.hexdigest} instead of {self.file.digest}"
            reason = f"sends other bytes than promised: {size_bytes} of them with {found}"
            raise Fault(reason, spoils_part=True, is_lasting=True)

    def _is_whole(self) -> bool:
        return self.part.hexdigest == self.file.digest

    def _restart(self) -> None:
        self.line.meter.throw_away(self.part.restart())


@dataclass(frozen=True)
class FetchedFile:
    """A file that is there, and right as far as can be told."""

    path: Path
    size_bytes: int
    digest: str  # in hex, by the algorithm of the `RemoteFile`
    was_there: bool  # nothing had to be fetched


def fetch_file(
    file: RemoteFile, destination: Path, config: DownloadConfig, progress: Progress | None = None
) -> FetchedFile:
    """Fetch one file to `destination`, unless it is there with the right digest.

    Other processes may do the same at the same time: one fetches, the others wait and find it there.

    Raises:
        DownloadError: no source had it, or it cannot be written.
        DiskSpaceError: it does not fit on the disk.
    """
    progress = progress or Silent()
    progress.begin(file.label, file.size_bytes, "B")
    with open_line(config, progress, file.label) as line:
        return fetch_on_line(file, destination, line)


def find_file(file: RemoteFile, destination: Path) -> FetchedFile | None:
    """Return the file if it lies at `destination` with the right digest; without a digest nobody can tell."""
    if file.digest is None:
        return None
    try:
        found = file_digest(destination, file.algorithm)
        size_bytes = destination.stat().st_size
    except OSError:  # absent or not to be read: either way it has to be fetched, and that tells what is wrong
        return None
    return FetchedFile(destination, size_bytes, found, was_there=True) if found == file.digest else None


def fetch_on_line(file: RemoteFile, destination: Path, line: Line) -> FetchedFile:
    """Do what `fetch_file` does, with the connections and counts of `line`.

    Raises:
        Stopped: the line's end was asked for; what has come stays as a start for the next time.
        DownloadError: as `fetch_file`.
        DiskSpaceError: as `fetch_file`.
    """
    with disk_errors_named(destination), locked_part(destination, file.algorithm, line.stop) as part:
        there = find_file(file, destination)  # while this one waited for the lock, another may have fetched it
        if there:
            line.meter.keep(there.size_bytes)
            part.discard()
            return there
        Filling(file, part, line).run()
        part.publish(destination)
        return FetchedFile(destination, part.size_bytes, part.hexdigest, was_there=False)
