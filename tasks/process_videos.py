"""Tasks: fetch, label and detect a batch of videos."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.runtime import task_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import TypeAdapter

from tasks.contracts.media import (
    DEVICES_VARIABLE,
    FAILED,
    WORKER_VARIABLE,
    BatchRow,
    BatchVideo,
    DetectorRecord,
    FetchedVideo,
    ModelRecord,
    VideoOutcome,
    in_short,
)
from tasks.contracts.overlap import ahead
from tasks.contracts.text import in_list
from tasks.detection.boxes import Detector
from tasks.fan_out.batching import keep_detector
from tasks.fan_out.ledger import open_request
from tasks.features.extractor import Extractor
from tasks.labelling.scores import Labeller
from tasks.per_video.fetching import Workplace, discard, fetch_each
from tasks.per_video.jobs import Job, all_done, do_each, indexed
from tasks.per_video.work import DetectWork, ExtractWork, Work, open_job
from tasks.runs import current_progress, result_of, says
from tasks.weights.store import WeightsStore

CACHE_VERSION = 3  # raise by hand when an outcome says something else


def _batch_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    """Return `<verb>-<version>-<digest>` of the folder of the results, and of every video's source and identity."""
    work, videos = parameters["work"], parameters["videos"]
    job = _kept_job(work, parameters["workplace"])
    known = ((each.source, job.identify(each) if isinstance(each, FetchedVideo) else each.reason) for each in videos)
    parts = [str(job.out), *(f"{source}\n{identity}" for source, identity in known)]
    return f"{work.verb}-{CACHE_VERSION}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"


def _batch_name() -> str:
    parameters = task_run.parameters
    return f"{parameters['work'].verb} {in_list('videos', [video.source for video in parameters['videos']])}"


@task(
    name="process-batch",
    task_run_name=_batch_name,
    cache_key_fn=_batch_key,
    persist_result=True,
    result_serializer="json",
)
@says(lambda rows: in_short([VideoOutcome.model_validate(row) for row in rows]))
def process_batch(
    videos: Sequence[FetchedVideo | VideoOutcome], work: Work, workplace: Workplace, *, again: bool = False
) -> list[dict[str, Any]]:
    """Do the work for the videos one after the other; a broken one fails alone."""
    return [outcome.model_dump(mode="json") for outcome in do_each(_kept_job(work, workplace), videos, again=again)]


def process_videos(
    sources: Sequence[str], work: Work, workplace: Workplace, *, batch: int, again: bool = False
) -> tuple[str, list[VideoOutcome]]:
    """Fetch the sources and do the work in batches of so many; return the name of the model, and a row for each.

    Raises:
        ReelsiftError: the model or the storage cannot be used.
    """
    _kept_job(work, workplace)
    return process_fetched(fetched_batches(sources, workplace, batch), work, workplace, again=again)


def process_fetched(
    batches: Iterable[Sequence[FetchedVideo | VideoOutcome]],
    work: Work,
    workplace: Workplace,
    *,
    again: bool = False,
    after_each: Callable[[int], None] = lambda _: None,
) -> tuple[str, list[VideoOutcome]]:
    """Do the work for batches of videos that were fetched, as `process_videos`; `after_each` hears of their sizes."""
    job = _kept_job(work, workplace)
    outcomes: list[VideoOutcome] = []
    for videos in batches:
        is_there = not again and all_done(job, videos)
        process = process_batch.with_options(refresh_cache=not is_there)
        rows = result_of(process, videos, work, workplace, again=again)
        outcomes += map(VideoOutcome.model_validate, rows)
        after_each(len(rows))
    return job.made_by, list(indexed(job, outcomes))


def _kept_job(work: Work, workplace: Workplace) -> Job[Any]:
    """Open a job, its model or detector once for all batches of a process."""
    # Defaults stay out: a setting of another kind of feature space is refused, even if it has its default.
    opened = _opened(work.model_dump_json(), workplace.weights.model_dump_json(exclude_defaults=True))
    return open_job(work, workplace, current_progress(), opened=opened)


