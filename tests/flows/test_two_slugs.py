"""One id under two slugs: a label that was first named by its index, then by its name."""

import shutil
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from conf.forms import PipelineForm, PrepareDatasetForm, RetrainForm, TrainClassifierForm
from conf.home import Home
from flows.pipeline import pipeline
from flows.prepare_dataset import prepare_dataset
from flows.retrain import retrain
from flows.train_classifier import train_classifier
from tasks.datasets.catalogue import list_datasets
from tasks.tracking.registry import list_models
from tasks.tracking.store import tracking_store
from tests.reelsift.test_cli import reelsift
from tests.support.flow_runs import run_flow

pytestmark = pytest.mark.usefixtures("mlflow_tables")


@pytest.fixture
def twice(home: Home, synthetic_mirror: Path, tmp_path: Path) -> str:
    """The id of a version that is there as `label-22`, from a mirror without a vocabulary, and as `cooking`."""
    nameless = tmp_path / "nameless"
    shutil.copytree(synthetic_mirror / "2", nameless / "2")
    made = [
        run_flow(prepare_dataset, PrepareDatasetForm(labels=(label,), mirror=str(mirror), background=2)).result
        for label, mirror in (("22", nameless), ("Cooking", synthetic_mirror), ("22", nameless))
    ]
    assert [version["slug"] for version in made] == ["label-22", "cooking", "label-22"]
    assert len({version["id"] for version in made}) == 1
    return str(made[0]["id"])


def test_every_flow_and_command_goes_on_with_the_version_that_it_was_given(
    twice: str, home: Home, synthetic_mirror: Path
) -> None:
    assert {entry.slug for entry in list_datasets(home.datasets)} == {"label-22", "cooking"}
    trained = run_flow(train_classifier, TrainClassifierForm(dataset=f"label-22/{twice}", models=("logistic",))).result
    assert [candidate["name"] for candidate in trained["candidates"]] == ["label-22"]
    form = {"labels": ("Cooking",), "mirror": str(synthetic_mirror), "background": 2, "models": ("logistic",)}
    made = run_flow(pipeline, PipelineForm.model_validate(form)).result
    assert made["promotion"]["model"] == "cooking/1"  # trained under its own slug, not found as that of the other
    idle = run_flow(retrain, RetrainForm.model_validate(form)).result
    assert (idle["dataset"]["slug"], idle["promotion"]) == ("cooking", None)
    assert {row.dataset for row in list_models(tracking_store(home.root))} == {f"label-22/{twice}", f"cooking/{twice}"}

    for command in (
        ["dataset", "build", "--label", "Cooking", "--mirror", synthetic_mirror, "--background", 2],
        ["dataset", "show", twice],
        ["dataset", "verify", twice[:8]],
        ["models", "evaluate", "label-22/1"],
        ["models", "promote", "label-22/1"],
    ):
        run = reelsift(*command, home=home.root, PREFECT_API_URL=str(PREFECT_API_URL.value()))
        assert run.returncode == 0, run.stderr
