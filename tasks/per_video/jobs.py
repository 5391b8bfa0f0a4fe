"""The same job for many videos, each in a folder of its own with a report; each fails alone."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from time import sleep
from typing import Generic, Literal, TypeVar

from tasks.contracts.errors import RateLimitedError, ReelsiftError
from tasks.contracts.files import FULL, check_no_link
from tasks.contracts.media import (
    CACHED,
    DONE,
    FAILED,
    LABELS_NAME,
    OBJECTS_NAME,
    DetectorRecord,
    FetchedVideo,
    LabelsManifest,
    ObjectsManifest,
    VideoOutcome,
)
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress, Silent
from tasks.detection.boxes import Detector
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects, find_objects, identity_of_objects
from tasks.detection.identity import OBJECTS_FILES
from tasks.labelling.config import LabelOptions
from tasks.labelling.label import LABELS_FILES, find_labels, identity_of_labels, label_video
from tasks.labelling.scores import Labeller
from tasks.reports.video_report import write_report
from tasks.reports.words import labels_in_words, objects_in_words
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import shown
from tasks.video.config import FetchConfig, MediaBounds
from tasks.video.fetch import fetch_video, find_video, path_on_disk
from tasks.video.probe import probe
from tasks.video.sources import folder_name
from tasks.weights.store import WeightsStore


def alone(source: str, work: Callable[[], VideoOutcome]) -> VideoOutcome:
    """Do the work and return its outcome; a failure becomes an outcome too, so that the other videos are not lost."""
    try:
        return work()
    except ReelsiftError as error:
        return failed(source, str(error))
    except Exception as error:  # noqa: BLE001 - the other videos must not be lost
        return unexpected(source, error)


def unexpected(source: str, error: Exception) -> VideoOutcome:
    """Return the outcome of a source that met an error of no kind of ours; called where the error is handled."""
    if isinstance(error, OSError) and error.filename and error.strerror:  # the disk's fault, and said in full
        return failed(source, f"{error.filename}: {error.strerror}")
    if isinstance(error, OSError) and error.errno and error.errno in FULL:  # of a library that names no file
        return failed(source, f"{os.strerror(error.errno)}: make room, or name a folder on another disk by --out")
    logging.getLogger("reelsift").exception("Unexpected failure of %s", source)
    return failed(source, f"{type(error).__name__}: {error} (unexpected: `--debug` shows where)")


def failed(source: str, reason: str) -> VideoOutcome:
    """Return the outcome of a source that failed for this reason."""
    return VideoOutcome(source=source, status=FAILED, reason=reason)


MadeT = TypeVar("MadeT", LabelsManifest, ObjectsManifest)


@dataclass(frozen=True)
class Lookup(Generic[MadeT]):
    """How to know what there is of each video."""

    out: Path  # one folder below it for each video
    identify: Callable[[FetchedVideo], str]  # of content, model and options: equal means the same answer
    find: Callable[[Path, str], MadeT | None]  # what lies whole in a folder under that identity
    in_words: Callable[[MadeT], str]
    file_names: tuple[str, ...]  # of all files and folders that an answer may have, the manifest left out
    manifest_name: str


@dataclass(frozen=True)
class Job(Lookup[MadeT]):
    """What is to be made of each video, and how to know that it is there."""

    make: Callable[[FetchedVideo, Path], MadeT]


def do_each(
    job: Job[MadeT], videos: Iterable[FetchedVideo | VideoOutcome], *, again: bool = False
) -> Iterator[VideoOutcome]:
    """Do the job for one video after the other: each uses the whole machine."""
    for video in videos:
        if isinstance(video, VideoOutcome):
            yield video
        else:
            yield alone(video.source, lambda video=video: _do(job, video, again=again))


def all_done(job: Lookup[MadeT], videos: Iterable[FetchedVideo | VideoOutcome]) -> bool:
    """Say whether everything is there and whole, so that a cached result still holds."""
    fetched = [video for video in videos if isinstance(video, FetchedVideo)]
    return all(job.find(_folder(job, video), job.identify(video)) for video in fetched)


def recall(lookup: Lookup[MadeT], video: FetchedVideo) -> VideoOutcome | None:
    """Return the outcome of a video whose result is cached; None where it is not."""
    started_s = time.monotonic()
    folder = _folder(lookup, video)
    check_no_link(folder)
    found = lookup.find(folder, lookup.identify(video))
    return _outcome(lookup, video, found, folder, CACHED, started_s) if found else None


def _do(job: Job[MadeT], video: FetchedVideo, *, again: bool) -> VideoOutcome:
    known = None if again else recall(job, video)
    if known:
        return known
    started_s = time.monotonic()
    folder = _folder(job, video)
    check_no_link(folder)
    return _outcome(job, video, job.make(video, folder), folder, DONE, started_s)


def _outcome(
    lookup: Lookup[MadeT],
    video: FetchedVideo,
    made: MadeT,
    folder: Path,
    status: Literal["done", "cached"],
    started_s: float,
) -> VideoOutcome:
    return VideoOutcome(
        source=video.source,
        status=status,
        title=video.title,
        answer=lookup.in_words(made),
        warning=made.video.loss,
        folder=folder,
        report=write_report(folder),
        seconds=round(time.monotonic() - started_s, 3),
        video_s=made.video.media.duration_s,
    )


def _folder(lookup: Lookup[MadeT], video: FetchedVideo) -> Path:
    return lookup.out / folder_name(video)


class Workplace(FrozenModel):
    """Folders and configs."""

    fetched: Path  # downloaded videos
    out: Path  # one folder below it for each video
    fetch: FetchConfig
    download: DownloadConfig  # for the files of YouTube-8M's hosts
    bounds: MediaBounds
    weights: WeightsStore
    storage: str | None = None  # URI of the object store that keeps what is found


FIRST_WAIT_S = 10.0  # doubled at each refusal
LONGEST_WAIT_S = 600.0


def fetch_each(
    sources: Iterable[str], workplace: Workplace, progress: Progress | None = None
) -> Iterator[FetchedVideo | VideoOutcome]:
    """Yield each source's video, or its failure."""
    patience = Patience(workplace.fetch.rate_limit_wait_s, progress or Silent())
    for source, is_alone in _with_company(sources):
        try:
            yield _fetched(source, workplace, progress, Patience(0, Silent()) if is_alone else patience)
        except ReelsiftError as error:
            yield failed(source, str(error))
        except Exception as error:  # noqa: BLE001 - the other videos must not be lost
            yield unexpected(source, error)


