"""A file that is wanted: where it may lie, and how to know that it is the right one.

In: sources, and a digest and size where they are known. Out: a `RemoteFile`. Does not fetch it.
"""

from dataclasses import dataclass

from tasks.shards.mirror import Source


@dataclass(frozen=True)
class RemoteFile:
    """A file that is wanted."""

    label: str  # how messages and progress name it
    sources: tuple[Source, ...]  # the best first
    digest: str | None = None  # in hex; without one a part of an earlier process is of no use
    algorithm: str = "md5"  # any of hashlib's
    size_bytes: int | None = None  # exactly, where it is known
