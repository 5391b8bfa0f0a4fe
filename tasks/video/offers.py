"""What a host offers, judged before any of it is fetched."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tasks.contracts.errors import FetchError, RefusedSourceError
from tasks.video.config import FetchConfig

# Those that yt-dlp fetches itself, by http; for others it runs programs, or opens connections of its own.
PROTOCOLS = frozenset({"http", "https", "m3u8", "m3u8_native", "http_dash_segments"})
LISTS = frozenset({"playlist", "multi_video"})
NONE = "none"  # what yt-dlp calls the codec of a stream that is not there

Info = dict[str, Any]


def only_video(info: Info | None, address: str, config: FetchConfig) -> Info:
    """Return the one video of an address, or the first where lists are allowed.

    Raises:
        RefusedSourceError: there are several.
        FetchError: there is none.
    """
    while info and info.get("_type") in LISTS:
        entries = [each for each in info.get("entries") or () if each]
        count = max(int(info.get("playlist_count") or 0), len(entries))
        if count > 1 and not config.playlists:
            raise RefusedSourceError(
                f"{address} is a list of {count} videos or more: name one of them, or set `fetch.playlists` to take "
                "the first."
            )
        info = entries[0] if entries else None
    if not info:
        raise FetchError(f"No video was found at {address}. Open it in a browser to see what it is.")
    return info


def chooser(address: str, config: FetchConfig) -> Callable[[Info], Iterator[Info]]:
    """Return what yt-dlp asks which formats it is to take; it gives them worst first."""

    def choose(context: Info) -> Iterator[Info]:
        return iter(chosen(context["formats"], address, config))

    return choose


def chosen(formats: Sequence[Info], address: str, config: FetchConfig) -> list[Info]:
    """Return the best picture within the bounds, with the best sound where it has none of its own.

    A format that holds both is taken where its picture is as large; joining two is the price of a larger one.

    Raises:
        RefusedSourceError: no format is within the bounds.
    """
    usable = [each for each in formats if each.get("protocol") in PROTOCOLS]
    pictures = [each for each in usable if each.get("vcodec") != NONE]
    low = [each for each in pictures if shorter_side(each) <= config.largest_height]
    if not low:
        sides = sorted({side for each in pictures if (side := shorter_side(each))})
        raise RefusedSourceError(
            f"{address} comes only in {', '.join(map(str, sides))} pixels of the shorter side, over "
            f"`fetch.largest_height` of {config.largest_height}: raise that."
            if sides
            else f"{address} holds no picture that can be fetched by http(s): there is nothing to look at."
        )
    best = low[-1]
    whole = [each for each in low if each.get("acodec") != NONE and shorter_side(each) == shorter_side(best)]
    if whole:
        return whole[-1:]
    sounds = [each for each in usable if each.get("vcodec") == NONE and each.get("acodec") != NONE]
    return [best, *sounds[-1:]] if sounds else (_with_sound(low) or [best])


def shorter_side(form: Info) -> int:
    """Return what a format's `720p` counts: its height, or its width where the picture is upright; 0 if unknown."""
    return min((side for side in (form.get("width"), form.get("height")) if side), default=0)


def _with_sound(pictures: Sequence[Info]) -> list[Info]:
    """Return the best format that holds sound: a smaller picture that can be heard goes before a silent one."""
    return [each for each in pictures if each.get("acodec") != NONE][-1:]


def check_offer(info: Info, address: str, config: FetchConfig) -> None:
    """Refuse what is known to be out of bounds before any of it is fetched.

    Raises:
        RefusedSourceError: it is.
    """
    if info.get("is_live"):
        raise RefusedSourceError(f"{address} is still going on: fetch it when it has ended.")
    check_length(info.get("duration"), address, config)
    size_bytes = int(info.get("filesize") or 0)
    if size_bytes > config.largest_bytes:
        raise too_large(address, config)


def check_length(lasts_s: float | None, address: str, config: FetchConfig) -> None:
    """Refuse a video that lasts too long.

    Raises:
        RefusedSourceError: it does.
    """
    if lasts_s and lasts_s > config.longest_s:
        raise RefusedSourceError(
            f"{address} lasts {lasts_s:,.1f} s, over `fetch.longest_s` of {config.longest_s:,g}: raise that."
        )


def too_large(address: str, config: FetchConfig) -> RefusedSourceError:
    """Return what is to be said of a video that is too large."""
    return RefusedSourceError(
        f"{address} is larger than `fetch.largest_bytes` of {config.largest_bytes:,} bytes: raise that, or take a "
        "smaller format with `fetch.largest_height`."
    )
