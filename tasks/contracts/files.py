"""Atomic files and folders, their digests, file locks, URIs of SQLite files, and room on the disk."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote

from tasks.contracts.errors import DiskSpaceError, DownloadError, OutputError

DIGEST_BLOCK_BYTES = 1 << 20
SEAL = "digest"  # of a file's other content, in its first line
SEALED = re.compile(rb'\{\n"digest": "([0-9a-f]{64})",\n')
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
    with _full_named(path), temporary_file(path.parent, path.name, mode=mode) as temporary:
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

    with _full_named(parent), _held(path, made):
        yield path


@contextmanager
def _full_named(path: Path) -> Iterator[None]:
    """Name what was to be written where a disk is full: writing names nothing, and opening a hidden file."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL and (not error.filename or Path(error.filename).name.endswith(".tmp")):
            error.filename = str(path)
        raise


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


def _remove(path: Path, *, ignore_errors: bool = True) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=ignore_errors)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write `text` as UTF-8 atomically; `mode` as `appearing` takes it."""
    with appearing(path, mode=mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sealed(text: str) -> str:
    """Return the JSON of an object with the SHA-256 of all that follows in front: a flipped bit does not go unseen."""
    rest = text.removeprefix("{").lstrip()
    return f'{{\n"{SEAL}": "{hashlib.sha256(rest.encode()).hexdigest()}",\n{rest}'


def unsealed(content: bytes) -> bytes:
    """Return the JSON of an object without its seal; an earlier release wrote none.

    Raises:
        ValueError: what follows the seal is not what was sealed.
    """
    seal = SEALED.match(content)
    if seal is None:
        return content
    rest = content[seal.end() :]
    if hashlib.sha256(rest).hexdigest().encode() != seal[1]:
        raise ValueError("it differs from its digest")
    return b"{" + rest


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


LOCK_NAME = ".publishing.tmp"  # named as what may be deleted: there only while somebody holds it, or was killed then
PREFIX = ".making-"

_swept_results: set[Path] = set()


@contextmanager
def staged(folder: Path, *, files: tuple[str, ...], manifest: str) -> Iterator[Path]:
    """Yield an empty folder; when the block ends well, what it holds takes the place of what was in `folder`.

    Args:
        folder: made where it is missing, and removed again where nothing was written.
        files: names of all files and folders that an answer may have, the manifest's left out.
        manifest: the name of the one whose presence says that the others are whole.

    Raises:
        OutputError: the folder is a link that leads elsewhere.
    """
    check_no_link(folder)
    try:
        with _stage_in(folder) as stage:
            yield stage
            with locked(folder):
                check_no_link(folder)
                _publish(stage, folder, files, manifest)
    finally:
        with suppress(OSError):  # it is not empty, as it should be
            folder.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from replacing answers in an existing folder, until the block ends or its process does."""
    path = folder / LOCK_NAME
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            lock(descriptor)
            if is_at(descriptor, path):  # not removed by its former holder while we waited
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def check_no_link(folder: Path) -> None:
    """Refuse a link that leads out of the folder in which it lies: what is behind it is not ours to replace.

    Raises:
        OutputError: it is one.
    """
    if not folder.is_symlink():
        return
    target = folder.resolve()
    if target.parent != folder.parent.resolve() or not target.is_dir():
        raise OutputError(
            f"{folder} is a link to {target}, where nothing is written. Delete the link, or name another folder."
        )


def answer_digests(stage: Path, files: tuple[str, ...]) -> dict[str, str]:
    """Return the SHA-256 of every file of an answer, by its name in the folder."""
    found = (path for name in files for path in (stage / name, *sorted((stage / name).rglob("*"))) if path.is_file())
    return {path.relative_to(stage).as_posix(): file_digest(path) for path in found}


def is_whole(folder: Path, digests: Mapping[str, str]) -> bool:
    """Say whether every file of an answer is there as it was made."""
    try:
        return all(_is_below(name) and file_digest(folder / name) == digest for name, digest in digests.items())
    except OSError:
        return False


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


@contextmanager
def _stage_in(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; what killed runs have left in this folder and in those beside it goes before."""
    if folder.parent not in _swept_results:
        _swept_results.add(folder.parent)
        for beside in {path.parent for path in folder.parent.glob(f"*/{PREFIX}*.tmp")} - {folder}:
            remove_abandoned(beside)
            with suppress(OSError):  # there is an answer
                beside.rmdir()
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stage = stack.enter_context(temporary_folder(folder, PREFIX))
            except FileNotFoundError:  # another process has just removed the folder, as its own try wrote nothing
                continue
            yield stage
            return


def _publish(stage: Path, folder: Path, files: tuple[str, ...], manifest: str) -> None:
    (folder / manifest).unlink(missing_ok=True)
    for name in files:
        _remove(folder / name, ignore_errors=False)
        if (stage / name).exists():
            _move(stage / name, folder / name)
    _move(stage / manifest, folder / manifest)


def _move(made: Path, place: Path) -> None:
    """Have the disk hold a file before its name does; those of a folder can be made again."""
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())
    made.rename(place)


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
            f"Cannot write {path}: {error.strerror or error}. Fix this and rerun the command."
        ) from error


def format_bytes(count: float) -> str:
    """Return bytes as people read them, in powers of 1000: 1364993 -> `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
