"""Task: a batch of videos is labelled over time.

In: fetched videos, a model's exact name and options. Out: one outcome for each. The cache key is the content of the
videos, the model and the options; the caller checks that what was made is still there.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.batch_key import batch_cache_key
from tasks.classifier.tracking import TrackingStore
from tasks.contracts.labels import LabelsManifest
from tasks.contracts.media import FetchedVideo
from tasks.contracts.outcomes import VideoOutcome
from tasks.labelling.config import LabelOptions
from tasks.labelling.labeller import Labeller, open_labeller
from tasks.per_video.each import Job, do_each
from tasks.per_video.labels import labels_job
from tasks.per_video.workplace import Workplace
from tasks.progress_log import current_progress
from tasks.video_storage import through_storage
from tasks.weights.store import WeightsStore

LABEL_CACHE_VERSION = 3  # raise by hand when an outcome says something else


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    given = (parameters[name] for name in ("model", "store", "options", "workplace"))
    return batch_cache_key("label", LABEL_CACHE_VERSION, labelling(*given), parameters["videos"])


@task(
    name="label-batch",
    task_run_name="label-{videos[0].source}",
    cache_key_fn=_cache_key,
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
    labeller = _opened(model, store.model_dump_json(), workplace.weights.model_dump_json())
    progress = current_progress()
    return through_storage(labels_job(labeller, options, workplace, progress), workplace.storage, progress)


@lru_cache(maxsize=1)
def _opened(model: str, store: str, weights: str) -> Labeller:
    """Open a model once for all batches of a process; `model` names one version, which never changes.

    The stores come as JSON, which can be hashed.
    """
    return open_labeller(
        model, store=TrackingStore.model_validate_json(store), weights=WeightsStore.model_validate_json(weights)
    )
