"""A source fetched to a file on the disk, probed before it is kept."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.contracts.errors import FetchError, RefusedSourceError, SourceError, VideoError, WithdrawnVideoError
from tasks.contracts.files import file_digest
from tasks.contracts.media import FetchedVideo
from tasks.contracts.progress import Progress, Silent
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import shown
from tasks.video.addresses import AddressGuard
from tasks.video.cache import Place, peek, place_of, unlocked_place
from tasks.video.config import FetchConfig, MediaBounds
from tasks.video.container import found_in
from tasks.video.download import check_length
from tasks.video.download import download as download_address
from tasks.video.probe import probe
from tasks.video.sources import Source, SourceKind, source_of, watch_page
from tasks.video.youtube import Turns, is_on_youtube, resolve_yt8m_id

# How large pictures may be is decided where they are read.
WIDEST = MediaBounds(largest_side=32768, largest_pixels=1 << 30, longest_s=7 * 24 * 3600)


def check_arrived(path: Path, address: str, config: FetchConfig) -> None:
    """Refuse a page, a text or a broken file that was sent in place of a video, and a video that is too long.

    Raises:
        FetchError: it is no video.
        RefusedSourceError: it lasts too long.
    """
    try:
        check_length(probe(path, WIDEST).duration_s, address, config)
    except RefusedSourceError:
        path.unlink()
        raise
    except VideoError as error:
        found = found_in(path) if path.stat().st_size else "it is empty (0 bytes)"
        path.unlink()
        raise FetchError(f"{address} gives no video: {found}. Open it in a browser to see what it is.") from error


ON_YOUTUBE = re.compile(
    r"https?://(?:(?:www|m|music)\.)?(?:youtube\.com/(?:watch\?(?:[^#]*&)?v=|shorts/|embed/|live/)|youtu\.be/)"
    r"(?P<id>[A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])"
)


def fetch_video(
    source: str,
    cache: Path,
    config: FetchConfig,
    download: DownloadConfig,
    progress: Progress | None = None,
    *,
    for_features: bool = False,
) -> FetchedVideo:
    """Have the video that a source names on the disk.

    Args:
        source: a file, an http(s) address, a YouTube id or a YouTube-8M id.
        cache: folder of fetched videos, by source and format.
        config: what is refused, and how patiently it is fetched.
        download: the mirrors that know the YouTube ids of YouTube-8M.
        progress: hears of the bytes.
        for_features: `discard_video` may delete it, unless it is asked for otherwise before; and it is noted if it is
            withdrawn.

    Raises:
        SourceError: it is no source, is refused, is withdrawn, or cannot be fetched.
        MirrorError: a mirror cannot be used.
        DiskSpaceError: it does not fit on the disk.
    """
    named = source_of(source)
    if named.kind is SourceKind.FILE:
        return _local(named)
    with place_of(cache, _key(named, config)) as place:
        found = None if config.refresh else place.find()
        if found and found.is_temporary and not for_features:
            found = found.model_copy(update={"is_temporary": False})
            place.keep(found)
        if not found:
            try:
                known = _known_ids(named, download)
                found = _fetched(known, named, place, config, progress or Silent(), for_features=for_features)
            except WithdrawnVideoError as error:
                if for_features:
                    place.note_gone(str(error))
                raise
    return found.model_copy(update={"source": shown(named.text)})


def fetched_before(source: str, cache: Path, config: FetchConfig) -> FetchedVideo | str | None:
    """Return what a source's file was, be it deleted since, or why its host no longer has it; asks no host.

    Raises:
        SourceError: it is no source, or a file that cannot be read.
    """
    named = source_of(source)
    if named.kind is SourceKind.FILE:
        return _local(named)
    if config.refresh:
        return None
    place = unlocked_place(cache, _key(named, config))
    found = place.record()
    return found.model_copy(update={"source": shown(named.text)}) if found else place.why_gone()


def discard_video(source: str, cache: Path, config: FetchConfig) -> None:
    """Delete the file of a video that was fetched for its features alone; any other stays.

    Raises:
        FetchError: it cannot be deleted.
    """
    named = source_of(source)
    if named.kind is not SourceKind.FILE:
        with place_of(cache, _key(named, config)) as place:
            place.discard()


def host_of(source: str) -> str:
    """Return the host that a source is fetched from, all of YouTube's as one; a file has none.

    Raises:
        SourceError: it is no source.
    """
    named = source_of(source)
    if named.kind is SourceKind.FILE:
        return ""
    is_one_of_many = named.kind is not SourceKind.URL or is_on_youtube(named.text)
    return "YouTube" if is_one_of_many else urlsplit(named.text).hostname or ""


def find_video(source: str, cache: Path, config: FetchConfig) -> FetchedVideo | None:
    """Return the video that a source names if it is on this disk already; nothing is fetched.

    Raises:
        SourceError: it is no source, or a file that cannot be read.
    """
    named = source_of(source)
    if named.kind is SourceKind.FILE:
        return _local(named)
    found = None if config.refresh else peek(cache, _key(named, config))
    return found.model_copy(update={"source": shown(named.text)}) if found else None


def path_on_disk(source: str, cache: Path, config: FetchConfig) -> Path | None:
    """Return the file that a source names if it is on this disk already; its content is not read.

    Raises:
        SourceError: it is no source.
    """
    named = source_of(source)
    if named.kind is SourceKind.FILE:
        return named.path
    found = peek(cache, _key(named, config))
    return found.path if found else None


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
        raise SourceError(f"{path} cannot be read: {error.strerror}. Fix this, or name another file.") from error


def _key(named: Source, config: FetchConfig) -> str:
    """Return what tells one fetched file from another: what was named, and the format that was asked for."""
    match = ON_YOUTUBE.match(named.text)
    what = match["id"] if match else named.text
    return f"{what}\n{config.largest_height}"


def _known_ids(named: Source, download: DownloadConfig) -> dict[str, str]:
    """Return the ids of a video that its source tells."""
    if named.kind is SourceKind.YT8M:
        return {"yt8m_id": named.text, "youtube_id": resolve_yt8m_id(named.text, download)}
    if named.kind is SourceKind.YOUTUBE:
        return {"youtube_id": named.text}
    match = ON_YOUTUBE.match(named.text)
    return {"youtube_id": match["id"]} if match else {}


def _fetched(
    known: dict[str, Any],
    named: Source,
    place: Place,
    config: FetchConfig,
    progress: Progress,
    *,
    for_features: bool,
) -> FetchedVideo:
    address = watch_page(known["youtube_id"]) if known else named.text
    guard = AddressGuard(allow_private=config.allow_private)
    turns = Turns(place.folder.parent, config.pause_s)
    before_try = turns.take if is_on_youtube(address) else _at_once
    came = download_address(address, place.parts, config, guard, progress, before_try)
    check_arrived(came.path, shown(address), config)
    place.take(came.path)
    video = FetchedVideo(
        source=shown(named.text),
        path=place.media,
        sha256=file_digest(place.media),
        size_bytes=place.media.stat().st_size,
        title=came.title,
        address=came.address,
        is_temporary=for_features,
        **known,
    )
    place.keep(video)
    return video


def _at_once() -> None:
    """Wait for nobody."""
