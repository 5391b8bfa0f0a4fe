"""Flow: from the names of labels to a champion, and on to labelled videos."""

from typing import Any

from conf.environment import running_settings
from conf.flow import Flow, flow, tags
from conf.forms import (
    DetectObjectsForm,
    LabelVideosForm,
    PipelineForm,
    PrepareDatasetForm,
    TrainClassifierForm,
    TrainOptions,
    VideosForm,
)
from conf.settings import Settings
from flows.dataset_requests import store_of
from flows.detect_objects import detect_objects
from flows.label_videos import label_videos
from flows.prepare_dataset import prepare_dataset
from flows.train_classifier import train_classifier
from tasks.candidates import compare_models, promote_model, promotion_in_short
from tasks.contracts.errors import VideosFailedError
from tasks.contracts.media import VideoOutcome
from tasks.contracts.text import in_list
from tasks.publish_dataset import TRAINING_FOLLOWS_TAG
from tasks.runs import completed_state, ended, result_of


def dataset_for(form: PrepareDatasetForm) -> dict[str, Any]:
    """Publish what the form asks for, and say that this run trains on it: no trigger has to start another training."""
    asked = PrepareDatasetForm.model_validate(form.model_dump(include=set(PrepareDatasetForm.model_fields)))
    with tags(TRAINING_FOLLOWS_TAG):
        return prepare_dataset(asked)


def champion_from(version: str, options: TrainOptions, settings: Settings) -> dict[str, Any]:
    """Train candidates on `version` (slug/id), compare them with the champion, and let the gate judge the best."""
    root, store = settings.paths.datasets, store_of(settings)
    trained = train_classifier(
        TrainClassifierForm(dataset=version, models=options.models, seed=options.seed, again=options.again)
    )
    candidates = [f"{each['name']}/{each['version']}" for each in trained["candidates"]]
    comparison = result_of(compare_models, version, candidates, store, settings.gate, root=root)
    best = next(row["model"] for row in comparison["rows"] if row["model"] in candidates)
    promotion = result_of(promote_model, version, best, store, settings.gate, root=root)
    return {"comparison": comparison, "promotion": promotion}


@flow(name="pipeline", called=lambda form: f"pipeline for {in_list('labels', form.labels)}")
def pipeline(form: PipelineForm) -> Any:  # noqa: ANN401 - perhaps a state; who calls it gets what that holds
    """Make the dataset version, train its candidates, compare them with the champion, and let the gate decide."""
    settings = running_settings()
    settings.candidates(form.models, form.seed)  # a wrong name fails now, not after hours of downloads
    settings.check_detector(form.detector)
    version = dataset_for(form)
    made = {"dataset": version, **champion_from(f"{version['slug']}/{version['id']}", form, settings)}
    headline = promotion_in_short(made["promotion"])
    if not form.videos:
        return ended(made, headline)
    found = _look(form)
    rows = [VideoOutcome.model_validate(row) for each in found.values() for row in each["videos"]]
    return completed_state(rows, made | found, before=f"{headline}; ")


def _look(form: PipelineForm) -> dict[str, Any]:
    """Label the form's videos, and find the objects in them."""
    return {
        "labels": _answer(label_videos, LabelVideosForm(sources=form.videos, model=form.video_models)),
        "objects": _answer(detect_objects, DetectObjectsForm(sources=form.videos, detector=form.detector)),
    }


def _answer(flow: Flow[..., Any], form: VideosForm) -> dict[str, Any]:
    """Run a flow over videos; its failure is no failure of what came before."""
    try:
        return flow(form)
    except VideosFailedError as error:
        return error.made
