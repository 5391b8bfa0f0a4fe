"""One file from any of its sources to the disk: resumed, checked, retried, failed over.

In: a `RemoteFile` (sources, and a digest and size where they are known) and a destination. Out: the destination,
whole and right, or a `DownloadError`; never a wrong file under that name. Does not know what the file holds.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.files import file_digest
from tasks.contracts.progress import Progress, Silent
from tasks.shards.config import DownloadConfig
from tasks.shards.filling import Filling
from tasks.shards.line import Line, open_line
from tasks.shards.partfile import locked_part
from tasks.shards.remote import RemoteFile
from tasks.shards.space import disk_errors_named


@dataclass(frozen=True)
class Fetched:
    """A file that is there, and right as far as can be told."""

    path: Path
    size_bytes: int
    digest: str  # in hex, by the algorithm of the `RemoteFile`
    was_there: bool  # nothing had to be fetched


def fetch_file(
    file: RemoteFile, destination: Path, config: DownloadConfig, progress: Progress | None = None
) -> Fetched:
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


def find_file(file: RemoteFile, destination: Path) -> Fetched | None:
    """Return the file if it lies at `destination` with the right digest; without a digest nobody can tell."""
    if file.digest is None:
        return None
    try:
        found = file_digest(destination, file.algorithm)
        size_bytes = destination.stat().st_size
    except OSError:  # absent or not to be read: either way it has to be fetched, and that tells what is wrong
        return None
    return Fetched(destination, size_bytes, found, was_there=True) if found == file.digest else None


def fetch_on_line(file: RemoteFile, destination: Path, line: Line) -> Fetched:
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
        return Fetched(destination, part.size_bytes, part.hexdigest, was_there=False)
