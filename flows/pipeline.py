"""Flow: the whole path, from the names of labels to a champion, and on to videos that it labels.

    prepare dataset ─► train classifier ─► compare models ─► promote the best, if the gate lets it
                                                                └─► label videos ─► detect objects, where asked for

In: a form. Out: the dataset version, the comparison, the promotion, and what was found in the videos. Each step does
only what is missing.
"""

from typing import Any

from prefect import Flow, flow
from prefect.logging import get_run_logger

from conf.forms import DetectObjectsForm, LabelVideosForm, PipelineForm, VideosForm
from conf.running import running_settings
from flows.detect_objects import detect_objects
from flows.label_videos import label_videos
from flows.path_to_champion import champion_from, dataset_for
from flows.video_request import video_model
from tasks.contracts.errors import VideosFailedError
from tasks.contracts.outcomes import VideoOutcome
from tasks.videos_artifact import completed_state


@flow(name="pipeline")
def pipeline(form: PipelineForm) -> Any:  # noqa: ANN401 - perhaps a state; who calls it gets what that holds
    """Make the dataset version, train its candidates, compare them with the champion, and let the gate decide."""
    settings = running_settings()
    settings.candidates(form.models, form.seed)  # a wrong name is told now, not after hours of downloads
    version = dataset_for(form)
    made = {"dataset": version, **champion_from(f"{version['slug']}/{version['id']}", form, settings)}
    if not form.videos:
        return made
    found = _look(form, f"{version['slug']}@champion")
    rows = [VideoOutcome.model_validate(row) for each in found.values() for row in each["videos"]]
    return completed_state(rows, made | found)


def _look(form: PipelineForm, champion: str) -> dict[str, Any]:
    """Label the form's videos, and find the objects in them."""
    model, why_not = video_model(form.video_model, champion, running_settings())
    if why_not:
        get_run_logger().warning("Left out: %s", why_not)
    return {
        "labels": _answer(label_videos, LabelVideosForm(sources=form.videos, model=model)),
        "objects": _answer(detect_objects, DetectObjectsForm(sources=form.videos, detector=form.detector)),
    }


def _answer(flow: Flow[..., Any], form: VideosForm) -> dict[str, Any]:
    """Run a flow over videos; its failure is no failure of what came before."""
    try:
        return flow(form)
    except VideosFailedError as error:
        return error.made
