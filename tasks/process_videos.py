"""Tasks: fetch, label and detect a batch of videos."""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.runtime import task_run
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.contracts.media import (
    DEVICES_VARIABLE,
    WORKER_VARIABLE,
    BatchRow,
    BatchVideo,
    FetchedVideo,
    LabelsManifest,
    ObjectsManifest,
    VideoOutcome,
)
from tasks.contracts.text import shown
from tasks.detection.boxes import Detector
from tasks.detection.config import DetectOptions
from tasks.detection.detector import open_detector
from tasks.fan_out.batching import keep_detector
from tasks.fan_out.ledger import open_request
from tasks.labelling.config import LabelOptions
from tasks.labelling.labeller import open_labeller
from tasks.labelling.scores import Labeller
from tasks.per_video.jobs import Job, Workplace, do_each, fetch_each, labels_job, objects_job
from tasks.per_video.stored import through_storage
from tasks.runs import current_progress
from tasks.tracking.store import TrackingStore
from tasks.video.overlap import ahead
from tasks.weights.store import WeightsStore


def batch_cache_key(verb: str, version: int, job: Job[Any], videos: Iterable[FetchedVideo | VideoOutcome]) -> str:
    """Return `<verb>-<version>-<digest>` of the folder of the results, and of every video's source and identity."""
    parts = [str(job.out)]
    for video in videos:
        known = job.identify(video) if isinstance(video, FetchedVideo) else video.reason
        parts.append(f"{video.source}\n{known}")
    return f"{verb}-{version}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"


LABEL_CACHE_VERSION = 3  # raise by hand when an outcome says something else


def _label_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    given = (parameters[name] for name in ("model", "store", "options", "workplace"))
    return batch_cache_key("label", LABEL_CACHE_VERSION, labelling(*given), parameters["videos"])


@task(
    name="label-batch",
    task_run_name="label-{videos[0].source}",
    cache_key_fn=_label_key,
    persist_result=True,
    result_serializer="json",
)
def label_batch(
    videos: Sequence[FetchedVideo | VideoOutcome],
    model: str,
    store: TrackingStore,
    options: LabelOptions,
    workplace: Workplace,
    *,
    again: bool = False,
) -> list[dict[str, Any]]:
    """Label the videos one after the other; a broken one fails alone."""
    job = labelling(model, store, options, workplace)
    return [outcome.model_dump(mode="json") for outcome in do_each(job, videos, again=again)]


def labelling(model: str, store: TrackingStore, options: LabelOptions, workplace: Workplace) -> Job[LabelsManifest]:
    """Return the job that the task does, for whoever asks what of it is there."""
    labeller = _opened_labeller(model, store.model_dump_json(), workplace.weights.model_dump_json())
    progress = current_progress()
    return through_storage(labels_job(labeller, options, workplace, progress), workplace.storage, progress)


@lru_cache(maxsize=1)
def _opened_labeller(model: str, store: str, weights: str) -> Labeller:
    """Open a model once for all batches of a process; `model` names one version, which never changes.

    The stores come as JSON, which can be hashed.
    """
    return open_labeller(
        model, store=TrackingStore.model_validate_json(store), weights=WeightsStore.model_validate_json(weights)
    )


DETECT_CACHE_VERSION = 3  # raise by hand when an outcome says something else


def _detect_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    given = (parameters[name] for name in ("detector", "speed", "options", "workplace"))
    return batch_cache_key("detect", DETECT_CACHE_VERSION, detecting(*given), parameters["videos"])


@task(
    name="detect-batch",
    task_run_name="detect-{videos[0].source}",
    cache_key_fn=_detect_key,
    persist_result=True,
    result_serializer="json",
)
def detect_batch(
    videos: Sequence[FetchedVideo | VideoOutcome],
    detector: str,
    speed: str,
    options: DetectOptions,
    workplace: Workplace,
    *,
    again: bool = False,
) -> list[dict[str, Any]]:
    """Look at the videos one after the other; a broken one fails alone."""
    job = detecting(detector, speed, options, workplace)
    return [outcome.model_dump(mode="json") for outcome in do_each(job, videos, again=again)]


