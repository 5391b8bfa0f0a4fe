"""The same job for many videos, each in a folder of its own with a report and what it shows; each fails alone."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal

from PIL import Image

from tasks.contracts.datasets import DropReason
from tasks.contracts.errors import ReelsiftError, VideoError
from tasks.contracts.files import FULL, appearing, check_no_link, locked
from tasks.contracts.media import (
    CACHED,
    DONE,
    FAILED,
    FILMSTRIP_NAME,
    POSTER_NAME,
    AnswerKind,
    DetectorRecord,
    FetchedVideo,
    ManifestT,
    ModelRecord,
    VideoOutcome,
)
from tasks.contracts.overlap import side_by_side
from tasks.contracts.text import shown
from tasks.reports.player import link_original, original_of, sheet_of
from tasks.reports.video_report import refresh_index, write_report
from tasks.video.config import MediaBounds
from tasks.video.decoding import Watch
from tasks.video.frames import Overview
from tasks.video.sources import folder_name


def alone(source: str, work: Callable[[], VideoOutcome]) -> VideoOutcome:
    """Do the work and return its outcome; a failure becomes an outcome too, so that the other videos are not lost."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the other videos must not be lost
        return failure_of(source, error)


def failure_of(source: str, error: Exception) -> VideoOutcome:
    """Return the outcome of a source that met an error, of ours or of no kind of ours; called where it is handled."""
    if isinstance(error, ReelsiftError):
        return failed(source, str(error))
    if isinstance(error, OSError) and error.errno and error.errno in FULL:
        words = [*filter(None, [error.filename]), os.strerror(error.errno)]  # a library has others for it, and no name
        return failed(source, f"{': '.join(words)}: make room, or name a folder on another disk by --out")
    if isinstance(error, OSError) and error.filename and error.strerror:  # the disk's fault, and said in full
        return failed(source, f"{error.filename}: {error.strerror}")
    logging.getLogger("reelsift").exception("Unexpected failure of %s", shown(source))
    return failed(source, f"{type(error).__name__}: {error} (unexpected: `--debug` shows where)")


def failed(source: str, reason: str, cause: DropReason | None = None) -> VideoOutcome:
    """Return the outcome of a source that failed for this reason; `cause` says why it could not be fetched."""
    return VideoOutcome(source=source, status=FAILED, reason=reason, cause=cause)


@dataclass(frozen=True)
class Lookup(Generic[ManifestT]):
    """How to know what there is of each video."""

    kind: AnswerKind[ManifestT]
    out: Path  # one folder below it for each video
    record: ModelRecord | DetectorRecord  # what gives the answers
    identify: Callable[[FetchedVideo], str]  # of content, model and options: equal means the same answer
    find: Callable[[Path, str], ManifestT | None]  # what lies whole in a folder under that identity
    in_words: Callable[[ManifestT], str]
    folder_name: Callable[[FetchedVideo], str] = folder_name
    others: tuple[ModelRecord, ...] = ()  # further models that give the same answers
    bounds: MediaBounds = field(default_factory=MediaBounds)  # within which pictures of the videos are read

    @property
    def made_by(self) -> str:
        """What gives the answers, by name."""
        return in_one([each.name for each in (self.record, *self.others)])


def in_one(names: Sequence[str]) -> str:
    """Name several models, or the one."""
    return " and ".join(names)


@dataclass(frozen=True)
class Job(Lookup[ManifestT]):
    """What is to be made of each video, and how to know that it is there."""

    # Of a video and its folder; what watches hears of every frame that is decoded.
    make: Callable[[FetchedVideo, Path, Watch], ManifestT] = field(kw_only=True)
    at_once: int = 1  # videos: one that is long keeps the whole machine busy, of short ones several are needed


def do_each(
    job: Job[ManifestT], videos: Iterable[FetchedVideo | VideoOutcome], *, again: bool = False
) -> Iterator[VideoOutcome]:
    """Do the job for one video after the other, or for some at once; the outcomes come in the order of the videos."""

    def done(video: FetchedVideo | VideoOutcome) -> VideoOutcome:
        if isinstance(video, VideoOutcome):
            return video
        return alone(video.source, lambda: _do(job, video, again=again))

    yield from side_by_side(done, videos, job.at_once)


