"""The YouTube id behind an id of YouTube-8M.

In: four letters or digits, and the mirrors. Out: eleven characters, or an error where the video has been withdrawn.

The answer is the text `i("ZU9H","<11 characters>");` (https://research.google.com/youtube8m/video_id_conversion.html);
for a withdrawn video it is an XML page, which must never be taken for an id.
"""

import re
from http import HTTPStatus
from pathlib import Path

import httpx

from tasks.contracts.errors import FetchError, WithdrawnVideoError
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import Source, resolve, shown
from tasks.shards.sources import make_client, through

ANSWER = re.compile(r'\s*i\("(?P<asked>[A-Za-z0-9]{4})","(?P<found>[A-Za-z0-9_-]{11})"\);?\s*')
GONE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
LARGEST_ANSWER = 4096  # bytes; an id takes 24


def resolve_yt8m_id(video_id: str, download: DownloadConfig) -> str:
    """Return the YouTube id of a video of YouTube-8M.

    Raises:
        MirrorError: `video_id` is not four letters or digits, or a mirror cannot be used.
        WithdrawnVideoError: the dataset's hosts no longer name the video.
        FetchError: no host could be asked, or what it said is no answer.
    """
    reasons = []
    with make_client(download) as client:
        for source in resolve(download).youtube_id(video_id):
            try:
                answer = _answer(client, source)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                reasons.append(f"{shown(source)}: {error or type(error).__name__}{_through(source)}")
                continue
            return _judged(video_id, answer, source)
    raise FetchError(f"The YouTube id of {video_id} could not be asked for: {'; '.join(reasons)}. Try again later.")


def _answer(client: httpx.Client, source: Source) -> str | None:
    """Return what a host says; None where it says that there is nothing."""
    if isinstance(source, Path):
        return source.read_bytes()[:LARGEST_ANSWER].decode("utf-8", "replace") if source.is_file() else None
    with client.stream("GET", source) as response:
        if response.status_code in GONE:
            return None
        response.raise_for_status()
        start = next(response.iter_bytes(LARGEST_ANSWER), b"")
        return start.decode("utf-8", "replace")


def _judged(video_id: str, answer: str | None, source: Source) -> str:
    if answer is None or "AccessDenied" in answer or "NoSuchKey" in answer:
        raise WithdrawnVideoError(
            f"The video {video_id} has been withdrawn: YouTube-8M no longer names it. Take another one of its label."
        )
    match = ANSWER.fullmatch(answer)
    if match is None or match["asked"] != video_id:
        raise FetchError(f"{shown(source)} gives no id of {video_id}, but {answer[:60]!r}. Try another mirror.")
    return match["found"]


def _through(source: Source) -> str:
    return through(source) if isinstance(source, str) else ""
