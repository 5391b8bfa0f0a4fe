"""Imports point one way: reelsift → deployments → flows → tasks → stages → contracts."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Along the two data paths: a stage may import itself, the contracts, and those that are named here; reports serve any
# stage of the first path, and read what those of the second have written.
DATASET_PATH = ["shards", "vocabulary", "records", "datasets", "classifier"]
STAGES = {stage: set(DATASET_PATH[:place]) for place, stage in enumerate(DATASET_PATH)} | {
    "weights": {"shards"},
    "video": {"shards"},
    "features": {"weights", "video"},
    "tracking": set(DATASET_PATH),
    "labelling": {"classifier", "tracking", "weights", "video", "features"},
    "detection": {"weights", "video"},
    "per_video": {"shards", "tracking", "weights", "video", "features", "labelling", "detection"},
    "imports": {"records", "datasets", "video", "features", "per_video"},
    "fan_out": set(),
    "results": {"vocabulary"},
    "pruning": {*DATASET_PATH, "tracking", "video"},
}
SERVING = ("reports", "storage")
FREE_OF_STAGES = ("contracts",)
FORBIDDEN_BELOW_STAGES = {"prefect", "typer", "rich", "conf", "flows", "deployments", "reelsift"}
MLFLOW_SERVER = "conf/guarded_server.py"  # runs within the server's process


def imported_modules(path: Path, *, when_run: bool = False) -> set[str]:
    """Return the dotted names of everything that a file imports, wherever in it; `when_run`: not for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = {id(inner) for node in typing for inner in ast.walk(node)} if when_run else set()
    nodes = [node for node in ast.walk(tree) if id(node) not in skipped]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def stage_files(stage: str) -> list[Path]:
    return sorted((ROOT / "tasks" / stage).rglob("*.py"))


def imported_stages(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported_modules(path) if name.startswith("tasks.")}


def test_every_package_below_tasks_is_a_known_stage() -> None:
    packages = {path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py")}
    assert packages == {*STAGES, *SERVING, *FREE_OF_STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_those_before_it_on_its_path(stage: str) -> None:
    allowed = {stage, *STAGES[stage], *SERVING, *FREE_OF_STAGES}
    wrong = {str(path): extra for path in stage_files(stage) if (extra := imported_stages(path) - allowed)}
    assert not wrong


@pytest.mark.parametrize("package", sorted(FREE_OF_STAGES))
def test_contracts_know_no_stage(package: str) -> None:
    assert not {name for path in stage_files(package) for name in imported_stages(path)} - {package}


@pytest.mark.parametrize("package", sorted(SERVING))
def test_what_serves_every_stage_knows_only_contracts(package: str) -> None:
    assert not {name for path in stage_files(package) for name in imported_stages(path)} - {package, *FREE_OF_STAGES}


@pytest.mark.parametrize("stage", [*STAGES, *SERVING, *FREE_OF_STAGES])
def test_a_stage_is_a_library_without_prefect_or_terminal(stage: str) -> None:
    wrong = {
        str(path): found
        for path in stage_files(stage)
        if (found := {name.split(".")[0] for name in imported_modules(path)} & FORBIDDEN_BELOW_STAGES)
    }
    assert not wrong


@pytest.mark.parametrize("path", sorted((ROOT / "tasks").glob("*.py")), ids=lambda path: path.stem)
def test_a_task_knows_neither_flows_nor_settings(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported_modules(path)} & {"conf", "flows", "deployments", "reelsift"}


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.py")), ids=lambda path: path.stem)
def test_settings_know_only_the_configs_of_the_stages(path: Path) -> None:
    modules = {name for name in imported_modules(path) if name.startswith("tasks.")}
    assert all(name.startswith("tasks.contracts.") or name.endswith(".config") for name in modules)
    assert not {name.split(".")[0] for name in imported_modules(path)} & {"flows", "deployments", "reelsift"}


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("*.py")), ids=lambda path: path.stem)
def test_a_flow_holds_no_class(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("*.py")), ids=lambda path: path.stem)
def test_a_flow_takes_prefect_from_the_module_that_imports_it_at_home(path: Path) -> None:
    assert "prefect" not in {name.split(".")[0] for name in imported_modules(path, when_run=True)}


@pytest.mark.parametrize("path", sorted((ROOT / "flows").rglob("*.py")), ids=lambda path: path.stem)
def test_a_flow_does_not_know_where_it_runs(path: Path) -> None:
    assert not {"deployments", "reelsift"} & {name.split(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("path", sorted((ROOT / "deployments").rglob("*.py")), ids=lambda path: path.stem)
def test_what_runs_the_flows_knows_no_command(path: Path) -> None:
    assert "reelsift" not in {name.split(".")[0] for name in imported_modules(path)}


def test_mlflow_is_imported_by_tracking_alone() -> None:
    files = [
        path for top in ("conf", "deployments", "flows", "reelsift", "tasks") for path in (ROOT / top).rglob("*.py")
    ]
    users = {
        str(path.relative_to(ROOT))
        for path in files
        if "mlflow" in {name.split(".")[0] for name in imported_modules(path, when_run=True)}
    }
    assert {name for name in users if not name.startswith("tasks/tracking/")} == {MLFLOW_SERVER}


def test_no_flow_hides_a_package() -> None:
    """Prefect puts the folder of a flow first on `sys.path`, so `flows/mlflow.py` would hide mlflow."""
    packages = {path.name for path in Path(sys.prefix).glob("lib/python*/site-packages/*") if path.is_dir()}
    assert not {path.stem for path in (ROOT / "flows").glob("*.py")} & (packages | set(sys.stdlib_module_names))


def test_looking_at_the_vocabulary_imports_nothing_heavy() -> None:
    heavy = {"prefect", "mlflow", "torch", "pandas", "pyarrow", "numba", "matplotlib", "tensorflow", "httpx"}
    code = "import sys, reelsift.cli, tasks.vocabulary.table; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not heavy & set(run.stdout.split())


def test_the_installed_command_catches_signals_before_it_imports_any_other_package() -> None:
    code = "import sys; before = set(sys.modules); import reelsift.__main__; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    own = {"reelsift", "tasks"}
    assert {name.split(".")[0] for name in run.stdout.split()} - own <= sys.stdlib_module_names
