"""The same job for many videos, each in a folder of its own with a report.

In: a job, and videos that were fetched (or the outcomes of those that were not). Out: one outcome for each, in order.
What is there already, made by the same model with the same options, is not made again. Does not know what the job is.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from tasks.contracts.labels import LabelsManifest
from tasks.contracts.media import FetchedVideo
from tasks.contracts.objects import ObjectsManifest
from tasks.contracts.outcomes import CACHED, DONE, VideoOutcome
from tasks.contracts.staging import check_no_link
from tasks.per_video.alone import alone
from tasks.reports.video_report import write_report
from tasks.video.naming import folder_name

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
    """Return the outcome of a video whose answer is there already; None where it is not."""
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
