"""The same job for many videos, each in a folder of its own with a report.

In: a job, and videos that were fetched (or the outcomes of those that were not). Out: one outcome for each, in order.
What is there already, made by the same model with the same options, is not made again. Does not know what the job is.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tasks.contracts.labels import LabelsManifest
from tasks.contracts.media import FetchedVideo
from tasks.contracts.objects import ObjectsManifest
from tasks.contracts.outcomes import CACHED, DONE, VideoOutcome
from tasks.per_video.alone import alone
from tasks.reports.video_report import write_report
from tasks.video.naming import folder_name

MadeT = TypeVar("MadeT", LabelsManifest, ObjectsManifest)


@dataclass(frozen=True)
class Job(Generic[MadeT]):
    """What is to be made of each video, and how to know that it is there."""

    out: Path  # one folder below it for each video
    identify: Callable[[FetchedVideo], str]  # of content, model and options: equal means the same answer
    find: Callable[[Path, str], MadeT | None]  # what lies whole in a folder under that identity
    make: Callable[[FetchedVideo, Path], MadeT]
    in_words: Callable[[MadeT], str]


def do_each(
    job: Job[MadeT], videos: Iterable[FetchedVideo | VideoOutcome], *, again: bool = False
) -> Iterator[VideoOutcome]:
    """Do the job for one video after the other: each uses the whole machine."""
    for video in videos:
        if isinstance(video, VideoOutcome):
            yield video
        else:
            yield alone(video.source, lambda video=video: _do(job, video, again=again))


def all_done(job: Job[MadeT], videos: Iterable[FetchedVideo | VideoOutcome]) -> bool:
    """Say whether everything is there and whole, so that a cached result still holds."""
    fetched = [video for video in videos if isinstance(video, FetchedVideo)]
    return all(job.find(_folder(job, video), job.identify(video)) for video in fetched)


def _do(job: Job[MadeT], video: FetchedVideo, *, again: bool) -> VideoOutcome:
    started_s = time.monotonic()
    folder = _folder(job, video)
    found = None if again else job.find(folder, job.identify(video))
    made = found or job.make(video, folder)
    return VideoOutcome(
        source=video.source,
        status=CACHED if found else DONE,
        title=video.title,
        answer=job.in_words(made),
        folder=folder,
        report=write_report(folder),
        seconds=round(time.monotonic() - started_s, 3),
        video_s=made.video.media.duration_s,
    )


def _folder(job: Job[MadeT], video: FetchedVideo) -> Path:
    return job.out / folder_name(video)
