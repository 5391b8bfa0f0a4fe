"""The commands about models, one after the other as a person would type them, beside a real Prefect server."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from tests.flows.test_cli import reelsift

pytestmark = pytest.mark.usefixtures("prefect_server")


def answer(*arguments: object, home: Path) -> dict[str, Any]:
    """Run a command that must succeed, and read the one JSON object that it prints."""
    run = reelsift(*arguments, "--json", home=home, PREFECT_API_URL=str(PREFECT_API_URL.value()))
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr, run.stderr
    return json.loads(run.stdout)


def test_from_a_dataset_to_a_champion(synthetic_mirror: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    built = answer("dataset", "build", "--label", "Cooking", "--mirror", synthetic_mirror, home=home)
    other = answer("dataset", "build", "--label", "Cooking", "--mirror", synthetic_mirror, "--limit", 1, home=home)
    assert [entry["id"] for entry in answer("dataset", "list", home=home)["datasets"]] == [other["id"], built["id"]]
    assert answer("dataset", "diff", other["id"], built["id"], home=home)["shards_gained"]
    assert answer("dataset", "verify", built["id"], home=home)["problems"] == []
    assert (
        answer("dataset", "export", tmp_path / "rows.csv", "--dataset", built["id"], home=home)["rows"] == built["rows"]
    )

    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        labels = {label for row in csv.DictReader(file) for label in row["labels"].split("|")}
    assert "Game" in labels  # of background videos, which the vocabulary alone names
    assert not any(label.isdecimal() for label in labels)

    trained = answer("train", "--dataset", built["id"], "--model", "moe", "--model", "logistic", home=home)
    assert {each["kind"] for each in trained["candidates"]} == {"moe", "logistic"}
    assert len(answer("models", "list", home=home)["models"]) == 2

    # Promoting by force and rolling back are tried on a server, in tests/classifier/test_tracking_access.py.
    assert answer("models", "promote", "cooking/1", home=home)["promoted"]
    judged = answer("models", "evaluate", "champion", "--dataset", other["id"], home=home)
    assert {"gap", "map", "hit1", "perr", "videos", "model", "dataset"} <= set(judged)
    assert (judged["model"], judged["dataset"], judged["videos"]) == ("cooking/1", other["id"], other["matches"])

    assert judged["learnt_from"]["shards"] == ["video/train/trainaa.tfrecord"]  # by shard, not by version

    compared = answer("models", "compare", home=home)  # on the models' own dataset, whatever `latest` is
    assert compared["dataset_id"] == built["id"]
    assert {row["model"] for row in compared["rows"]} == {"cooking/1", "cooking/2"}
    assert Path(compared["picture"]).read_bytes().startswith(b"\x89PNG")
    with get_client(sync_client=True) as client:
        links = [each for each in client.read_artifacts() if each.key == "comparison-cooking-mlflow"]
    assert compared["compare_url"] in str(links[-1].data)
    assert links[-1].task_run_id  # the UI shows it where it was made
    assert not (tmp_path / "mlruns").exists()
