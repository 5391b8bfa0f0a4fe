"""What went wrong in yt-dlp as one of our errors, in one line with advice; and whether trying again may help."""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.contracts.errors import (
    ConfigError,
    DiskSpaceError,
    FetchError,
    RateLimitedError,
    ReelsiftError,
    RefusedSourceError,
    RestrictedVideoError,
    SourceError,
    WithdrawnVideoError,
)
from tasks.contracts.text import shown
from tasks.shards.proxies import proxy_for
from tasks.video.addresses import AddressGuard, PageTooLargeError, RefusedAddressError
from tasks.video.youtube import HOW_TO_EXPORT

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
NOISE = re.compile(
    r"^ERROR: *([\w-]{11}: )?|Got error: |\[[\w:+-]+\] ([\w-]{11}: )?|; please report this issue.*|\(caused by .*|"
    r"Confirm you are on the latest.*|Use --\S+.*|You might want to use a VPN.*|It is recommended to use .*",
    re.DOTALL,
)
OTHER_SCHEME = re.compile(r"unknown url type|Unsupported url scheme", re.IGNORECASE)
BROKEN_OFF = re.compile(r"Got error: |Giving up after")  # of yt-dlp's downloaders, without a cause to look at
NO_ANSWER = re.compile(r"Failed to extract any player response")  # the reasons were warnings only
HICCUP = re.compile(
    r"an (unknown )?error (has )?occurred|something went wrong|unknown error|internal error", re.IGNORECASE
)
LONGEST_REASON = 300  # characters; some of them are a stranger's
FOR_GOOD = (RefusedAddressError, PageTooLargeError)
TOO_MANY = 429
TRY_AGAIN = frozenset({408, 425, TOO_MANY})  # and all from 500 on
SIGN_IN = f"If an account of yours may see it, {HOW_TO_EXPORT}"


@dataclass(frozen=True)
class Refusal:
    """One way in which a host says no."""

    said: re.Pattern[str]
    error: type[SourceError]
    means: str  # goes on where the address ends
    advice: str


def _refusal(said: str, error: type[SourceError], means: str, advice: str) -> Refusal:
    return Refusal(re.compile(said, re.IGNORECASE), error, means, advice)


# As hosts say it and yt-dlp passes it on, above all YouTube (yt_dlp/extractor/youtube/_video.py). The first that fits
# counts, and most begin with "Video unavailable": what has a cause of its own comes before what is merely gone.
REFUSALS = (
    _refusal(
        r"rate-limited|content isn.?t available, try again later|HTTP Error 429",
        RateLimitedError,
        "is not given for now: the host has given this network address as many videos as it gives in a while",
        "Run the same again in an hour (what has come is kept), and raise `fetch.pause_s` (YouTube gives guests about "
        "300 videos an hour) or sign in with `fetch.cookies_file`",
    ),
    _refusal(
        r"not a bot|captcha|IP is likely being blocked",
        RestrictedVideoError,
        "is not given to this network address unless somebody signs in: YouTube takes us for a bot",
        f"Fetch from another network, or {HOW_TO_EXPORT}",
    ),
    _refusal(
        r"confirm your age|age.?restricted|inappropriate for some users|age.?verif",
        RestrictedVideoError,
        "is for adults only, who have to sign in",
        SIGN_IN,
    ),
    _refusal(
        r"private video|video is private|granted access to this video",
        RestrictedVideoError,
        "is private",
        SIGN_IN,
    ),
    _refusal(
        r"members.only|channel.s members|join this channel|premium members|requires payment|purchase|\brent(al)?\b",
        RestrictedVideoError,
        "is for members or paying viewers only",
        SIGN_IN,
    ),
    _refusal(
        r"(in|from) (your|this) (country|location|region)|geo.?restrict|geo.?block",
        RestrictedVideoError,
        "is not shown in the country that this machine is in",
        "Fetch it where it is shown, or take another one",
    ),
    _refusal(
        r"made for kids",
        RestrictedVideoError,
        "is made for kids, which YouTube gives to few of its players",
        "Try again with the newest yt-dlp, or take another one",
    ),
    _refusal(
        r"\bDRM\b",
        RefusedSourceError,
        "is encrypted (DRM), and is not fetched",
        "Take another one",
    ),
    _refusal(
        r"will begin|premieres? in|premiere will|starting soon|waiting for .*(live|stream)",
        RefusedSourceError,
        "has not begun yet",
        "Fetch it when it has ended",
    ),
    _refusal(
        r"\bis live\b|live ?stream is offline",
        RefusedSourceError,
        "is live",
        "Fetch it when it has ended",
    ),
    _refusal(
        r"video is not available\W*$",
        WithdrawnVideoError,
        "is not available: it is gone, or its host gives it neither to guests nor to this country",
        "Open it in a browser to see which, or take another one of its label",
    ),
    _refusal(
        r"video (is )?(un|not |no longer )available|(has|have|was) been removed|removed by|been terminated|"
        r"no longer exists|does not exist|isn.?t available any ?more|recording is not available|live event has ended|"
        r"copyright|closed their|HTTP Error 410",
        WithdrawnVideoError,
        "is no longer there",
        "Take another one of its label",
    ),
    _refusal(
        r"certificate verify failed",
        FetchError,
        "was not fetched: nobody whom this machine trusts vouches for its host",
        "If your network looks into https, name its authority's certificate in SSL_CERT_FILE",
    ),
    _refusal(
        r"sign in|log ?in|registered users|account",
        RestrictedVideoError,
        "is for signed-in viewers only",
        SIGN_IN,
    ),
)
UNAVAILABLE_HERE = re.compile(r"video is not available$|video unavailable$", re.IGNORECASE)  # whatever the cause


