"""The image: linted, made of what is there, held to the lock's hashes, and set as reelsift sets itself."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from conf.environment import home_variables
from conf.home import Home
from tests.support.compose_file import ROOT, SECRET_NAME
from tests.support.containerfile import Stage, read_stages
from tests.support.real_settings import unreal

CONTAINERFILE = ROOT / "deployments" / "Containerfile"
IGNORED = ROOT / "deployments" / "Containerfile.dockerignore"
STAGES = read_stages(CONTAINERFILE.read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_package_of_the_project_gets_into_the_image() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {
        line.split()[1] for line in CONTAINERFILE.read_text(encoding="utf-8").splitlines() if line.startswith("COPY ")
    }
    assert set(packages) <= copied
    assert all(is_seen(f"{package}/__init__.py") for package in packages)


def lint(path: Path) -> list[str]:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint
    run = subprocess.run([hadolint, "--format", "json", str(path)], capture_output=True, text=True, check=False)
    return [found["code"] for found in json.loads(run.stdout)]


def is_seen(path: str) -> bool:
    """Tell whether the build sees a path: the last line that fits says so."""
    lines = [line for line in IGNORED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    parts = [path, *map(str, Path(path).parents)]
    seen = True
    for line in lines:
        pattern = line.removeprefix("!")
        candidates = [Path(part).name for part in parts] if pattern.startswith("**/") else parts
        if any(fnmatch(candidate, pattern.removeprefix("**/")) for candidate in candidates):
            seen = line.startswith("!")
    return seen


def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    assert lint(CONTAINERFILE) == []
    careless = tmp_path / "Containerfile"
    careless.write_text("FROM python:latest\nRUN apt-get update && apt-get install tini\n", encoding="utf-8")
    assert {"DL3007", "DL3008", "DL3015"} <= set(lint(careless))


def test_there_is_a_stage_for_each_target() -> None:
    assert {name: stage.base for name, stage in STAGES.items()} == {
        "packages": "${PYTHON_IMAGE}",
        "cpu": "${PYTHON_IMAGE}",
        "gpu": "cpu",
    }


def test_the_base_is_a_pinned_python_that_the_project_takes() -> None:
    base = re.search(
        r"ARG PYTHON_IMAGE=.*/python:(3)\.(\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}\n",
        CONTAINERFILE.read_text(encoding="utf-8"),
    )
    assert base
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert 11 <= int(base[2]) < 14


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_what_is_copied_is_there_and_seen(stage: Stage) -> None:
    assert all((ROOT / source).exists() and is_seen(source) for source in stage.copied)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("conf/default.toml", True),
        ("deployments/prefect.yaml", True),
        ("deployments/containers/mlflow-auth.ini", True),
        (".git/config", False),
        (".reelsift/mlflow/mlflow.db", False),
        (".venv/bin/python", False),
        ("deployments/.env", False),
        ("deployments/.env.production", False),
        ("deployments/.env.d/passwords", False),
        ("deployments/production.env", False),
        ("deployments/production.env.bak", False),
        ("conf/.envrc", False),
        ("tasks/video/.env.local", False),
        ("deployments/media/holiday.mp4", False),
        ("deployments/media/2026/holiday.mp4", False),
        ("conf/environment.py", True),
        ("tasks/contracts/media.py", True),
        ("deployments/kubernetes/pool.env", False),
        ("tasks/__pycache__/gather.pyc", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_build_sees_the_code_and_nothing_else(path: str, seen: bool) -> None:
    assert is_seen(path) is seen


def test_packages_are_held_to_the_hashes_of_the_lock() -> None:
    (install,) = [run for run in STAGES["packages"].all("RUN") if "uv pip install" in run]
    assert "--require-hashes -c requirements.lock" in install
    assert "--build-constraints requirements.lock --require-build-hashes" in install
    (bootstrap,) = [run for run in STAGES["packages"].all("RUN") if run.startswith("pip install")]
    assert "--require-hashes --only-binary :all: -r bootstrap.lock" in bootstrap
    extras = set(re.findall(r"--extra (\w+)", install))
    assert extras == PROJECT["optional-dependencies"].keys() - {"dev"}
    for later in ("cpu", "gpu"):
        others = [run for run in STAGES[later].all("RUN") if "pip install" in run]
        assert all("--offline --no-deps" in run for run in others)


def test_what_builds_the_package_is_taken_from_the_lock() -> None:
    program = re.search(r"sed -n '(.+?)' requirements.lock", STAGES["packages"].all("RUN")[1])
    assert program
    lock = ROOT / "requirements.lock"
    taken = subprocess.run(["sed", "-n", program[1], str(lock)], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"editables==[\d.]+\nhatchling==[\d.]+\n", taken)


def test_it_runs_as_nobody_of_importance_under_an_init() -> None:
    assert STAGES["cpu"].all("USER") == ["10001:10001"]
    assert not STAGES["gpu"].all("USER")
    assert STAGES["cpu"].entrypoint[0] == "/usr/bin/tini"


def test_its_environment_is_that_of_a_home_and_holds_no_secret() -> None:
    environment = STAGES["cpu"].environment
    ours = home_variables(Home(Path("/data")), quiet=False)
    assert {name: environment[name] for name in ours.keys() & environment.keys()}.items() <= ours.items()
    assert {"REELSIFT_HOME", "PREFECT_HOME", "PREFECT_LOCAL_STORAGE_PATH"} <= environment.keys()
    everything = {
        name for stage in STAGES.values() for name in stage.environment if not name.startswith(("UV_", "VIRTUAL_"))
    }
    assert unreal(everything) == []
    assert not any(SECRET_NAME.search(name) for name in everything)
