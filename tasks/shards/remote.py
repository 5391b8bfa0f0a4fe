"""A file that is wanted: where it may lie, and how to know that it is the right one.

In: sources, and a digest and size where they are known. Out: a `RemoteFile`. Does not fetch it.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.files import file_digest
from tasks.shards.mirror import Source


@dataclass(frozen=True)
class RemoteFile:
    """A file that is wanted."""

    label: str  # how messages and progress name it
    sources: tuple[Source, ...]  # the best first
    digest: str | None = None  # in hex; without one a part of an earlier process is of no use
    algorithm: str = "md5"  # any of hashlib's
    size_bytes: int | None = None  # exactly, where it is known

    def is_at(self, path: Path) -> bool:
        """Say whether the file lies at `path` already; without a digest nobody can tell."""
        if self.digest is None or not path.is_file():
            return False
        return file_digest(path, self.algorithm) == self.digest