@dataclass
class Heard:
    """What yt-dlp and its connections said on the way, for errors that come without their cause."""

    warnings: list[str] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)  # of connections, in order
    for_kids: bool = False  # the page says so
    proxy: str = ""  # through which the last request went


def translated(error: Exception, address: str, guard: AddressGuard, heard: Heard | None = None) -> ReelsiftError:
    """Return the error to raise in place of one of yt-dlp's or of the system's."""
    heard = heard or Heard()
    if guard.refused:
        return RefusedSourceError(
            f"{address} leads to {guard.refused}, which is not on the public internet, and is not fetched from. If you "
            "trust those who name videos, set `fetch.allow_private`: REELSIFT_FETCH__ALLOW_PRIVATE=true."
        )
    if OTHER_SCHEME.search(str(error)):
        return RefusedSourceError(f"{address} leads to an address that is neither http nor https, and is not fetched.")
    reason = _reason(error, heard)
    if os.strerror(errno.ENOSPC) in reason:
        return DiskSpaceError(f"No room for {address}: {reason} Free some, or name another disk in REELSIFT_HOME.")
    through = f", through {heard.proxy}" if heard.proxy else ""
    for refusal in REFUSALS:
        if refusal.said.search(reason):
            said = f" ({reason.rstrip('.')}{through})" if reason else ""
            return refusal.error(f"{address} {refusal.means}{said}. {refusal.advice}.")
    passing = is_passing(error, heard)
    advice = "Try again: what has come is kept" if passing else "Open it in a browser to see what it is"
    spared = _spared_proxy(address) if passing and not guard.allow_private else ""
    return FetchError(f"{address} could not be fetched: {reason.rstrip('.')}{through}. {advice}.{spared}")


def _spared_proxy(address: str) -> str:
    """Return a hint for machines that reach the internet through a proxy alone."""
    try:
        proxy = proxy_for(address)
    except ConfigError:  # which names the way out as little
        return ""
    if proxy is None:
        return ""
    return (
        f" T{str(proxy)[1:]} was not used, as it would get around the refusal of private addresses: if you trust "
        "those who name videos, set REELSIFT_FETCH__ALLOW_PRIVATE=true."
    )


def is_passing(error: Exception, heard: Heard | None = None) -> bool:
    """Say whether the next try may go better."""
    from yt_dlp.networking.exceptions import (  # noqa: PLC0415 - loaded when this is called
        CertificateVerifyError,
        HTTPError,
        TransportError,
    )

    causes = list(_causes(error))
    if NO_ANSWER.search(str(error)) and heard:
        causes += heard.troubles[-1:]
    if OTHER_SCHEME.search(str(error)) or any(isinstance(each, FOR_GOOD) for each in causes):
        return False
    if any(isinstance(each, CertificateVerifyError) for each in causes):
        return False
    statuses = [each.status for each in causes if isinstance(each, HTTPError)]
    if statuses:
        return any(status >= 500 or status in TRY_AGAIN for status in statuses)
    return any(isinstance(each, TransportError) for each in causes) or bool(
        BROKEN_OFF.search(str(error)) or HICCUP.search(str(error))
    )


def asked_to_wait(error: Exception) -> str | None:
    """Return the Retry-After header of the answer that led to an error."""
    from yt_dlp.networking.exceptions import HTTPError  # noqa: PLC0415 - as above

    answers = [each.response for each in _causes(error) if isinstance(each, HTTPError)]
    return next((each.headers.get("Retry-After") for each in answers), None)


def plain_line(text: str, longest: int = LONGEST_REASON) -> str:
    """Return text of a stranger as one line that gives a terminal no orders, without passwords."""
    return shown(text, longest)


def _reason(error: Exception, heard: Heard) -> str:
    """Return what went wrong in one line, from the warnings where the error has nothing to say itself."""
    reason = _plain(str(error)) or type(error).__name__
    if NO_ANSWER.search(reason) and (said := heard.troubles[-1:] or heard.warnings[-1:]):
        reason = _plain(str(said[0])) or reason
    if heard.for_kids and UNAVAILABLE_HERE.search(reason.rstrip(".")):
        reason = f"{reason.rstrip('.')}; its page says that it is made for kids"
    return reason


def _plain(text: str) -> str:
    return plain_line(NOISE.sub("", COLOURS.sub("", text)))


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
