"""Task: the objects in a batch of videos are found.

In: fetched videos, a detector's exact name and options. Out: one outcome for each. The cache key is the content of the
videos, the detector and the options; the caller checks that what was made is still there.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.batch_key import batch_cache_key
from tasks.contracts.media import FetchedVideo
from tasks.contracts.objects import ObjectsManifest
from tasks.contracts.outcomes import VideoOutcome
from tasks.detection.config import DetectOptions
from tasks.detection.detector import Detector, open_detector
from tasks.per_video.each import Job, do_each
from tasks.per_video.objects import objects_job
from tasks.per_video.workplace import Workplace
from tasks.progress_log import current_progress
from tasks.video_storage import through_storage
from tasks.weights.store import WeightsStore

DETECT_CACHE_VERSION = 3  # raise by hand when an outcome says something else


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    given = (parameters[name] for name in ("detector", "speed", "options", "workplace"))
    return batch_cache_key("detect", DETECT_CACHE_VERSION, detecting(*given), parameters["videos"])


@task(
    name="detect-batch",
    task_run_name="detect-{videos[0].source}",
    cache_key_fn=_cache_key,
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
    opened = _opened(detector, speed, workplace.weights.model_dump_json(), options.min_score)
    progress = current_progress()
    return through_storage(objects_job(opened, options, workplace, progress), workplace.storage, progress)


@lru_cache(maxsize=1)
def _opened(detector: str, speed: str, weights: str, min_score: float | None) -> Detector:
    """Open a detector once for all batches of a process; the store of weights comes as JSON, which can be hashed."""
    store = WeightsStore.model_validate_json(weights)
    return open_detector(detector, speed=speed, weights=store, min_score=min_score)