@lru_cache(maxsize=1)
def _opened(work: str, weights: str) -> tuple[Labeller, ...] | Detector | Extractor:
    """Open what the work needs; both come as JSON, which can be hashed, and names one version that never changes."""
    wanted: Work = TypeAdapter(Work).validate_json(work)
    return wanted.open(WeightsStore.model_validate_json(weights))


FETCHED_AHEAD = 2  # videos: the detector does not wait for the line, and the disk is bounded


@task(name="work-in-batch", persist_result=False, cache_policy=NO_CACHE)
def work_in_batch(
    batch: Path, work: DetectWork | ExtractWork, workplace: Workplace, *, run: str, again: bool = False
) -> int:
    """Work on what nobody has worked on yet, and return how many videos that were.

    Raises:
        BatchError: the batch cannot be read.
        DetectorError, ConfigError: the detector or the feature space is not available.
        MissingWeightsError: its weights are not on this machine.
    """
    request, ledger = open_request(batch)
    progress = current_progress()
    with ledger.beating(run):
        known = ledger.rows()
        waiting = [video for video in request.videos if video.place not in known]
        job = open_job(work, workplace, progress)
        if isinstance(work, DetectWork) and isinstance(job.record, DetectorRecord):
            keep_detector(batch.parent.parent, work.detector, work.speed, job.record)
        about = _about(request.id, run, job.record)
        sources = {video.place: video.source for video in waiting}
        progress.begin("videos", len(waiting), "videos")
        with closing(ahead(_fetched(waiting, workplace), buffer=FETCHED_AHEAD)) as coming:
            for place, video in coming:
                ledger.begin(run, place)
                for outcome in do_each(job, [video], again=again):
                    if outcome.status != FAILED:
                        discard(sources[place], workplace)
                    ledger.add(run, BatchRow.of(outcome, place=place, **about))
                progress.advance("videos", 1)
        deque(indexed(job, ()), maxlen=0)
    return len(waiting)


def _fetched(videos: list[BatchVideo], workplace: Workplace) -> Iterator[tuple[int, FetchedVideo | VideoOutcome]]:
    fetched = fetch_each((video.source for video in videos), workplace)
    for video, found in zip(videos, fetched, strict=True):
        yield video.place, found


def _about(batch: str, run: str, record: DetectorRecord | ModelRecord) -> dict[str, Any]:
    """Say who works on the batch, where, and what looks at the videos, on what."""
    return {
        "batch": batch,
        "run": run,
        "worker": os.environ.get(WORKER_VARIABLE),
        "device": os.environ.get(DEVICES_VARIABLE),
        "detector": f"{record.name} on {record.device}" if isinstance(record, DetectorRecord) else record.name,
    }


@task(
    name="fetch-videos",
    task_run_name=lambda: f"fetch {in_list('videos', task_run.parameters['sources'])}",
    persist_result=False,
)
def fetch_videos(sources: Sequence[str], workplace: Workplace) -> list[FetchedVideo | VideoOutcome]:
    """Fetch what is not there yet; one that cannot be fetched fails alone."""
    return list(fetch_each(sources, workplace, current_progress()))


AHEAD = 2  # batches on their way: disk and line are bounded, however long the list
RUNNER: Any = ThreadPoolTaskRunner(max_workers=AHEAD)  # Prefect's own annotation is too narrow for it


def fetched_batches(
    sources: Sequence[str], workplace: Workplace, size: int
) -> Iterator[list[FetchedVideo | VideoOutcome]]:
    """Yield the sources' videos in batches; those that could not be fetched are outcomes."""
    waiting = deque(sources[start : start + size] for start in range(0, len(sources), size))
    coming: deque[Any] = deque()
    while waiting or coming:
        while waiting and len(coming) < AHEAD:
            coming.append(fetch_videos.submit(waiting.popleft(), workplace))
        yield coming.popleft().result()
