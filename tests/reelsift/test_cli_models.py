"""The commands about models, one after the other as a person would type them, beside a real Prefect server."""

import csv
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from deployments.stack import prefect_api
from flows.dataset_requests import store_of
from reelsift import Training, open_dataset
from tests.labelling.colours import write_clip
from tests.reelsift.test_cli import reelsift
from tests.support.built import build
from tests.support.folders import digests
from tests.support.in_process import run_here
from tests.support.published import champion_events, posting

pytestmark = pytest.mark.usefixtures("prefect_server")


def answer(*arguments: object, home: Path, **environment: str) -> dict[str, Any]:
    """Run a command that must succeed, and read the one JSON object that it prints."""
    api = str(PREFECT_API_URL.value())
    run = reelsift(*arguments, "--json", home=home, PREFECT_API_URL=api, **environment)
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def original(
    synthetic_mirror: Path, with_tables: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A home with two versions of a dataset, the larger one first, and two models of that."""
    home = with_tables(tmp_path_factory.mktemp("models") / "home")
    built, other = (build(synthetic_mirror, home, "Cooking", limit=limit).manifest.id for limit in (None, 1))
    assert built != other
    trained = answer("train", "--dataset", built, "--model", "moe", "--model", "logistic", home=home)
    assert {each["kind"] for each in trained["candidates"]} == {"moe", "logistic"}
    return home


def traces(folder: Path) -> dict[str, tuple[int, str]]:
    """Note when each file below a folder was written, and what it holds."""
    return {name: (folder.joinpath(name).stat().st_mtime_ns, digest) for name, digest in digests(folder).items()}


@pytest.fixture(scope="module")
def home(original: Path) -> Iterator[Path]:
    """A copy of it, in which a model was trained, and that was moved since: what is typed there concerns it alone."""
    before = traces(original)
    copied, home = original.parent / "copy", original.parent / "moved to #1 %20?"
    shutil.copytree(original, copied, symlinks=True)
    train = ("train", "--dataset", larger(original), "--model", "logistic", "--seed", 4)
    (first,) = answer(*train, home=copied)["candidates"]
    copied.rename(home)
    (again,) = answer(*train, "--again", home=home)["candidates"]
    assert [each["version"] for each in (first, again)] == [3, 4]
    assert first["metrics"]["gap_at_20"] == again["metrics"]["gap_at_20"]  # the same seed
    yield home
    assert traces(original) == before
    assert {path.name for path in original.parent.iterdir()} >= {original.name, home.name}
    assert not copied.exists()
    assert not (home.parent / "mlruns").exists()


def larger(home: Path) -> str:
    """Return the id of the version that is not the latest."""
    versions = {path.resolve().name for path in home.glob("datasets/cooking/ds-*")}
    (name,) = versions - {(home / "datasets" / "latest").resolve().name}
    return name


def test_datasets_of_a_moved_copy(home: Path, tmp_path: Path) -> None:
    newest, oldest = answer("dataset", "list", home=home)["datasets"]
    other, built = newest["id"], oldest["id"]
    assert answer("dataset", "show", built, home=home)["id"] == built == larger(home)
    assert answer("dataset", "diff", other, built, home=home)["shards_gained"]
    assert answer("dataset", "verify", built, home=home)["problems"] == []
    rows = answer("dataset", "export", tmp_path / "rows.csv", "--dataset", built, home=home)["rows"]
    assert rows == oldest["rows"]
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        labels = {label for row in csv.DictReader(file) for label in row["labels"].split("|")}
    assert "Game" in labels  # of background videos, which the vocabulary alone names
    assert not any(label.isdecimal() for label in labels)


def test_from_candidates_to_a_champion_in_a_moved_copy(home: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit(9)")
    quick = {"PYTHONPATH": str(tmp_path)}  # without PyTorch: what the models say was kept when they were trained
    newest = answer("dataset", "list", home=home)["datasets"][0]
    compared = answer("models", "compare", home=home, **quick)  # on the models' own dataset, whatever `latest` is
    assert compared["dataset_id"] == larger(home)
    assert {row["model"] for row in compared["rows"]} == {f"cooking/{version}" for version in range(1, 5)}
    costs = ("parameters", "videos_per_s", "peak_mb", "seconds")
    assert all(row[name] > 0 for row in compared["rows"] for name in costs)
    assert Path(compared["picture"]).read_bytes().startswith(b"\x89PNG")
    assert Path(compared["picture"]).is_relative_to(home)
    with get_client(sync_client=True) as client:
        links = [each for each in client.read_artifacts() if each.key == "comparison-cooking-mlflow"]
    (link,) = [each for each in links if compared["compare_url"] in str(each.data)]  # others compared theirs
    assert link.task_run_id  # the UI shows it where it was made

    began = datetime.now(UTC)
    promoted = answer("models", "promote", home=home, **quick)  # without a name: the best by the gate's measure
    assert promoted["promoted"]
    best = max(row["gap"] for row in compared["rows"])
    assert promoted["model"] in {row["model"] for row in compared["rows"] if row["gap"] == best}
    judged = answer("models", "evaluate", "champion", "--dataset", newest["id"], home=home)
    assert {"gap", "map", "hit1", "perr", "videos", "model", "dataset"} <= set(judged)
    assert (judged["model"], judged["dataset"]) == (promoted["model"], newest["id"])
    assert judged["videos"] == newest["matches"]
    assert judged["learnt_from"]["shards"] == ["video/train/trainaa.tfrecord"]  # by shard, not by version

    challenger = next(row["model"] for row in compared["rows"] if row["model"] != promoted["model"])
    forced = answer("models", "promote", challenger, "--force", "a test of the way back", home=home)
    assert (forced["promoted"], forced["model"]) == (True, challenger)
    back = answer("models", "rollback", "cooking", home=home)
    assert (f"cooking/{back['version']}", "champion" in back["aliases"]) == (promoted["model"], True)

    with get_client(sync_client=True) as client:
        said = champion_events(posting(client), began, at_least=3)
    assert [each["resource"] for each in said] == [
        {"prefect.resource.id": f"reelsift.model.{name.replace('/', '.')}", "prefect.resource.name": name}
        for name in (promoted["model"], challenger, promoted["model"])
    ]
    assert [each["payload"] for each in said[:2]] == [promoted, forced]
    rolled_back = said[2]["payload"]
    assert (rolled_back["model"], rolled_back["champion"]) == (promoted["model"], challenger)
    assert rolled_back["reason"] == f"Rolled back from {challenger}."


def test_a_champion_changes_whatever_becomes_of_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line says that its automations know nothing of it, and nobody waits for long."""
    monkeypatch.setattr(prefect_api, "ANSWER_S", 0.5)
    others = [row for row in answer("models", "list", home=home)["models"] if "champion" not in row["aliases"]]
    models = [f"cooking/{row['version']}" for row in others[:2]]
    for model, nobody in zip(models, ("a closed port", "a silent server"), strict=True):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
            if nobody == "a closed port":
                silent.close()
            begun_s = time.monotonic()
            words = ("models", "promote", model, "--force", nobody, "--json")
            run = run_here(*words, home=home, monkeypatch=monkeypatch, capfd=capfd, PREFECT_API_URL=url)
        assert (run.returncode, json.loads(run.stdout)["promoted"]) == (0, True), run.stderr
        assert time.monotonic() - begun_s < 20
        (line,) = run.stderr.splitlines()
        assert line.startswith(f"warning: {model} is the champion. The Prefect server at {url} was not told (")
    champion = next(row for row in answer("models", "list", home=home)["models"] if "champion" in row["aliases"])
    assert f"cooking/{champion['version']}" == models[-1]


def test_a_champion_that_python_makes_is_told_as_well(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = answer("models", "list", home=home)["models"]
    before, other = (
        next(f"cooking/{row['version']}" for row in rows if ("champion" in row["aliases"]) == is_champion)
        for is_champion in (True, False)
    )
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    data, began = open_dataset(larger(home), home=home), datetime.now(UTC)
    promotion = Training(data, (), store_of(data.settings)).promote(other, force="tried from Python")
    with get_client(sync_client=True) as client:
        (event,) = champion_events(posting(client), began)
    assert event["payload"] == promotion.model_dump(mode="json")
    assert (promotion.promoted, promotion.champion) == (True, before)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.warns(UserWarning, match=rf"{before} is the champion\. .*127\.0\.0\.1:9/api was not told"):
        assert Training(data, (), store_of(data.settings)).promote(before, force="and back").promoted


def test_a_video_is_labelled_by_the_champion_of_a_moved_copy(home: Path, feature_weights: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", ["red", "green"], sound=True)
    weights = str(shutil.copytree(feature_weights, tmp_path / "weights"))
    command = ("label", clip, "--model", "cooking/2", "--no-annotate", "--json")
    run = reelsift(*command, home=home, REELSIFT_WEIGHTS=weights)
    assert run.returncode == 0, run.stderr
    (video,) = json.loads(run.stdout)["videos"]
    assert Path(video["folder"]).is_relative_to(home)
    labels = json.loads((Path(video["folder"]) / "labels.json").read_text())
    assert labels["model"]["name"] == "cooking/2"
    assert len(labels["top"]) > 1


def test_a_shell_completes_models_of_a_moved_copy(home: Path, tmp_path: Path) -> None:
    asked = {"_REELSIFT_COMPLETE": "complete_bash", "COMP_WORDS": "reelsift\nmodels\npromote\n", "COMP_CWORD": "3"}
    (tmp_path / "mlflow.py").write_text("raise SystemExit(9)")
    found = reelsift(home=home, PYTHONPATH=str(tmp_path), **asked).stdout.split()
    models = answer("models", "list", home=home)["models"]
    assert len(found) == len(set(found))
    assert set(found) == {
        "champion",
        *(f"cooking/{each['version']}" for each in models),
        *(f"cooking@{alias}" for each in models for alias in each["aliases"]),
    }


def test_models_of_a_moved_copy_are_pruned(home: Path) -> None:
    """The last of these tests: it deletes what the others have looked at."""
    files = {path: path.stat().st_size for path in home.rglob("model.safetensors")}
    models = answer("models", "list", home=home)["models"]
    assert len(files) == len(models) == 4
    run = reelsift("prune", "--older-than", "0h", "--keep", 1, "--models", "--yes", "--json", home=home)
    assert run.returncode == 0, run.stderr
    pruned = {item["name"]: item["size_bytes"] for item in json.loads(run.stdout)["goes"] if item["kind"] == "model"}
    assert pruned
    assert min(pruned.values()) > min(files.values())
    left = {f"cooking/{each['version']}" for each in answer("models", "list", home=home)["models"]}
    assert left == {f"cooking/{each['version']}" for each in models} - set(pruned)
    assert sum(path.exists() for path in files) == len(left)


@pytest.mark.parametrize("command", [("train",), ("pipeline", "--label", "Cooking")])
def test_a_preset_that_is_not_there_is_told_with_the_one_spelt_like_it(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """Before anything else is looked at: there is neither a dataset nor a server."""
    run = reelsift(*command, "--model", "gatd", home=tmp_path / "home", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert "'gatd'" in line
    assert "Did you mean 'gated'" in line
