"""Flow: the whole path, from the names of labels to a champion, and on to videos that it labels.

    prepare dataset ─► train classifier ─► compare models ─► promote the best, if the gate lets it
                                                                └─► label videos ─► detect objects, where asked for

In: a form. Out: the dataset version, the comparison, the promotion, and what was found in the videos. Each step does
only what is missing.
"""

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from conf.forms import DetectObjectsForm, LabelVideosForm, PipelineForm
from conf.running import running_settings
from flows.detect_objects import detect_objects
from flows.label_videos import label_videos
from flows.path_to_champion import champion_from, dataset_for
from flows.video_request import video_model


@flow(name="pipeline")
def pipeline(form: PipelineForm) -> dict[str, Any]:
    """Make the dataset version, train its candidates, compare them with the champion, and let the gate decide."""
    settings = running_settings()
    settings.candidates(form.models, form.seed)  # a wrong name is told now, not after hours of downloads
    version = dataset_for(form)
    made = {"dataset": version, **champion_from(f"{version['slug']}/{version['id']}", form, settings)}
    return made | _look(form, f"{version['slug']}@champion") if form.videos else made


def _look(form: PipelineForm, champion: str) -> dict[str, Any]:
    """Label the form's videos, and find the objects in them."""
    model, why_not = video_model(form.video_model, champion, running_settings())
    if why_not:
        get_run_logger().warning("Left out: %s", why_not)
    labels = label_videos(LabelVideosForm(sources=form.videos, model=model))
    objects = detect_objects(DetectObjectsForm(sources=form.videos, detector=form.detector))
    return {"labels": labels, "objects": objects}
