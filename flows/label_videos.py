"""Flow: what videos show over time.

    sources ─► batches ─► fetch videos ─► label batch ─► one row for each video
               (the next batch is fetched while one is labelled)

A source that fails, fails alone.
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import deployment, flow
from conf.forms import LabelVideosForm
from flows.dataset_requests import store_of
from flows.video_requests import check_out, label_options, sources_of, workplace_of
from tasks.contracts.media import VideoOutcome
from tasks.labelling.config import exact_reference
from tasks.per_video.jobs import all_done
from tasks.prefect_artifacts import final_state, show_videos
from tasks.process_videos import RUNNER, fetched_batches, label_batch, labelling


@flow(name="label-videos", task_runner=RUNNER)
def label_videos(form: LabelVideosForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Label what the form names; results of the same model and options are cached."""
    settings = running_settings()
    if deployment.id is not None:
        check_out(form)
    workplace, options = workplace_of(form, settings), label_options(form, settings)
    store = store_of(settings)
    model = exact_reference(form.model, store)
    job = labelling(model, store, options, workplace)
    outcomes: list[VideoOutcome] = []
    for videos in fetched_batches(sources_of(form), workplace, settings.flow.videos_per_batch):
        is_there = not form.again and all_done(job, videos)
        label = label_batch.with_options(refresh_cache=not is_there)
        rows = label(videos, model, store, options, workplace, again=form.again)
        outcomes += map(VideoOutcome.model_validate, rows)
    show_videos(outcomes, key="labelled-videos", made_by=model)
    return final_state(outcomes, {"model": model, "videos": [outcome.model_dump(mode="json") for outcome in outcomes]})
