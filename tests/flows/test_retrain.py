"""Retraining: new shards become a version, a training and a verdict of the gate; without them nothing happens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from conf.forms import PrepareDatasetForm, RetrainForm, TrainClassifierForm
from conf.home import Home
from flows.prepare_dataset import prepare_dataset
from flows.retrain import retrain
from flows.train_classifier import train_classifier
from tasks.contracts.errors import ConfigError
from tasks.contracts.text import in_markdown
from tasks.datasets.catalogue import list_datasets
from tasks.tracking.client import connect
from tasks.tracking.registry import CHALLENGER, CHAMPION, list_models, resolve
from tasks.tracking.store import TrackingStore, tracking_store
from tests.support.flow_runs import run_flow
from tests.support.growing_mirror import GrowingMirror
from tests.support.mirror_server import MirrorServer

pytestmark = pytest.mark.usefixtures("mlflow_tables")


@pytest.fixture
def plan(synthetic_mirror: Path, tmp_path: Path) -> GrowingMirror:
    """A mirror with four shards to train on, of which the plan names three."""
    mirror = GrowingMirror(synthetic_mirror, tmp_path / "mirror")
    mirror.name_shards("train", 3)
    return mirror


@pytest.fixture
def form(plan: GrowingMirror) -> Iterator[RetrainForm]:
    with MirrorServer(plan.folder) as server:
        yield RetrainForm(mirror=server.url, models=("logistic",), background=2)


@pytest.fixture
def store(home: Home) -> TrackingStore:
    return tracking_store(home.root)


def retrained(form: RetrainForm) -> Any:
    return run_flow(retrain, form).result


def shown() -> str:
    """Return what the newest retraining says of itself."""
    chosen = ArtifactFilter(key=ArtifactFilterKey(any_=["retrain-cooking"]))
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(artifact_filter=chosen, sort=ArtifactSort.CREATED_DESC, limit=1)
    return str(artifacts[0].data)


def test_new_shards_are_published_trained_on_and_judged_and_without_them_nothing_is_done(
    plan: GrowingMirror, form: RetrainForm, home: Home, store: TrackingStore
) -> None:
    first = retrained(form)
    assert (first["shards"], first["new_shards"], first["published"]) == (5, 5, True)
    assert first["promotion"]["promoted"]
    assert resolve(store, "cooking@champion").dataset_id == first["dataset"]["id"]
    assert "cooking/1 is the new champion" in shown()

    idle = run_flow(retrain, form)
    assert idle.tasks == []
    assert (idle.result["new_shards"], idle.result["published"], idle.result["promotion"]) == (0, False, None)
    assert (idle.result["dataset"], idle.result["champion"]) == (first["dataset"], "cooking/1")
    assert "nothing to do, cooking/1 stays the champion" in shown()
    assert f"[cooking/1]({store.model_url('cooking', 1)})" in shown()

    plan.name_shards("train", 4)
    grown = retrained(form)
    assert (grown["shards"], grown["new_shards"], grown["published"]) == (6, 1, True)
    assert len(list_datasets(home.datasets)) == 2
    assert {row["model"] for row in grown["comparison"]["rows"]} == {"cooking/1", "cooking/2"}
    assert grown["promotion"]["model"] == "cooking/2"
    assert resolve(store, "cooking/2").verdict == grown["promotion"]["reason"]
    assert in_markdown(grown["promotion"]["reason"]) in shown()
    assert grown["comparison"]["compare_url"] in shown()
    assert retrained(form)["promotion"] is None

    plan.name_shards("train", 3)
    shrunk = retrained(form)  # the version of three shards is there, and was judged
    assert (shrunk["published"], shrunk["dataset"], shrunk["promotion"]) == (False, first["dataset"], None)
    plan.name_shards("train", 2)
    shrunk = retrained(form)  # there is none of two, but nothing in it is new either
    assert (shrunk["new_shards"], shrunk["published"], shrunk["promotion"]) == (0, False, None)
    assert len(list_datasets(home.datasets)) == len(list_models(store)) == 2


def test_a_retraining_that_was_interrupted_is_completed_by_the_next(form: RetrainForm, store: TrackingStore) -> None:
    asked = PrepareDatasetForm(labels=form.labels, mirror=form.mirror, background=form.background)
    dataset = run_flow(prepare_dataset, asked).result
    assert completed(form, dataset) == "cooking/1"  # the one before died after publishing

    client = connect(store)
    client.delete_model_version("cooking", "1")
    run_flow(train_classifier, TrainClassifierForm(models=form.models))
    assert resolve(store, "cooking/2").verdict is None
    assert completed(form, dataset) == "cooking/2"  # after training, which is not done again

    client.delete_registered_model_alias("cooking", CHAMPION)
    client.set_registered_model_alias("cooking", CHALLENGER, "2")
    assert completed(form, dataset) == "cooking/2"  # after the verdict, before the alias moved
    assert [row.reference for row in list_models(store)] == ["cooking/2"]

    assert retrained(form)["promotion"] is None
    again = retrained(form.model_copy(update={"again": True}))  # not interrupted, but asked for
    assert (again["published"], again["promotion"]["model"]) == (False, "cooking/3")


def completed(form: RetrainForm, dataset: Any) -> str:
    """Retrain without news; return what was promoted."""
    done = retrained(form)
    assert (done["published"], done["dataset"]) == (False, dataset)
    assert done["promotion"]["promoted"]
    return str(done["promotion"]["model"])


def test_what_another_machine_has_published_and_judged_is_not_new(
    form: RetrainForm, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELSIFT_STORAGE", (tmp_path / "storage").as_uri())
    monkeypatch.setenv("REELSIFT_TRACKING__URI", home.default_tracking_uri)  # MLflow is everybody's
    first = retrained(form)
    monkeypatch.setenv("REELSIFT_HOME", str(tmp_path / "another"))
    second = retrained(form)
    assert (second["new_shards"], second["published"], second["promotion"]) == (0, False, None)
    assert second["dataset"] == first["dataset"]
    assert not (tmp_path / "another" / "datasets").exists()


def test_an_unknown_preset_is_refused_before_anything_is_fetched(form: RetrainForm, home: Home) -> None:
    with pytest.raises(ConfigError, match="No model preset 'huge'"):
        run_flow(retrain, form.model_copy(update={"models": ("huge",)}))
    assert not home.datasets.exists()
