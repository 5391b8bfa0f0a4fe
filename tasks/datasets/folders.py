"""Folders that appear atomically, one publisher at a time."""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tasks.contracts.errors import DatasetError, DiskSpaceError

TEMPORARY = ".*.tmp"  # what a killed publisher leaves behind


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Wait until no other process or thread publishes below `root`, then keep others out.

    Whatever temporary file is found then belongs to a dead publisher and is deleted.
    """
    with locked(root):
        for leftover in (*root.glob(TEMPORARY), *root.glob(f"*/{TEMPORARY}")):
            remove(leftover)
        yield


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep all others from publishing below `root`, and from deleting what is there.

    The kernel lets go of the lock when its holder dies, so no dead publisher blocks a living one.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep `folder` from being deleted for its age, until the block ends or its process does.

    Without effect where there is no such folder, or its file system does not lock.
    """
    with ExitStack() as held:
        with suppress(OSError):
            fcntl.flock(held.enter_context(_opened(folder)), fcntl.LOCK_SH)
        yield


@contextmanager
def not_in_use(folder: Path) -> Iterator[bool]:
    """Say whether nobody uses `folder`, or holds a lock on it if it is a file, and if so keep all others from it.

    Raises:
        OSError: it is not there, or its file system does not lock.
    """
    with _opened(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe of that name is not waited for
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name beside `path`, on the same file system; nothing is made yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def link_or_copy(source: Path, target: Path) -> None:
    """Give `source` a second name, or a second copy where the file system cannot link."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def freeze(path: Path) -> None:
    """Make a file read-only and wait until its content is on the disk."""
    path.chmod(0o444)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def move_into_place(temporary: Path, folder: Path) -> None:
    """Rename a finished folder; one already there gives way and is deleted."""
    sync_folder(temporary)
    old = temporary_beside(folder)
    with suppress(FileNotFoundError):
        folder.rename(old)
    temporary.rename(folder)
    sync_folder(folder.parent)
    remove(old)


def point(pointer: Path, target: str) -> None:
    """Let the symbolic link `pointer` lead to `target`, relative to its folder, in one step."""
    with suppress(OSError):
        if str(pointer.readlink()) == target:
            return
    temporary = temporary_beside(pointer)
    temporary.symlink_to(target)
    temporary.replace(pointer)
    sync_folder(pointer.parent)


@contextmanager
def writing(what: str, place: Path) -> Iterator[None]:
    """Turn the system's refusal to write `what` below `place` into an error that says what to do.

    Raises:
        DiskSpaceError: the disk or the quota is full.
        DatasetError: anything else.
    """
    try:
        yield
    except OSError as error:
        kind = DiskSpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else DatasetError
        raise kind(
            f"{what} cannot be written: {error.strerror}. "
            f"See that {place} is writable and has space, then run the same command again"
        ) from error


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
