"""Files that appear whole or not at all, and their digests.

In: bytes and paths. Out: files under their final name, only once they are complete and on the disk.
Does not know what the files hold.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.contracts.errors import OutputError

DIGEST_BLOCK_BYTES = 1 << 20
PRIVATE = 0o600  # for files with secrets: the owner's alone


@contextmanager
def appearing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to it when the block ends well.

    A process killed half-way leaves the old file or none, and beside it `.<name>.<unique>.tmp`.

    Args:
        path: the final name.
        mode: permissions that the file has before anything is in it; None: those that the process gives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        if mode is not None:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
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
