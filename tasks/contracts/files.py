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

DIGEST_BLOCK_BYTES = 1 << 20


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to it when the block ends well.

    A process killed half-way leaves the old file or none, and beside it `.<name>.<unique>.tmp`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with appearing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hex digest of a file's content, read in blocks."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(DIGEST_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