def indexed(job: Lookup[ManifestT], outcomes: Iterable[VideoOutcome]) -> Iterator[VideoOutcome]:
    """Yield the outcomes, and once they are all there, bring the index of all reports up to date."""
    yield from outcomes
    if job.kind.has_report:
        refresh_index(job.out)


def all_done(job: Lookup[ManifestT], videos: Iterable[FetchedVideo | VideoOutcome]) -> bool:
    """Say whether everything is there and whole, so that a cached result still holds."""
    fetched = [video for video in videos if isinstance(video, FetchedVideo)]
    return all(job.find(_folder(job, video), job.identify(video)) for video in fetched)


def recall(lookup: Lookup[ManifestT], video: FetchedVideo) -> VideoOutcome | None:
    """Return the outcome of a video whose result is cached; None where it is not."""
    started_s = time.monotonic()
    folder = _folder(lookup, video)
    check_no_link(folder)
    found = lookup.find(folder, lookup.identify(video))
    return _outcome(lookup, video, found, folder, CACHED, started_s) if found else None


def _do(job: Job[ManifestT], video: FetchedVideo, *, again: bool) -> VideoOutcome:
    known = None if again else recall(job, video)
    if known:
        return known
    started_s = time.monotonic()
    folder = _folder(job, video)
    check_no_link(folder)
    seen = Overview(video.path, job.bounds, video.part)
    return _outcome(job, video, job.make(video, folder, seen), folder, DONE, started_s, seen)


def _outcome(
    lookup: Lookup[ManifestT],
    video: FetchedVideo,
    made: ManifestT,
    folder: Path,
    status: Literal["done", "cached"],
    started_s: float,
    seen: Overview | None = None,
) -> VideoOutcome:
    if lookup.kind.has_report:
        show_original(video, folder, lookup.bounds, seen)
    return VideoOutcome(
        source=video.source,
        status=status,
        title=video.title,
        answer=lookup.in_words(made),
        warning=made.video.loss,
        folder=folder,
        report=write_report(folder) if lookup.kind.has_report else None,
        seconds=round(time.monotonic() - started_s, 3),
        video_s=made.video.length_s,
    )


def _folder(lookup: Lookup[ManifestT], video: FetchedVideo) -> Path:
    return lookup.out / lookup.folder_name(video)


COLUMNS, QUALITY, POSTER_QUALITY = 16, 70, 55  # of a filmstrip: pictures side by side, and of JPEG; of WebP
POSTER_AT = 0.3  # of the time: few videos begin with what they show


def show_original(video: FetchedVideo, folder: Path, bounds: MediaBounds, seen: Overview | None = None) -> None:
    """Leave beside a report what it shows of the video itself: a link to it, a filmstrip and a poster, made once.

    `seen` is an overview that was taken while the video was decoded for its answer. A report is one without them where
    they cannot be made.
    """
    with locked(folder), suppress(OSError):
        if original_of(folder) is None and not video.is_temporary:
            link_original(folder, video.path)
        if not (folder / FILMSTRIP_NAME).is_file() or not (folder / POSTER_NAME).is_file():
            with suppress(VideoError):
                _keep_pictures(seen or Overview(video.path, bounds, video.part), folder)


def _keep_pictures(seen: Overview, folder: Path) -> None:
    seen.complete()
    sheet, about = sheet_of(seen.strip, seen.times_s, COLUMNS)
    with appearing(folder / FILMSTRIP_NAME) as path:
        Image.fromarray(sheet).save(path, "JPEG", quality=QUALITY, comment=about)
    poster = seen.posters[int(POSTER_AT * len(seen.posters))]
    with appearing(folder / POSTER_NAME) as path:
        Image.fromarray(poster).save(path, "WEBP", quality=POSTER_QUALITY)
