"""What can go wrong with one attempt, and how long to wait before the next.

In: an answer's headers, the count of attempts. Out: `Fault`s, which never leave this stage, and waits in seconds.
Does not know what is done about a fault.
"""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tasks.shards.config import DownloadConfig


class Fault(Exception):  # noqa: N818 - the cause of an error, handled before anybody sees one
    """One attempt at one source has failed.

    Args:
        reason: what a person reads, e.g. `HTTP 403 (Forbidden)`.
        is_final: the same source will not answer otherwise the next time.
        spoils_part: what has come so far is no use.
        is_absent: the source says that it has no such file, which is final.
        retry_after_s: seconds that the server asks to wait.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_final: bool = False,
        spoils_part: bool = False,
        is_absent: bool = False,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_absent = is_absent
        self.is_final = is_final or is_absent
        self.spoils_part = spoils_part
        self.retry_after_s = retry_after_s


class Stopped(Exception):  # noqa: N818 - not an error
    """Somebody asked for an end: Ctrl-C, or an error that concerns all files."""


def wait_before_retry_s(retry: int, fault: Fault, config: DownloadConfig) -> float:
    """Return the seconds to wait before retry number `retry`, counted from 1.

    Exponential back-off with full jitter: uniform in [0, min(max, base * 2^(retry-1))]
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), or what the server asks for if
    that is more.
    """
    ceiling = min(config.backoff_max_s, config.backoff_base_s * 2.0 ** min(retry - 1, 60))
    jitter = random.uniform(0, ceiling)  # noqa: S311 - spreads load, hides nothing
    return max(jitter, min(fault.retry_after_s, config.retry_after_max_s))


def retry_after_s(header: str | None, now: datetime | None = None) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3): a number or a date; 0 for neither."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    if date.tzinfo is None:  # "-0000" means UTC without a word on the place
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
