"""Flows that Python code calls, as the README shows: their history lies in the home, and nowhere else."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.scripts import run_script

# The README's example, on shards that are here, with one model.
FLOWS_FIRST = """
import json, sys
from flows.pipeline import pipeline
from conf.forms import PipelineForm

made = pipeline(PipelineForm(labels=("Cooking",), limit=1, mirror=sys.argv[1], models=("logistic",)))
print(json.dumps(made["dataset"]["id"]))
"""
# A notebook with flows of its own, which calls two flows of the project's at once, and then wants another place.
PREFECT_FIRST = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
import prefect
from prefect.settings import get_current_settings
from flows.prepare_dataset import prepare_dataset
from conf.forms import PrepareDatasetForm

def run(flow):
    return flow(PrepareDatasetForm(labels=("Cooking",), limit=1, mirror=sys.argv[1]))["id"]

before = {name: value for name, value in os.environ.items() if name.startswith(("PREFECT_", "REELSIFT_"))}
settings = get_current_settings()
with ThreadPoolExecutor(2) as threads:
    ids = list(threads.map(run, [prepare_dataset, prepare_dataset.with_options(name="renamed")]))
after = {name: value for name, value in os.environ.items() if name.startswith(("PREFECT_", "REELSIFT_"))}
unchanged = before == after and get_current_settings() is settings
os.environ["PREFECT_HOME"] = sys.argv[2]
ids.append(run(prepare_dataset))
print(json.dumps({"ids": ids, "unchanged": unchanged, "home": str(settings.home)}))
"""


def runs_of(home: Path) -> list[tuple[str, str]]:
    """Read name and state of the flow runs that Prefect's database in a home has."""
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        query = "SELECT flow.name, state_type FROM flow_run JOIN flow ON flow.id = flow_id ORDER BY flow.name"
        return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, synthetic_mirror: Path, with_tables: Callable[[Path], Path]) -> Path:
    """A home in which a script has called the pipeline."""
    folder = tmp_path_factory.mktemp("script")
    run = run_script(FLOWS_FIRST, with_tables(folder / "home"), folder / "user", synthetic_mirror)
    assert list((folder / "user").rglob("*")) == []
    assert sorted(path.name for path in folder.iterdir()) == ["home", "user"]
    assert (folder / "home" / "datasets" / "cooking" / json.loads(run.stdout)).is_dir()
    assert "View at" not in run.stderr  # its server has no pages
    return folder / "home"


def test_a_script_keeps_its_history_in_the_home(home: Path) -> None:
    assert runs_of(home / "prefect") == [
        ("pipeline", "COMPLETED"), ("prepare-dataset", "COMPLETED"), ("train-classifier", "COMPLETED")
    ]  # fmt: skip
    assert list((home / "results").iterdir())


def test_prefect_may_have_been_imported_before_and_is_left_as_it_was(
    home: Path, tmp_path: Path, synthetic_mirror: Path, prefect_database: Path
) -> None:
    earlier = runs_of(home / "prefect")
    (tmp_path / "own").mkdir()
    shutil.copy(prefect_database, tmp_path / "own")
    run = run_script(PREFECT_FIRST, home, tmp_path / "user", synthetic_mirror, tmp_path / "own")
    said = json.loads(run.stdout)
    assert len(set(said["ids"])) == 1
    assert said["unchanged"]
    # Prefect itself creates its folder when it is imported; nothing is in it.
    assert said["home"] == str(tmp_path / "user" / ".prefect")
    assert [path for path in (tmp_path / "user").rglob("*") if path.name != ".prefect"] == []
    added = [*runs_of(home / "prefect")]
    for row in earlier:
        added.remove(row)
    assert added == [("prepare-dataset", "COMPLETED"), ("renamed", "COMPLETED")]
    assert runs_of(tmp_path / "own") == [("prepare-dataset", "COMPLETED")]  # a Prefect home that a person has named
