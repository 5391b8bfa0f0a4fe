"""Flow: what videos show over time.

    sources ─► batches ─► fetch videos ─► label batch ─► one row for each video
               (the next batch is fetched while one is labelled)

A source that fails, fails alone.
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import deployment, flow, get_run_logger
from conf.forms import LabelVideosForm
from flows.video_requests import check_out, label_work, sources_of, workplace_of
from tasks.contracts.text import in_list
from tasks.process_videos import RUNNER, process_videos
from tasks.runs import final_state, show_videos


@flow(name="label-videos", called=lambda form: f"label {in_list('videos', form.sources)}", task_runner=RUNNER)
def label_videos(form: LabelVideosForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Label what the form names; results of the same model and options are cached."""
    settings = running_settings()
    if deployment.id is not None:
        check_out(form)
    workplace, work, size = workplace_of(form, settings), label_work(form, settings), settings.flow.videos_per_batch
    if work.chosen:
        get_run_logger().info("Labelling with %s.", work.chosen)
    for champion in work.left_out:
        get_run_logger().warning("%s", champion)
    models, outcomes = process_videos(sources_of(form), work, workplace, batch=size, again=form.again)
    show_videos(outcomes, key="labelled-videos", made_by=work.chosen or models)
    return final_state(outcomes, work.said | {"videos": [outcome.model_dump(mode="json") for outcome in outcomes]})