class Patience:
    """What is left of the time that a list may wait for hosts that give no more for a while."""

    def __init__(self, seconds: float, progress: Progress) -> None:
        self._left_s = seconds
        self._next_s = FIRST_WAIT_S
        self._progress = progress

    def wait(self, source: str) -> bool:
        """Wait, and longer each time; say at once that it is over once all of the time is used up."""
        wait_s = min(self._next_s, LONGEST_WAIT_S, self._left_s)
        if wait_s <= 0:
            return False
        self._next_s *= 2
        self._left_s -= wait_s
        what = f"waiting for leave to fetch {source}"
        logging.getLogger("reelsift").warning(
            "The host of %s gives no more for now: asking again in %.0f s, for %.0f s more at most.",
            source,
            wait_s,
            self._left_s,
        )
        self._progress.begin(what, wait_s, "s")
        while wait_s > 0:
            step_s = min(1.0, wait_s)
            sleep(step_s)
            self._progress.advance(what, step_s)
            wait_s -= step_s
        return True

    def renew(self) -> None:
        """Begin with short waits again, as the host gives."""
        self._next_s = FIRST_WAIT_S


def _fetched(source: str, workplace: Workplace, progress: Progress | None, patience: Patience) -> FetchedVideo:
    while True:
        try:
            video = fetch_video(source, workplace.fetched, workplace.fetch, workplace.download, progress)
        except RateLimitedError:
            if not patience.wait(shown(source)):
                raise
        else:
            patience.renew()
            return video


def _with_company(sources: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each source, and whether there is no other: then somebody waits for it, and would rather know at once."""
    left = iter(sources)
    source = next(left, None)
    is_first = True
    while source is not None:
        following = next(left, None)
        yield source, is_first and following is None
        source, is_first = following, False


def labels_job(
    labeller: Labeller, options: LabelOptions, workplace: Workplace, progress: Progress | None = None
) -> Job[LabelsManifest]:
    """Return the job of labelling with one model and one set of options."""
    return Job(
        out=workplace.out,
        identify=lambda video: identity_of_labels(video, labeller, options),
        find=find_labels,
        make=lambda video, folder: label_video(video, labeller, options, workplace.bounds, folder, progress),
        in_words=labels_in_words,
        file_names=LABELS_FILES,
        manifest_name=LABELS_NAME,
    )


def lasting_s(source: str, workplace: Workplace) -> float | None:
    """Return how long the video of a source lasts, 0 for a picture or for what is broken: neither is much work."""
    try:
        path = path_on_disk(source, workplace.fetched, workplace.fetch)
        if path is None:
            return None
        media = probe(path, workplace.bounds)
    except ReelsiftError:
        return 0.0
    return 0.0 if media.kind == "picture" else media.duration_s


def objects_lookup(record: DetectorRecord, options: DetectOptions, workplace: Workplace) -> Lookup[ObjectsManifest]:
    """Return what tells whether a video was looked at by this detector with these options; opens no detector."""
    return Lookup(
        out=workplace.out,
        identify=lambda video: identity_of_objects(video, record, options),
        find=find_objects,
        in_words=objects_in_words,
        file_names=OBJECTS_FILES,
        manifest_name=OBJECTS_NAME,
    )


def objects_job(
    detector: Detector, options: DetectOptions, workplace: Workplace, progress: Progress | None = None
) -> Job[ObjectsManifest]:
    """Return the job of detecting with one detector and one set of options."""
    lookup = objects_lookup(detector.record, options, workplace)
    return Job(
        **{field.name: getattr(lookup, field.name) for field in fields(lookup)},
        make=lambda video, folder: detect_objects(video, detector, options, workplace.bounds, folder, progress),
    )


def known_outcome(
    source: str, record: DetectorRecord, options: DetectOptions, workplace: Workplace
) -> VideoOutcome | None:
    """Return what is there of a video; whatever is wrong with it, whoever works on it will say."""
    try:
        video = find_video(source, workplace.fetched, workplace.fetch)
        return recall(objects_lookup(record, options, workplace), video) if video else None
    except ReelsiftError:
        return None
