"""What went wrong in yt-dlp, in one line of ours.

In: its exceptions. Out: a `SourceError`, and whether trying again may help. Does not try again.
"""

import errno
import os
import re
from collections.abc import Iterator

from tasks.contracts.errors import DiskSpaceError, FetchError, ReelsiftError, RefusedSourceError, WithdrawnVideoError
from tasks.video.addresses import Guard, RefusedAddressError
from tasks.video.bounded_pages import PageTooLargeError

# What hosts say of a video that they no longer have, as yt-dlp passes it on.
GONE = re.compile(
    r"video (is )?(un|not |no longer )available|has been removed|private video|video is private|been terminated|"
    r"no longer exists|video does not exist|HTTP Error 410",
    re.IGNORECASE,
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
NOISE = re.compile(
    r"^ERROR: *|Got error: |\[[\w:+-]+\] |; please report this issue.*|\(caused by .*|Confirm you are on the latest.*|"
    r"Use --\S+.*|You might want to use a VPN.*",
    re.DOTALL,
)
OTHER_SCHEME = re.compile(r"unknown url type|Unsupported url scheme", re.IGNORECASE)
BROKEN_OFF = re.compile(r"Got error: |Giving up after")  # of yt-dlp's downloaders, without a cause to look at
LONGEST_REASON = 300  # characters; some of them are a stranger's
FOR_GOOD = (RefusedAddressError, PageTooLargeError)
TRY_AGAIN = frozenset({408, 425, 429})  # and all from 500 on


def translated(error: Exception, address: str, guard: Guard) -> ReelsiftError:
    """Return the error to raise in place of one of yt-dlp's or of the system's."""
    if guard.refused:
        return RefusedSourceError(
            f"{address} leads to {guard.refused}, which is not on the public internet, and is not fetched from. If you "
            "trust whoever names videos, set `fetch.allow_private`: REELSIFT_FETCH__ALLOW_PRIVATE=true."
        )
    if OTHER_SCHEME.search(str(error)):
        return RefusedSourceError(f"{address} leads to an address that is neither http nor https, and is not fetched.")
    reason = plain_line(NOISE.sub("", COLOURS.sub("", str(error)))) or type(error).__name__
    if os.strerror(errno.ENOSPC) in reason:
        return DiskSpaceError(f"No room for {address}: {reason} Free some, or name another disk in REELSIFT_HOME.")
    if GONE.search(reason):
        return WithdrawnVideoError(f"{address} is no longer there: {reason}")
    advice = "Try again: what has come is kept" if is_passing(error) else "Open it in a browser to see what it is"
    return FetchError(f"{address} could not be fetched: {reason.rstrip('.')}. {advice}.")


def is_passing(error: Exception) -> bool:
    """Say whether the next try may go better."""
    from yt_dlp.networking.exceptions import HTTPError, TransportError  # noqa: PLC0415 - loaded when this is called

    causes = list(_causes(error))
    if OTHER_SCHEME.search(str(error)) or any(isinstance(each, FOR_GOOD) for each in causes):
        return False
    statuses = [each.status for each in causes if isinstance(each, HTTPError)]
    if statuses:
        return any(status >= 500 or status in TRY_AGAIN for status in statuses)
    return any(isinstance(each, TransportError) for each in causes) or bool(BROKEN_OFF.search(str(error)))


def plain_line(text: str, longest: int = LONGEST_REASON) -> str:
    """Return text of a stranger as one line without control characters."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.split())[:longest]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it; yt-dlp keeps that in places of its own."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        yield each
        kept = (getattr(each, "exc_info", None) or (None, None))[1]
        waiting += [each.__cause__, each.__context__, getattr(each, "cause", None), kept]
