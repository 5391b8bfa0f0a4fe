"""The wheel: what is in it, and that it works without the checkout."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
SECRET = "deployments/.env"
PLANTED = (SECRET, "deployments/media/private.mp4", "deployments/kubernetes/pool.env", "tasks/__pycache__/x.pyc")
# As the console script does it, and then where this project's modules came from.
TYPED = """
import sys
from importlib.metadata import entry_points
[script] = entry_points(group="console_scripts", name="reelsift")
try:
    script.load()()
finally:
    own = [each for name, each in sys.modules.items() if name.split(".")[0] in OWN]
    print(*{each.__file__ for each in own if each.__file__}, sep="\\n", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, in which somebody has secrets and leftovers of the kinds that git ignores."""
    checkout, made = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", ".env", "media"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, checkout)
    for name in PLANTED:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("private")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)]
    run = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    [built] = made.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_is_named_by_the_version(wheel: Path) -> None:
    assert wheel.name == f"reelsift-{PROJECT['project']['version']}-py3-none-any.whl"


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {str(path.relative_to(ROOT)) for top in PACKAGES for path in (ROOT / top).rglob("*") if path.is_file()}
    ignored = ("__pycache__", "/media/")
    expected = {name for name in here if not any(each in name for each in ignored)} - set(PLANTED)
    assert held == expected
    read = {"conf/default.toml", "conf/weights.toml", "deployments/prefect.yaml", "deployments/automations.yaml"}
    assert read <= held
    assert {f"{package}/py.typed" for package in PACKAGES} <= held  # a user's type checker reads the annotations
    assert {name for name in held if name.startswith("tasks/reports/templates/")}
    assert not {name for name in held if name.startswith("tests/")}


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        about = message_from_bytes(archive.read(name))
    needed = [each for each in about.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert len(needed) == len(PROJECT["project"]["dependencies"])
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ",".join(sorted(PROJECT["project"]["requires-python"].split(",")))


def typed(unpacked: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Type a command in an empty folder; every module of ours that it imported must come from the wheel."""
    code = f"OWN = {PACKAGES}\n{TYPED}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REELSIFT_")}
    environment |= {"PYTHONPATH": str(unpacked), "REELSIFT_HOME": str(folder / "home"), "PYTHONSAFEPATH": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    files = run.stderr.splitlines()
    assert len(files) > 5
    assert not [file for file in files if not file.startswith(f"{unpacked}/")]
    return run


def test_the_help_is_printed_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    assert "dataset" in typed(unpacked, tmp_path, "--help").stdout
    assert typed(unpacked, tmp_path, "--version").stdout.strip() == PROJECT["project"]["version"]


def test_settings_and_the_table_of_weights_come_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    settings = json.loads(typed(unpacked, tmp_path, "--config", "smoke", "config", "show", "--json").stdout)
    origins = {each["origin"] for each in settings.values()}
    assert {"conf/default.toml", str(unpacked / "conf" / "smoke.toml")} <= origins
    weights = json.loads(typed(unpacked, tmp_path, "weights", "list", "--json").stdout)["weights"]
    table = tomllib.loads((ROOT / "conf" / "weights.toml").read_text(encoding="utf-8"))
    assert [each["name"] for each in weights] == list(table)


def test_a_flow_is_imported_by_name_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    """As Prefect does with the entrypoints of `deployments/prefect.yaml`."""
    code = "from deployments.register import own_entrypoints; print(*own_entrypoints().values())"
    environment = os.environ | {"PYTHONPATH": str(unpacked), "PREFECT_HOME": str(tmp_path), "PYTHONSAFEPATH": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    modules = [each.rpartition(".")[0].replace(".", "/") + ".py" for each in run.stdout.split()]
    assert modules
    assert not [each for each in modules if not (unpacked / each).is_file()]
