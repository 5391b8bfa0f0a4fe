"""A source as a person names it to a file on the disk.

In: a file's name, an address or an id. Out: a `FetchedVideo`. What was fetched before is found again; a file is used
where it lies. Does not open the video.
"""

import re
from pathlib import Path

from tasks.contracts.errors import FetchError, SourceError, VideoError
from tasks.contracts.files import file_digest
from tasks.contracts.media import FetchedVideo
from tasks.contracts.progress import Progress, Silent
from tasks.shards.config import DownloadConfig
from tasks.video.addresses import Guard
from tasks.video.config import FetchConfig
from tasks.video.container import found_in, open_container
from tasks.video.download import download
from tasks.video.picture import is_picture
from tasks.video.shelf import Place, place_of
from tasks.video.sources import YOUTUBE_ID, Source, SourceKind, parse_source, watch_page
from tasks.video.youtube_id import resolve_yt8m_id

ON_YOUTUBE = re.compile(
    r"https?://(?:(?:www|m)\.)?(?:youtube\.com/watch\?(?:.*&)?v=|youtu\.be/)(?P<id>[A-Za-z0-9_-]{11})\b"
)


def fetch_video(
    source: str, cache: Path, config: FetchConfig, download: DownloadConfig, progress: Progress | None = None
) -> FetchedVideo:
    """Have the video that a source names on the disk.

    Args:
        source: a file, an http(s) address, a YouTube id or a YouTube-8M id.
        cache: folder of fetched videos, by source and format.
        config: what is refused, and how patiently it is fetched.
        download: the mirrors that know the YouTube ids of YouTube-8M.
        progress: hears of the bytes.

    Raises:
        SourceError: it is no source, is refused, is withdrawn, or cannot be fetched.
        MirrorError: a mirror cannot be used.
    """
    named = parse_source(source)
    if named.kind is SourceKind.FILE:
        return _local(named)
    known = _known_ids(named, download)
    address = watch_page(known["youtube_id"]) if "youtube_id" in known and named.kind is not SourceKind.URL else source
    with place_of(cache, f"{address}\n{config.largest_height}") as place:
        found = place.find() or _fetched(address, place, config, progress or Silent(), known)
    return found.model_copy(update={"source": source})


def _local(named: Source) -> FetchedVideo:
    path = named.path
    try:
        return FetchedVideo(
            source=named.text,
            path=path,
            sha256=file_digest(path),
            size_bytes=path.stat().st_size,
            title=path.stem,
        )
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error


def _known_ids(named: Source, download: DownloadConfig) -> dict[str, str]:
    """Return the ids of a video that its source tells."""
    if named.kind is SourceKind.YT8M:
        return {"yt8m_id": named.text, "youtube_id": resolve_yt8m_id(named.text, download)}
    if named.kind is SourceKind.YOUTUBE and YOUTUBE_ID.fullmatch(named.text):
        return {"youtube_id": named.text}
    match = ON_YOUTUBE.match(named.text)
    return {"youtube_id": match["id"]} if match else {}


def _check_kind(path: Path, address: str) -> None:
    """Refuse a page or a text that was sent in place of a video, so that it is not kept as one."""
    if is_picture(path):
        return
    try:
        with open_container(path):
            return
    except VideoError as error:
        found = found_in(path)
        path.unlink()
        raise FetchError(f"{address} gives no video: {found}. Open it in a browser to see what it is.") from error


def _fetched(
    address: str, place: Place, config: FetchConfig, progress: Progress, known: dict[str, str]
) -> FetchedVideo:
    guard = Guard(allow_private=config.allow_private)
    try:
        came = download(address, place.parts, config, guard, progress)
        _check_kind(came.path, address)
    except SourceError:
        place.tidy()
        raise
    came.path.replace(place.media)
    place.clear()
    video = FetchedVideo(
        source=address,
        path=place.media,
        sha256=file_digest(place.media),
        size_bytes=place.media.stat().st_size,
        title=came.title,
        address=came.address,
        **known,
    )
    place.keep(video)
    return video
