"""A training as MLflow keeps it."""

import csv
import io
import json
import pickletools
import shutil
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest

from tasks.classifier.config import ModelKind
from tasks.classifier.scoring import evaluate
from tasks.tracking.candidate import Candidate, StartedBy, log_candidate
from tasks.tracking.client import connect
from tasks.tracking.logged import log_files
from tasks.tracking.registry import list_models, resolve
from tasks.tracking.store import TrackingStore, tracking_store
from tests.support.classifiers import DATASET_ID, made_up_dataset, made_up_videos, trained

FILES = {
    "evaluation.json",
    "labels.csv",
    "figures/calibration.png",
    "figures/cooccurrence.png",
    "figures/precision_recall.png",
    "figures/training.png",
}


@dataclass(frozen=True)
class Kept:
    """A candidate, its store, and the folder in which it was logged."""

    candidate: Candidate
    store: TrackingStore
    elsewhere: Path


@pytest.fixture(scope="module")
def kept(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """One for all that only look at it."""
    folder = tmp_path_factory.mktemp("candidate")
    store, elsewhere = tracking_store(folder / "home"), folder / "elsewhere"
    store.folder.mkdir(parents=True)
    shutil.copy(migrated_database, store.folder)
    elsewhere.mkdir()
    started_by = StartedBy(flow_run_id="run-7", flow_run_url="http://127.0.0.1:4200/runs/flow-run/run-7")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(elsewhere)
        candidate = log_candidate(
            store, trained(), made_up_dataset(folder), made_up_videos(seed=1), started_by=started_by
        )
    return Kept(candidate, store, elsewhere)


@pytest.fixture
def candidate(kept: Kept) -> Candidate:
    return kept.candidate


@pytest.fixture
def store(kept: Kept) -> TrackingStore:
    return kept.store


def test_the_run_says_how_it_came_about(store: TrackingStore, candidate: Candidate) -> None:
    run = connect(store).get_run(candidate.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == "logistic"
    assert run.data.params["epochs"] == "3"
    tags = run.data.tags
    assert tags["dataset_id"] == DATASET_ID
    assert tags["dataset_slug"] == "cooking"
    assert tags["feature_space"] == "yt8m-video-2018"
    assert tags["split_digest"].startswith("blake2b:")
    assert tags["prefect_flow_run_id"] == "run-7"
    assert tags["prefect_flow_run_url"].endswith("/run-7")
    assert tags["code_revision"]


def test_a_version_shows_few_tags_and_a_file_has_the_rest(
    store: TrackingStore, candidate: Candidate, tmp_path: Path
) -> None:
    client = connect(store)
    tags = client.get_model_version(candidate.name, str(candidate.version)).tags
    assert tags.keys() == {"kind", "dataset_id", "feature_space", "reelsift"}
    about = json.loads(Path(client.download_artifacts(candidate.run_id, "about.json", str(tmp_path))).read_text())
    assert about["labels"] == {str(index): f"label {index}" for index in range(4)}
    assert float(about["gap_at_20_own_labels"]) == resolve(store, candidate.reference).own_gap
    assert about.keys() >= {"kind", "dataset_slug", "split_digest", "train_seconds", "coverage", "prefect_flow_run_id"}


def test_a_version_of_many_tags_says_the_same_as_one_of_few(empty_store: TrackingStore, tmp_path: Path) -> None:
    """Earlier releases gave a version a tag for each fact."""
    candidate = log_candidate(empty_store, trained(), made_up_dataset(tmp_path), made_up_videos(seed=1))
    row = resolve(empty_store, candidate.reference)
    client, number = connect(empty_store), str(candidate.version)
    facts = json.loads(client.get_model_version(candidate.name, number).tags["reelsift"])
    client.delete_model_version_tag(candidate.name, number, "reelsift")
    assert list_models(empty_store) == []  # it could not be told to be ours
    del facts["labels_digest"]
    listed = '{"0": "label 0", "1": "label 1", "2": "label 2", "3": "label 3"}'
    for name, value in {**facts, "labels": listed}.items():
        client.set_model_version_tag(candidate.name, number, name, value)
    assert resolve(empty_store, candidate.reference) == row
    another = log_candidate(empty_store, trained(seed=1), made_up_dataset(tmp_path), made_up_videos(seed=1))
    rows = {each.reference: each for each in list_models(empty_store)}
    assert rows[candidate.reference].gap == row.gap  # both are known to have the same labels
    assert rows[another.reference].gap == rows[another.reference].own_gap


def test_metrics_by_epoch_and_at_the_end(store: TrackingStore, candidate: Candidate) -> None:
    client = connect(store)
    data = client.get_run(candidate.run_id).data
    by_epoch = client.get_metric_history(candidate.run_id, "epoch/gap_at_20_own_labels")
    assert [metric.step for metric in by_epoch] == [1, 2, 3]
    assert candidate.metrics.keys() == {"gap_at_20", "map", "hit_at_1", "perr", "coverage"}
    assert data.metrics["gap_at_20"] == pytest.approx(by_epoch[2].value)
    assert data.metrics["gap_at_20"] == candidate.metrics["gap_at_20"] > 0.5  # alone, it knows all labels judged on
    assert data.metrics["gap_at_20_own_labels"] == data.metrics["gap_at_20"]
    assert {"epoch/loss", "epoch/learning_rate", "train_seconds"} <= data.metrics.keys()
    row = resolve(store, candidate.reference)
    assert data.metrics["parameters"] == candidate.parameters == row.parameters == 4 * (1152 + 1)  # logistic
    assert data.metrics["train_videos_per_s"] == pytest.approx(row.videos_per_s, abs=0.1)
    assert data.metrics["train_peak_mb"] == pytest.approx(row.peak_mb, abs=1)


def test_a_model_of_background_has_the_match_among_its_metrics_and_stdout_is_left_to_the_caller(
    empty_store: TrackingStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = trained(background=40, kind=ModelKind.GATED)
    validate = made_up_videos(background=40, seed=1)
    candidate = log_candidate(empty_store, result, made_up_dataset(tmp_path), validate)
    assert candidate.metrics["match_ap"] == pytest.approx(result.metrics["match_ap"])
    assert capfd.readouterr().out == ""


def test_the_dataset_is_its_input(store: TrackingStore, candidate: Candidate) -> None:
    inputs = connect(store).get_run(candidate.run_id).inputs
    assert inputs is not None
    (logged,) = inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("cooking", DATASET_ID)


def test_files_of_the_run(store: TrackingStore, candidate: Candidate, tmp_path: Path) -> None:
    folder = Path(connect(store).download_artifacts(candidate.run_id, "", str(tmp_path)))
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found >= FILES
    for path in folder.rglob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(io.StringIO((folder / "labels.csv").read_text())))
    assert rows[0]["name"] == "label 0"
    assert rows[0]["positives"] == "120"
    assert 0 < float(rows[1]["average_precision"]) <= 1


def test_no_name_in_the_table_of_labels_is_computed(store: TrackingStore, candidate: Candidate, tmp_path: Path) -> None:
    """Compared with what a spreadsheet takes for a formula: how the cell begins once it is read."""
    client, evaluation = connect(store), evaluate(trained().classifier, made_up_videos(seed=1))
    names = ("=1+1", "@SUM(A1)", "\u202e=2", "plain")
    labels = tuple(replace(label, name=name) for label, name in zip(evaluation.labels, names, strict=True))
    run_id = client.create_run(candidate.experiment_id).info.run_id
    log_files(client, run_id, replace(evaluation, labels=labels))
    path = Path(client.download_artifacts(run_id, "labels.csv", str(tmp_path)))
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    assert {row["name"] for row in rows} == {"'=1+1", "'@SUM(A1)", "'=2", "plain"}


def test_it_is_the_challenger(store: TrackingStore, candidate: Candidate) -> None:
    row = resolve(store, "cooking@challenger")
    assert (row.reference, row.run_id, row.dataset_id) == (candidate.reference, candidate.run_id, DATASET_ID)
    assert row.gap == candidate.metrics["gap_at_20"]
    assert row.map == candidate.metrics["map"]
    client = connect(store)
    assert f"| challenger&emsp; | [{candidate.reference}]" in (client.get_registered_model("cooking").description or "")
    page = client.get_model_version("cooking", str(candidate.version)).description or ""
    assert f"on the validate split of {DATASET_ID} <!--" in page
    assert "- Prefect run: [run-7](http://127.0.0.1:4200/runs/flow-run/run-7)" in page


def test_all_lies_below_the_home(kept: Kept) -> None:
    store = kept.store
    assert list(kept.elsewhere.iterdir()) == []
    assert store.sqlite_path is not None
    with sqlite3.connect(store.sqlite_path) as database:
        (source,) = database.execute("SELECT storage_location FROM model_versions").fetchone()
    assert source.startswith(store.artifact_root)


def test_nothing_is_pickled(store: TrackingStore) -> None:
    files = [path for path in (store.folder / "artifacts").rglob("*") if path.is_file()]
    assert any(path.name == "model.safetensors" for path in files)
    assert [path for path in files if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".joblib"}] == []
    assert [path for path in files if is_pickle(path.read_bytes())] == []


def test_the_search_for_pickles_finds_one() -> None:
    import cloudpickle

    assert is_pickle(cloudpickle.dumps(trained))


def test_a_training_that_cannot_be_logged_leaves_a_failed_run(
    empty_store: TrackingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError("no space left on device")

    monkeypatch.setattr("tasks.tracking.candidate.register_classifier", refuse)
    with pytest.raises(OSError, match="no space"):
        log_candidate(empty_store, trained(), made_up_dataset(tmp_path), made_up_videos(seed=1))
    client = connect(empty_store)
    experiment = client.get_experiment_by_name("cooking")
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def is_pickle(content: bytes) -> bool:
    """Whether the content reads as a pickle from its first opcode to STOP."""
    try:
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(content))
    except (ValueError, IndexError, UnicodeDecodeError):
        return False
