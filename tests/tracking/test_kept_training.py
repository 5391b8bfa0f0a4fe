"""MLflow goes away while a training is logged: the training is neither lost nor done twice nor registered twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch

from tasks.candidates import fit_classifier
from tasks.classifier import train as training
from tasks.classifier.config import PRESETS
from tasks.contracts.errors import TrackingAwayError, TrackingError
from tasks.tracking import kept_training
from tasks.tracking.candidate import Candidate, log_candidate
from tasks.tracking.client import connect
from tasks.tracking.kept_training import CandidateNote, KeptTraining, patiently
from tasks.tracking.registry import list_models
from tasks.tracking.store import TrackingStore, tracking_store
from tests.support.built import build
from tests.support.classifiers import made_up_dataset, made_up_videos, trained
from tests.support.mlflow_servers import RunningMlflow
from tests.support.relay import Relay


@pytest.fixture
def relay(remote: TrackingStore) -> Iterator[Relay]:
    with Relay(int(urlsplit(remote.uri).port or 0)) as relay:
        yield relay


@pytest.fixture
def away(relay: Relay, tmp_path: Path) -> TrackingStore:
    """The real server, at the end of a line that can be cut."""
    return tracking_store(tmp_path / "home", f"http://127.0.0.1:{relay.port}")


def test_a_training_is_kept_whole(tmp_path: Path) -> None:
    kept, result = KeptTraining(tmp_path / "kept"), trained()
    assert kept.load() is None
    kept.save(result, "cooking/ds-0123456789ab")
    found = kept.load()
    assert found is not None
    assert (found.history, found.metrics, found.seconds, found.best_epoch) == (
        result.history,
        dict(result.metrics),
        result.seconds,
        result.best_epoch,
    )
    features = torch.randn(3, 1152).numpy()
    assert np.array_equal(found.classifier.predict(features), result.classifier.predict(features))
    (kept.folder / "model.safetensors").write_bytes(b"cut off")
    assert kept.load() is None
    kept.remove()
    assert not kept.folder.exists()


def test_no_bit_of_a_note_or_of_a_record_flips_unseen(store: TrackingStore) -> None:
    """A digit of a GAP that flipped is no GAP: the training is done again."""
    numbers = {"version": 3, "metrics": {"gap_at_20": 0.875}, "label_ids": (22, 0), "seconds": 1.5}
    texts = dict.fromkeys(("kind", "run_id", "experiment_id", "dataset_id", "run_url", "model_url"), "x")
    candidate = Candidate.model_validate({"name": "cooking", **numbers, **texts})
    note, kept = CandidateNote.of(store, "yt8m-fit-1-0"), KeptTraining(store.kept / "key")
    assert note.read() is None
    note.write(candidate, store)
    assert note.read() == candidate
    kept.save(trained(), "cooking/ds-0123456789ab")

    def figures() -> object:
        result = kept.load()
        return result and (result.metrics, result.history, result.seconds, result.best_epoch)

    for path, read in ((note.path, note.read), (kept.folder / "training.json", figures)):
        content, whole = path.read_bytes(), read()
        for at in range(0, len(content), 5):
            path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            assert read() in (None, whole), content[at - 5 : at + 5]
            path.write_bytes(content[:at])
            assert read() is None
    note.path.write_text(candidate.model_dump_json())  # as an earlier release wrote it
    assert note.read() == candidate


@pytest.mark.parametrize("after_bytes", [0, 3_000, 8_000, 12_000], ids=["at once", "run", "files", "model"])
def test_it_is_logged_once_however_often_it_is_tried(
    relay: Relay, away: TrackingStore, remote: TrackingStore, tmp_path: Path, after_bytes: int
) -> None:
    slug = f"cut-{after_bytes}"
    dataset, result, validate = made_up_dataset(tmp_path, slug), trained(), made_up_videos(seed=1)
    relay.cut_for(3, after_bytes=after_bytes)
    candidate = patiently(lambda: log_candidate(away, result, dataset, validate, training=f"t{after_bytes}"))
    assert relay.was_cut, f"{relay.sent} bytes went to the server"
    (row,) = list_models(remote, slug)
    assert (row.version, row.run_id) == (candidate.version, candidate.run_id)
    client = connect(remote)
    (run,) = client.search_runs([candidate.experiment_id])
    assert (run.info.run_id, run.info.status) == (candidate.run_id, "FINISHED")


def test_what_could_not_be_logged_is_logged_by_the_next_run_without_training(
    relay: Relay,
    away: TrackingStore,
    remote: TrackingStore,
    synthetic_mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = build(synthetic_mirror, tmp_path / "built", "Cooking", "Game")  # a slug of its own: the server is shared
    root, version = dataset.folder.parents[1], dataset.manifest.reference
    config = PRESETS["logistic"].model_copy(update={"epochs": 2, "device": "cpu"})
    trainings: list[object] = []
    fit = training.fit

    def counted(*arguments: object, **options: object) -> training.TrainingResult:
        relay.cut()  # it was there before the training, and is not there after it
        trainings.append(options)
        return fit(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "fit", counted)
    monkeypatch.setattr(kept_training, "PATIENCE_S", 0.0)
    with pytest.raises(TrackingAwayError, match=r"No MLflow server answers .* The trained model is kept"):
        fit_classifier.fn(version, config, away, root=root)
    relay.heal()
    candidate = fit_classifier.fn(version, config, away, root=root)
    assert len(trainings) == 1
    assert [row.run_id for row in list_models(remote, dataset.manifest.slug)] == [candidate["run_id"]]
    assert not any(away.kept.iterdir())


def test_a_server_that_is_killed_during_a_training_and_started_again_gets_it(
    mlflow_server: RunningMlflow,
    remote: TrackingStore,
    synthetic_mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = build(synthetic_mirror, tmp_path / "built", "Vehicle")  # a slug of its own, as above
    fit, process = training.fit, mlflow_server.process

    def killing(*arguments: object, **options: object) -> training.TrainingResult:
        process.kill()
        result = fit(*arguments, **options)  # type: ignore[arg-type]
        with pytest.raises(TrackingError, match="No MLflow server answers"):
            connect(remote)
        process.start()  # it answers when it has imported itself, and not yet
        return result

    monkeypatch.setattr(training, "fit", killing)
    config = PRESETS["logistic"].model_copy(update={"epochs": 2, "device": "cpu"})
    try:
        candidate = fit_classifier.fn(dataset.manifest.reference, config, remote, root=dataset.folder.parents[1])
    finally:
        process.wait()
    (row,) = list_models(remote, dataset.manifest.slug)
    assert (row.run_id, row.own_gap) == (candidate["run_id"], candidate["metrics"]["gap_at_20"])
    (run,) = connect(remote).search_runs([candidate["experiment_id"]])
    assert (run.info.run_id, run.info.status) == (candidate["run_id"], "FINISHED")
    assert not any(remote.kept.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.tracking import model as tracking_model
from tasks.tracking.store import tracking_store
from tasks.tracking.candidate import Candidate, log_candidate
from tests.support.classifiers import made_up_dataset, made_up_videos, trained

def killed(*arguments, **options):
    save(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)

save, tracking_model.save_model = tracking_model.save_model, killed
folder = Path(sys.argv[1])
log_candidate(tracking_store(folder / "home"), trained(), made_up_dataset(folder), made_up_videos(seed=1))
"""


def test_the_temporary_files_of_a_killed_logging_lie_in_the_home_and_the_next_one_removes_them(
    store: TrackingStore, tmp_path: Path
) -> None:
    usual = tmp_path / "usual"
    usual.mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    environment = os.environ | {"TMPDIR": str(usual), "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert not list(usual.iterdir())
    (left,) = store.folder.glob(".making-*.tmp")
    assert list(left.rglob("model.safetensors"))
    log_candidate(store, trained(), made_up_dataset(tmp_path), made_up_videos(seed=1))
    assert not left.exists()
    (own,) = store.folder.glob(".making-*.tmp")  # which goes with this process
    assert not list(own.iterdir())


def test_what_will_not_pass_is_not_tried_again() -> None:
    tries = []

    def refused() -> None:
        tries.append(1)
        raise TrackingError("401")

    with pytest.raises(TrackingError):
        patiently(refused)
    assert len(tries) == 1
