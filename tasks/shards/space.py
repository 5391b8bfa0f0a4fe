"""Whether something fits on the disk, before and while it is written.

In: a folder and bytes. Out: `DiskSpaceError` where they do not fit. Does not know what is written.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.errors import DiskSpaceError, DownloadError

# The last one is a limit on the size of one file: of the file system (FAT) or of the shell (ulimit -f).
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
ADVICE = "Free some, take fewer shards (`--limit N`, `--shards X,Y`), or name another disk in REELSIFT_HOME."


def ensure_room(folder: Path, needed_bytes: int, reserve_bytes: int, what: str) -> None:
    """Refuse what does not fit into `folder`, which need not exist yet.

    Raises:
        DiskSpaceError: fewer than `needed_bytes` + `reserve_bytes` are free.
    """
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free_bytes = shutil.disk_usage(existing).free
    if needed_bytes > free_bytes - reserve_bytes:
        raise DiskSpaceError(
            f"No room for {what} in {folder}: {format_bytes(needed_bytes)} are needed, {format_bytes(free_bytes)} are "
            f"free, and {format_bytes(reserve_bytes)} of these are to stay so (`reserve_bytes`). {ADVICE}"
        )


@contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Translate the errors of the disk while `path` is written.

    Raises:
        DiskSpaceError: the disk, the quota or the file is full.
        DownloadError: the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskSpaceError(f"No room for {path}: {error.strerror}. What is whole is kept. {ADVICE}") from error
        raise DownloadError(
            f"Cannot write {path}: {error.strerror or error}. Mend that, then run the same again."
        ) from error


def format_bytes(count: float) -> str:
    """Return bytes as people read them, in powers of 1000: 1364993 -> `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
