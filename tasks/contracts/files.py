"""Files that appear whole or not at all, their digests, and the addresses of those that are databases.

A file is under its final name only once it is complete and on the disk.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote

from tasks.contracts.errors import OutputError

DIGEST_BLOCK_BYTES = 1 << 20
PRIVATE = 0o600  # for files with secrets: the owner's alone

# What killed processes leave behind.
ABANDONED_FILE = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp", re.DOTALL)
ABANDONED_FOLDER = re.compile(r"\.(?:making|bringing)-.+\.tmp")
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}  # of a file system

_unfinished: set[Path] = set()
_swept: set[Path] = set()
_sweeping = threading.Lock()


@contextmanager
def appearing(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary file beside `path` that is renamed to it when the block ends well.

    A process killed half-way leaves the old file or none, and the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_file(path.parent, path.name, mode=mode) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@contextmanager
def temporary_file(folder: Path, name: str, *, mode: int = 0o666) -> Iterator[Path]:
    """Yield a new hidden file in `folder`, deleted when the block ends unless it has been renamed.

    It is locked until then. What a killed process has left has no lock, so the next one that writes to the folder can
    tell, and deletes it.
    """
    remove_abandoned(folder)
    path = folder / f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    with _held(path, lambda: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, mode)):
        yield path


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new hidden folder in `parent`, deleted when the block ends; one that a killed process left goes before.

    Args:
        parent: exists.
        prefix: `.making-`, or another that `ABANDONED_FOLDER` has.

    Raises:
        FileNotFoundError: `parent` is gone.
    """
    remove_abandoned(parent)
    path = parent / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}.tmp"

    def made() -> int:
        path.mkdir(mode=0o700)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    with _held(path, made):
        yield path


@contextmanager
def _held(temporary: Path, make: Callable[[], int]) -> Iterator[None]:
    """Make a temporary file or folder, hold a lock on it, and delete it in the end."""
    _unfinished.add(temporary)
    descriptor = None
    try:
        while descriptor is None:
            descriptor = make()
            lock(descriptor)
            if not is_at(descriptor, temporary):  # another process found it without the lock
                os.close(descriptor)
                descriptor = None
        yield
    finally:
        _remove(temporary)
        _unfinished.discard(temporary)
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Delete the temporary files and folders in `folder` whose process has died; looked for once a process."""
    with _sweeping:
        if folder in _swept:
            return
        _swept.add(folder)
        with suppress(OSError):
            for entry in tuple(os.scandir(folder)):
                kind = ABANDONED_FOLDER if entry.is_dir(follow_symlinks=False) else ABANDONED_FILE
                if kind.fullmatch(entry.name) and not entry.is_symlink():
                    _remove_if_free(Path(entry.path))


def _remove_if_free(path: Path) -> None:
    with suppress(OSError):  # another process has it, or it cannot be locked: then nobody knows
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)
        finally:
            os.close(descriptor)


def remove_unfinished() -> None:
    """Delete the temporary files and folders of this process; for one that ends without leaving its blocks."""
    for path in tuple(_unfinished):
        with suppress(OSError):
            _remove(path)


def is_at(descriptor: int, path: Path) -> bool:
    """Say whether an open file or folder still bears the name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def lock(descriptor: int) -> None:
    """Wait for the lock of an open file or folder; nothing happens where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write `text` as UTF-8, whole or not at all; `mode` as `appearing` takes it."""
    with appearing(path, mode=mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hex digest of a file's content, read in blocks."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(DIGEST_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_folder(folder: Path) -> None:
    """See that a folder is there and can be written, or can be made, before any work is done for it.

    Raises:
        OutputError: it cannot be.
    """
    place = folder.absolute()
    try:
        str(place).encode()
    except UnicodeEncodeError as error:  # what reads and writes Parquet and video takes no other
        name = os.fsencode(place).decode("utf-8", "backslashreplace")
        raise OutputError(f"Nothing can be written to {name}: the name is not UTF-8 text. Name another.") from error
    nearest = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise OutputError(f"Nothing can be written to {folder}: {nearest} is not a folder. Name a folder.")
    try:
        with TemporaryDirectory(prefix=".trying-", suffix=".tmp", dir=nearest):
            pass
    except OSError as error:
        raise OutputError(f"Nothing can be written to {folder}: {error.strerror} ({nearest}). Name another.") from error


SQLITE = "sqlite"
SQLITE_FILE = "file:"  # how SQLite's own URIs begin


def sqlite_uri(path: Path, dialect: str = SQLITE) -> str:
    """Return the address of a SQLite database as SQLAlchemy reads it, whatever the path's characters.

    A `?` would begin its options, so such a path is given as SQLite's own URI. It names its driver, for MLflow takes
    all that follows `sqlite:///` for a path, and makes its folder.
    """
    if "?" not in str(path):
        return f"{dialect}:///{path}"
    named = dialect if "+" in dialect else f"{dialect}+pysqlite"
    return f"{named}:///{SQLITE_FILE}{quote(str(path))}?uri=true"


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite database's address; None where the address is another database's."""
    dialect, _, rest = uri.partition(":///")
    if dialect.partition("+")[0] != SQLITE:
        return None
    path = rest.partition("?")[0]
    return Path(unquote(path.removeprefix(SQLITE_FILE)) if path.startswith(SQLITE_FILE) else path)