def detecting(detector: str, speed: str, options: DetectOptions, workplace: Workplace) -> Job[ObjectsManifest]:
    """Return the job that the task does, for whoever asks what of it is there."""
    opened = _opened_detector(detector, speed, workplace.weights.model_dump_json(), options.min_score)
    progress = current_progress()
    return through_storage(objects_job(opened, options, workplace, progress), workplace.storage, progress)


@lru_cache(maxsize=1)
def _opened_detector(detector: str, speed: str, weights: str, min_score: float | None) -> Detector:
    """Open a detector once for all batches of a process; the store of weights comes as JSON, which can be hashed."""
    store = WeightsStore.model_validate_json(weights)
    return open_detector(detector, speed=speed, weights=store, min_score=min_score)


FETCHED_AHEAD = 2  # videos: the detector does not wait for the line, and the disk is bounded


@task(name="detect-in-batch", persist_result=False, cache_policy=NO_CACHE)
def detect_in_batch(
    batch: Path,
    detector: str,
    speed: str,
    options: DetectOptions,
    workplace: Workplace,
    *,
    run: str,
    again: bool = False,
) -> int:
    """Look at what nobody has looked at yet, and return how many videos that were.

    Raises:
        BatchError: the batch cannot be read.
        DetectorError: the detector is not available.
        MissingWeightsError: its weights are not on this machine.
    """
    request, ledger = open_request(batch)
    progress = current_progress()
    with ledger.beating(run):
        known = ledger.rows()
        waiting = [video for video in request.videos if video.place not in known]
        opened = open_detector(detector, speed=speed, weights=workplace.weights, min_score=options.min_score)
        keep_detector(batch.parent.parent, detector, speed, opened.record)
        job = through_storage(objects_job(opened, options, workplace, progress), workplace.storage, progress)
        about = _about(request.id, run) | {"detector": f"{opened.record.name} on {opened.record.device}"}
        progress.begin("videos", len(waiting), "videos")
        with closing(ahead(_fetched(waiting, workplace), buffer=FETCHED_AHEAD)) as coming:
            for place, video in coming:
                ledger.begin(run, place)
                for outcome in do_each(job, [video], again=again):
                    ledger.add(run, BatchRow.of(outcome, place=place, **about))
                progress.advance("videos", 1)
    return len(waiting)


def _fetched(videos: list[BatchVideo], workplace: Workplace) -> Iterator[tuple[int, FetchedVideo | VideoOutcome]]:
    fetched = fetch_each((video.source for video in videos), workplace)
    for video, found in zip(videos, fetched, strict=True):
        yield video.place, found


def _about(batch: str, run: str) -> dict[str, Any]:
    """Say who works on the batch, and where."""
    return {
        "batch": batch,
        "run": run,
        "worker": os.environ.get(WORKER_VARIABLE),
        "device": os.environ.get(DEVICES_VARIABLE),
    }


LONGEST_NAME = 120  # characters of a run's name


def _run_name() -> str:
    """Name the run by its first source: Prefect stores and shows the name."""
    return f"fetch-{shown(task_run.parameters['sources'][0], LONGEST_NAME)}"


@task(name="fetch-videos", task_run_name=_run_name, persist_result=False)
def fetch_videos(sources: Sequence[str], workplace: Workplace) -> list[FetchedVideo | VideoOutcome]:
    """Fetch what is not there yet; one that cannot be fetched fails alone."""
    return list(fetch_each(sources, workplace, current_progress()))


AHEAD = 2  # batches on their way: disk and line are bounded, however long the list

# Prefect's own runner does not fit Prefect's own annotation: `TaskRunner` is invariant in its future.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=AHEAD)


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
