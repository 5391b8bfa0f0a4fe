"""The commands about models, one after the other as a person would type them, beside a real Prefect server."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from tests.flows.test_cli import reelsift
from tests.labelling.colours import write_clip
from tests.support.feature_weights import write_feature_weights
from tests.support.folders import digests

pytestmark = pytest.mark.usefixtures("prefect_server")


def answer(*arguments: object, home: Path) -> dict[str, Any]:
    """Run a command that must succeed, and read the one JSON object that it prints."""
    run = reelsift(*arguments, "--json", home=home, PREFECT_API_URL=str(PREFECT_API_URL.value()))
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def original(synthetic_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two versions of a dataset, the larger one first, and two models of that."""
    home = tmp_path_factory.mktemp("models") / "home"
    build = ("dataset", "build", "--label", "Cooking", "--mirror", synthetic_mirror)
    built, other = (answer(*build, *more, home=home) for more in ((), ("--limit", 1)))
    assert built["id"] != other["id"]
    trained = answer("train", "--dataset", built["id"], "--model", "moe", "--model", "logistic", home=home)
    assert {each["kind"] for each in trained["candidates"]} == {"moe", "logistic"}
    return home


def traces(folder: Path) -> dict[str, tuple[int, str]]:
    """Note when each file below a folder was written, and what it holds."""
    return {name: (folder.joinpath(name).stat().st_mtime_ns, digest) for name, digest in digests(folder).items()}


def test_a_home_that_was_copied_and_moved_works_in_itself(original: Path, tmp_path: Path) -> None:
    before = traces(original)
    (larger,) = (
        path for path in original.glob("datasets/cooking/ds-*") if not path.samefile(original / "datasets/latest")
    )
    copied, home = tmp_path / "copy", tmp_path / "moved to #1 %20?"
    shutil.copytree(original, copied)
    train = ("train", "--dataset", larger.name, "--model", "logistic", "--seed", 4)
    (first,) = answer(*train, home=copied)["candidates"]
    copied.rename(home)
    (again,) = answer(*train, "--again", home=home)["candidates"]
    assert [each["version"] for each in (first, again)] == [3, 4]
    assert first["metrics"]["gap_at_20"] == again["metrics"]["gap_at_20"]  # the same seed
    look_at_datasets(home, tmp_path)
    from_candidates_to_a_champion(home)

    forced = answer("models", "promote", "cooking/4", "--force", "a test of the way back", home=home)
    assert (forced["promoted"], forced["model"]) == (True, "cooking/4")
    back = answer("models", "rollback", "cooking", home=home)
    assert "champion" in back["aliases"]
    assert int(back["version"]) != 4
    label_with_the_champion(home, back, tmp_path)

    gone = reelsift("prune", "--older-than", "0h", "--keep", 1, "--models", "--yes", "--json", home=home)
    assert gone.returncode == 0, gone.stderr
    pruned = [item for item in json.loads(gone.stdout)["goes"] if item["kind"] == "model"]
    assert pruned
    assert all(item["size_bytes"] > 0 for item in pruned)
    left = {each["version"] for each in answer("models", "list", home=home)["models"]}
    assert left == {1, 2, 3, 4} - {int(item["name"].partition("/")[2]) for item in pruned}
    assert len(list(home.rglob("model.safetensors"))) == len(left)

    assert traces(original) == before
    assert not copied.exists()


def look_at_datasets(home: Path, folder: Path) -> None:
    listed = answer("dataset", "list", home=home)["datasets"]
    other, built = (entry["id"] for entry in listed)
    assert all(Path(entry["folder"]).is_relative_to(home) for entry in listed if "folder" in entry)
    assert answer("dataset", "show", built, home=home)["id"] == built
    assert answer("dataset", "diff", other, built, home=home)["shards_gained"]
    assert answer("dataset", "verify", built, home=home)["problems"] == []
    rows = answer("dataset", "export", folder / "rows.csv", "--dataset", built, home=home)["rows"]
    assert rows == listed[1]["rows"]
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        labels = {label for row in csv.DictReader(file) for label in row["labels"].split("|")}
    assert "Game" in labels  # of background videos, which the vocabulary alone names
    assert not any(label.isdecimal() for label in labels)


def from_candidates_to_a_champion(home: Path) -> None:
    other, built = answer("dataset", "list", home=home)["datasets"]
    assert len(answer("models", "list", home=home)["models"]) == 4
    compared = answer("models", "compare", home=home)  # on the models' own dataset, whatever `latest` is
    assert compared["dataset_id"] == built["id"]
    assert {row["model"] for row in compared["rows"]} == {f"cooking/{version}" for version in range(1, 5)}
    assert Path(compared["picture"]).read_bytes().startswith(b"\x89PNG")
    assert Path(compared["picture"]).is_relative_to(home)
    with get_client(sync_client=True) as client:
        links = [each for each in client.read_artifacts() if each.key == "comparison-cooking-mlflow"]
    assert compared["compare_url"] in str(links[-1].data)
    assert links[-1].task_run_id  # the UI shows it where it was made

    promoted = answer("models", "promote", home=home)  # without a name: the best by the gate's measure
    assert promoted["promoted"]
    best = max(row["gap"] for row in compared["rows"])
    assert promoted["model"] in {row["model"] for row in compared["rows"] if row["gap"] == best}
    judged = answer("models", "evaluate", "champion", "--dataset", other["id"], home=home)
    assert {"gap", "map", "hit1", "perr", "videos", "model", "dataset"} <= set(judged)
    assert (judged["model"], judged["dataset"]) == (promoted["model"], other["id"])
    assert judged["videos"] == other["matches"]
    assert judged["learnt_from"]["shards"] == ["video/train/trainaa.tfrecord"]  # by shard, not by version
    assert not (home.parent / "mlruns").exists()


def label_with_the_champion(home: Path, champion: dict[str, Any], folder: Path) -> None:
    write_clip(folder / "clip.mp4", ["red", "green"], sound=True)
    weights = str(write_feature_weights(folder / "weights"))
    run = reelsift(
        "label", "clip.mp4", "--model", "champion", "--no-annotate", "--json", home=home, REELSIFT_WEIGHTS=weights
    )
    assert run.returncode == 0, run.stderr
    (video,) = json.loads(run.stdout)["videos"]
    assert Path(video["folder"]).is_relative_to(home)
    assert video["labels"]["model"]["name"] == f"cooking/{champion['version']}"
    assert video["labels"]["top"][0]["name"]


def test_a_preset_that_is_not_there_is_told_with_the_one_spelt_like_it(original: Path) -> None:
    api = str(PREFECT_API_URL.value())
    run = reelsift("train", "--model", "gatd", home=original, PREFECT_API_URL=api)
    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert "'gatd'" in line
    assert "Did you mean 'gated'" in line
