"""Flow: the objects in videos, and when.

    sources ─┬─► here: batches ─► fetch videos ─► detect batch ────────────────────┬─► one row for each video
             │         (the next batch is fetched while one is looked at)          │
             └─► pool: what is there already, batches of the rest ─► detect-batch ─┘

In: a form. Out: the detector's name and one outcome for each source. A source that fails, fails alone.
"""

from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.runtime import deployment

from conf.forms import DetectObjectsForm
from conf.running import running_settings
from conf.settings import Settings
from flows.fetched_batches import RUNNER, fetched_batches
from flows.pool_batches import detected_on_pool
from flows.video_request import check_out, detect_options, sources_of, workplace_of
from tasks.contracts.outcomes import VideoOutcome
from tasks.detect_batch import detect_batch, detecting
from tasks.detection.detector import chosen_detector
from tasks.per_video.each import all_done
from tasks.videos_artifact import final_state, show_videos


@flow(name="detect-objects", task_runner=RUNNER)
def detect_objects(form: DetectObjectsForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Detect in what the form names; what is there already, by the same detector and options, is not done again."""
    settings = running_settings()
    if deployment.id is not None:
        check_out(form)
    sources = sources_of(form)
    if _is_for_pool(form):
        rows, manifest = detected_on_pool(form, sources, settings)
        show_videos(rows, key="detected-videos", made_by=form.detector, manifest=manifest)
        videos = [row.model_dump(mode="json") for row in rows]
        return final_state(rows, {"detector": form.detector, "videos": videos, "manifest": str(manifest)})
    detector, outcomes = _detected_here(form, sources, settings)
    show_videos(outcomes, key="detected-videos", made_by=detector)
    made = {"detector": detector, "videos": [outcome.model_dump(mode="json") for outcome in outcomes]}
    return final_state(outcomes, made)


def _is_for_pool(form: DetectObjectsForm) -> bool:
    """Say whether workers are to look: in a run of a deployment they are, unless the form says otherwise."""
    return form.where == "pool" or (form.where == "auto" and deployment.id is not None)


def _detected_here(
    form: DetectObjectsForm, sources: Sequence[str], settings: Settings
) -> tuple[str, list[VideoOutcome]]:
    workplace, options = workplace_of(form, settings), detect_options(form, settings)
    detector = chosen_detector(form.detector)
    job = detecting(detector, form.speed, options, workplace)
    outcomes: list[VideoOutcome] = []
    for videos in fetched_batches(sources, workplace, settings.flow.videos_per_batch):
        is_there = not form.again and all_done(job, videos)
        detect = detect_batch.with_options(refresh_cache=not is_there)
        rows = detect(videos, detector, form.speed, options, workplace, again=form.again)
        outcomes += map(VideoOutcome.model_validate, rows)
    return detector, outcomes
