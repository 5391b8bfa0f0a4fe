"""The whole path as a flow, on a real server, with a real MLflow store."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from conf.forms import PipelineForm, TrainClassifierForm
from conf.home import Home
from flows.pipeline import pipeline
from flows.train_classifier import train_classifier
from reelsift.demo import made_clip
from tasks.contracts.errors import ConfigError, UnknownDatasetError
from tasks.tracking.registry import list_models, resolve
from tasks.tracking.store import tracking_store
from tests.support.flow_runs import run_flow
from tests.support.mirror_server import MirrorServer
from tests.support.published import champion_events, posting


@pytest.fixture
def mirror(synthetic_mirror: Path) -> Iterator[MirrorServer]:
    with MirrorServer(synthetic_mirror) as server:
        yield server


@pytest.mark.usefixtures("mlflow_tables")
def test_a_name_becomes_a_champion_and_again_costs_nothing(mirror: MirrorServer, home: Home) -> None:
    form = PipelineForm(labels=("Cooking",), mirror=mirror.url, models=("logistic", "gated"), background="all")
    began = datetime.now(UTC)
    run = run_flow(pipeline, form)
    made = run.result
    store = tracking_store(home.root)
    champion = resolve(store, "cooking@champion")
    assert run.name == "pipeline for Cooking"
    assert str(run.state.message).startswith(f"{champion.reference} is the new champion: ")
    assert run.headlines()[f"judge {champion.reference}"] == run.state.message
    best = made["comparison"]["rows"][0]
    assert f"the best is {champion.reference}: GAP {best['gap']:.3f}, " in str(
        run.headlines()[f"compare on cooking/{made['dataset']['id']}"]
    )
    assert unrounded("comparison-cooking") == []
    assert unrounded("candidates-cooking") == []
    assert made["promotion"]["promoted"]
    assert made["promotion"]["model"] == champion.reference == made["comparison"]["rows"][0]["model"]
    with get_client(sync_client=True) as client:
        (event,) = champion_events(posting(client), began)
    assert (event["resource"]["prefect.resource.name"], event["payload"]) == (champion.reference, made["promotion"])
    assert {each["prefect.resource.role"] for each in event["related"]} >= {"flow", "flow-run", "task-run"}
    assert champion.dataset_id == made["dataset"]["id"]
    assert {row.kind for row in list_models(store)} == {"logistic", "gated"}

    again = run_flow(pipeline, form).result
    assert len(list_models(store)) == 2  # nothing was trained
    assert not again["promotion"]["promoted"]
    assert resolve(store, "cooking@champion").version == champion.version
    assert {"comparison-cooking", "comparison-cooking-mlflow", "promotion-cooking", "candidates-cooking"} <= artifacts()

    retrained = run_flow(train_classifier, TrainClassifierForm(models=("logistic",), again=True)).result
    assert retrained["dataset"] == made["dataset"]["id"]
    assert len(list_models(store)) == 3


def unrounded(key: str) -> list[str]:
    """Return the figures of a table with more decimals than a person reads."""
    with get_client(sync_client=True) as client:
        chosen = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        (newest,) = client.read_artifacts(artifact_filter=chosen, sort=ArtifactSort.CREATED_DESC, limit=1)
    return re.findall(r"\d\.\d{5,}", str(newest.data))


def artifacts() -> set[str]:
    """Return the keys of all artifacts that the server holds."""
    with get_client(sync_client=True) as client:
        return {str(artifact.key) for artifact in client.read_artifacts()}


def test_training_without_a_dataset_says_how_to_build_one(home: Home) -> None:
    with pytest.raises(UnknownDatasetError, match="reelsift dataset build"):
        run_flow(train_classifier, TrainClassifierForm(dataset="latest"))
    assert not home.models.exists()


def test_an_unknown_preset_is_refused_before_anything_is_trained(mirror: MirrorServer, home: Home) -> None:
    form = PipelineForm(labels=("Cooking",), mirror=mirror.url, models=("huge",))
    with pytest.raises(ConfigError, match="No model preset 'huge'"):
        run_flow(pipeline, form)
    assert not home.models.exists()


@pytest.mark.usefixtures("mlflow_tables")
def test_the_path_goes_on_to_videos(
    mirror: MirrorServer, home: Home, real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not (real_data / "weights" / "yolox_nano.onnx").is_file():
        pytest.skip("no yolox_nano.onnx among the real data")
    monkeypatch.setenv("REELSIFT_WEIGHTS", str(real_data / "weights"))
    clip = str(made_clip(tmp_path))
    form = PipelineForm(labels=("Cooking",), mirror=mirror.url, models=("logistic",), videos=(clip, "nowhere.mp4"))
    made = run_flow(pipeline, form).result
    assert made["labels"]["model"] == "imagenet"  # the weights of the champion's features cannot be had here
    assert made["objects"]["detector"] == "yolox-nano"
    for found in (made["labels"], made["objects"]):
        assert [video["status"] for video in found["videos"]] == ["done", "failed"]
    assert {"labelled-videos", "detected-videos"} <= artifacts()
