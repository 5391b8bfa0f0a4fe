"""The commands about models, one after the other as a person would type them, beside a real Prefect server.

They run in this process, as each would spend seconds on importing torch and MLflow; other tests run the installed one.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL
from typer.testing import CliRunner

from deployments.cli import app


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Iterator[Path]:
    """A home of its own; whatever the commands put into the environment is taken out again."""
    with patch.dict(os.environ, REELSIFT_HOME=str(tmp_path / "home"), PREFECT_API_URL=str(PREFECT_API_URL.value())):
        monkeypatch.chdir(tmp_path)
        yield tmp_path / "home"


def answer(*arguments: object) -> dict[str, Any]:
    """Run a command that must succeed, and read the one JSON object that it prints."""
    run = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    return json.loads(run.stdout)


def test_from_a_dataset_to_a_champion_and_back(synthetic_mirror: Path, home: Path, tmp_path: Path) -> None:
    built = answer("dataset", "build", "--label", "Cooking", "--mirror", synthetic_mirror)
    other = answer("dataset", "build", "--label", "Cooking", "--mirror", synthetic_mirror, "--limit", 1)
    assert [entry["id"] for entry in answer("dataset", "list")["datasets"]] == [other["id"], built["id"]]
    assert answer("dataset", "diff", other["id"], built["id"])["shards_gained"]
    assert answer("dataset", "verify", built["id"])["problems"] == []
    assert answer("dataset", "export", tmp_path / "rows.csv", "--dataset", built["id"])["rows"] == built["rows"]

    trained = answer("train", "--dataset", built["id"], "--model", "moe", "--model", "logistic")
    assert {each["kind"] for each in trained["candidates"]} == {"moe", "logistic"}
    assert len(answer("models", "list")["models"]) == 2

    first = answer("models", "promote", "cooking/1")
    assert first["promoted"]
    again = answer("models", "promote", "cooking/1")
    assert not again["promoted"]
    forced = answer("models", "promote", "cooking/2", "--force", "to try a rollback")
    assert forced["promoted"]
    assert answer("models", "rollback", "cooking")["version"] == 1

    judged = answer("models", "evaluate", "champion", "--dataset", other["id"])
    assert {"gap", "map", "hit1", "perr", "videos", "model", "dataset"} <= set(judged)
    assert (judged["model"], judged["dataset"], judged["videos"]) == ("cooking/1", other["id"], other["matches"])

    compared = answer("models", "compare", "--dataset", built["id"])
    assert {row["model"] for row in compared["rows"]} == {"cooking/1", "cooking/2"}
    assert Path(compared["picture"]).read_bytes().startswith(b"\x89PNG")
    with get_client(sync_client=True) as client:
        links = [each for each in client.read_artifacts() if each.key == "comparison-cooking-mlflow"]
    assert compared["compare_url"] in str(links[-1].data)
    assert not (tmp_path / "mlruns").exists()
