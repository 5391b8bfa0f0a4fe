"""How files are downloaded: from where, how many at once, and how patiently."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from tasks.contracts.model import FrozenModel

PUBLIC = ("us", "eu", "asia")  # the mirrors of YouTube-8M
SHARE_PATTERN = re.compile(r"([1-9][0-9]{0,5}),([1-9][0-9]{0,5})")


def part_of(share: str) -> tuple[int, int]:
    """Return X and Y of a share that is written X,Y: the X-th of Y shares of the shards.

    Raises:
        ValueError: it is none.
    """
    found = SHARE_PATTERN.fullmatch(share)
    if not found or int(found[1]) > int(found[2]):
        raise ValueError("must be X,Y with X from 1 to Y, e.g. 1,100 for one hundredth")
    return int(found[1]), int(found[2])


def _checked(share: str) -> str:
    part_of(share)
    return share


Share = Annotated[str, AfterValidator(_checked)]


class DownloadConfig(FrozenModel):
    """Everything that a download can be told."""

    release: int = Field(
        default=2, ge=1, le=9, description="release of YouTube-8M: the first folder of its hosts (3 holds the segments)"
    )
    mirrors: tuple[str, ...] = Field(
        default=("us",),
        min_length=1,
        max_length=16,
        description="us, eu, asia, an http(s) URL or a folder; each one is the fallback of those before it, and the "
        "other public ones are the fallback of a public one",
    )
    connections: int = Field(default=24, ge=1, le=64, description="files downloaded at once, one connection each")
    attempts: int = Field(default=5, ge=1, le=100, description="tries of one file on one mirror, the first included")
    connect_timeout_s: float = Field(default=10.0, gt=0, le=300, description="seconds until a connection must stand")
    read_timeout_s: float = Field(default=30.0, gt=0, le=3600, description="seconds of silence that end an attempt")
    slowest_bytes_per_s: float = Field(
        default=1024.0, ge=0, le=1e9, description="bytes a second below which a transfer counts as stalled"
    )
    slow_after_s: float = Field(
        default=30.0, gt=0, le=3600, description="seconds over which `slowest_bytes_per_s` is judged"
    )
    backoff_base_s: float = Field(
        default=0.5, ge=0, le=60, description="seconds; before retry n, up to this times 2^(n-1) are waited at random"
    )
    backoff_max_s: float = Field(default=30.0, ge=0, le=600, description="seconds that a back-off never exceeds")
    retry_after_max_s: float = Field(
        default=120.0, ge=0, le=3600, description="seconds of a server's Retry-After that are honoured at most"
    )
    redirects: int = Field(default=5, ge=0, le=20, description="redirects followed for one request")
    reserve_bytes: int = Field(
        default=1 << 30, ge=0, le=1 << 50, description="bytes of disk that downloads leave free (1 GiB)"
    )
    largest_file_bytes: int = Field(
        default=4 << 30, ge=1, le=1 << 50, description="bytes above which a file is refused, from any mirror (4 GiB)"
    )
    size_samples: int = Field(
        default=16, ge=1, le=10_000, description="files whose size is asked for to estimate a download; plans give none"
    )
