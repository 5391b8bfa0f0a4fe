"""How much a download will be, asked of a sample of its files.

In: planned shards. Out: an `Estimate`. Does not fetch any of them.
"""

from collections.abc import Sequence

from pydantic import Field

from tasks.contracts.artifacts import PlannedShard
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Silent
from tasks.shards.config import DownloadConfig
from tasks.shards.line import Line, open_line
from tasks.shards.mirror import Mirrors, Source, resolve
from tasks.shards.parallel import run_each
from tasks.shards.sources import size_at_url


class Estimate(FrozenModel):
    """How many files a download has, and how large they are together."""

    files: int = Field(ge=0)
    bytes: int | None = Field(ge=0, description="None where no mirror tells sizes")
    exact: bool = Field(description="every file was asked for, not a sample")


def estimate_download(shards: Sequence[PlannedShard], config: DownloadConfig) -> Estimate:
    """Return what fetching `shards` means; plans give no sizes, so a sample of the files is asked for theirs.

    Raises:
        MirrorError: a mirror's name means nothing.
    """
    with open_line(config, Silent(), "sizes") as line:
        return estimate_on_line(shards, resolve(config), line)


def estimate_on_line(shards: Sequence[PlannedShard], mirrors: Mirrors, line: Line) -> Estimate:
    """Do what `estimate_download` does, with the connections of `line`."""
    config = line.config
    step = max(1.0, len(shards) / config.size_samples)
    sample = [shards[int(number * step)] for number in range(min(len(shards), config.size_samples))]
    sizes = run_each(sample, lambda shard: _size_of(mirrors.shard(shard), line), config.connections, line.stop)
    known = [size for size in sizes if size is not None and size <= config.largest_file_bytes]
    if shards and not known:
        return Estimate(files=len(shards), bytes=None, exact=False)
    exact = len(known) == len(shards)
    total = sum(known) if exact else round(sum(known) / len(known) * len(shards))
    return Estimate(files=len(shards), bytes=total, exact=exact)


def _size_of(sources: Sequence[Source], line: Line) -> int | None:
    """Return the size in bytes that the first source to know it gives, or None."""
    for source in line.in_order(sources):
        if isinstance(source, str):
            size_bytes = size_at_url(line.client, source)
        else:
            size_bytes = source.stat().st_size if source.is_file() else None
        if size_bytes is not None:
            return size_bytes
    return None
