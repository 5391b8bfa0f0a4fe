"""The unfinished file beside a destination: it outlives the process, and one process at a time writes to it."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from threading import Event

from tasks.contracts.files import DIGEST_BLOCK_BYTES, is_at
from tasks.shards.sources import Stopped

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
