"""`reelsift doctor`, typed: what it finds on a machine as it should be, and each kind of thing that is wrong."""

import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from conf.home import Home
from conf.stack_state import RunningPart, StackState, write_state
from tests.reelsift.test_cli import reelsift
from tests.support.mlflow_servers import free_port
from tests.support.square_network import square_network


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def examined(home: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code, and what was found by its name."""
    run = reelsift("doctor", "--json", home=home, **environment)
    answer = json.loads(run.stdout)
    assert answer["ok"] is (run.returncode == 0), run.stderr
    return run.returncode, {check["name"]: check for check in answer["checks"]}


def broken(home: Path, **environment: str) -> dict[str, str]:
    code, found = examined(home, **environment)
    assert code == 1
    return {name: f"{check['found']} {check['advice']}" for name, check in found.items() if check["state"] == "broken"}


def test_a_machine_as_it_should_be(home: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "yolox_nano.onnx").write_bytes(square_network())
    code, found = examined(home, REELSIFT_WEIGHTS=str(weights))
    assert code == 0
    assert found["prefect"] == {"name": "prefect", "state": "ok", "found": version("prefect"), "advice": None}
    assert found["reelsift"]["found"].startswith(version("reelsift"))
    assert found["Python"]["found"].startswith(".".join(map(str, sys.version_info[:3])))
    assert found["processors"]["found"].startswith(f"{os.cpu_count()} ")
    assert found["weights yolox-nano"]["found"] == f"{weights / 'yolox_nano.onnx'}, not the published file"
    assert found["weights vggish"]["state"] == found["stack"]["state"] == "missing"
    spaces = {name.rpartition(" ")[2]: check for name, check in found.items() if name.startswith("feature space ")}
    assert {name: check["state"] for name, check in spaces.items()} == {"efficientnet-lite0": "ok", "yt8m": "missing"}
    assert spaces["yt8m"]["found"].startswith("not available: inception-2015, ")
    assert "`reelsift weights fetch yt8m`" in spaces["yt8m"]["advice"]
    assert str(home) in found["home"]["found"]
    free = float(found["home"]["found"].removesuffix(" GB free").rsplit(" ", 1)[1])
    assert free == pytest.approx(shutil.disk_usage(home.parent).free / 1e9, rel=0.05)
    assert [path.name for path in home.rglob("*") if path.is_file()] == [".digests.json"]  # all that a look leaves


def test_everything_that_is_wrong_is_said_with_what_to_do(home: Path, tmp_path: Path) -> None:
    about = tmp_path / "site" / "fastapi-0.999.dist-info"  # with which Prefect does not start, in words of its own
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fastapi\nVersion: 0.999\n")
    weights = home / "weights"
    weights.mkdir(parents=True)
    (weights / "yolox_nano.onnx").write_bytes(square_network())
    receipt = {"url": "http://127.0.0.1/yolox_nano.onnx", "sha256": "0" * 64}
    (weights / "yolox_nano.onnx.fetched.json").write_text(json.dumps(receipt))
    dead = RunningPart(name="prefect", pid=2**22 - 3, identity="gone", started_s=0.0, log=home / "prefect.log", port=1)
    write_state(Home(home), StackState(options={"login": "none"}, parts=(dead,)))
    address = f"http://127.0.0.1:{free_port()}"
    named = {
        "REELSIFT_TRACKING__URI": address,
        "PREFECT_API_URL": f"{address}/api",
        "REELSIFT_WEIGHTS": str(tmp_path / "none"),
    }
    run = reelsift("doctor", home=home, PYTHONPATH=str(about.parent), **named)
    assert run.returncode == 1
    said = {line.split(": ", 2)[1]: line for line in run.stderr.splitlines() if line.startswith("error: ")}
    assert set(said) == {"fastapi", "weights", "weights yolox-nano", "Prefect server", "MLflow", "stack prefect"}
    assert "0.999, and <0.151 is needed. Install again: `make install`" in said["fastapi"]
    assert "Correct REELSIFT_WEIGHTS" in said["weights"]
    assert "`reelsift weights fetch yolox-nano`" in said["weights yolox-nano"]
    assert "unset the variable" in said["Prefect server"]
    assert f"{address}: " in said["MLflow"]
    assert "`reelsift up` starts it again" in said["stack prefect"]


def test_a_library_that_cannot_be_loaded_hides_nothing_else(home: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "cv2.py").write_text('raise ImportError("libGL.so.1: cannot open shared object file")\n')
    home.write_text("a file, and no folder")
    found = broken(home, PYTHONPATH=str(tmp_path / "site"))
    assert set(found) == {"cv2", "home", "stack"}
    assert "libGL.so.1" in found["cv2"]
    assert "REELSIFT_HOME" in found["home"]


def test_a_setting_that_is_refused_leaves_the_rest(home: Path) -> None:
    found = broken(home, REELSIFT_DOWNLOAD__CONNECTIONS="many")
    assert set(found) == {"settings"}
    assert "REELSIFT_DOWNLOAD__CONNECTIONS" in found["settings"]


def test_with_json_a_failure_is_one_object_as_well(home: Path) -> None:
    plain, asked = reelsift("down", "--json", home=home), reelsift("status", "--json", home=home)
    assert "error" not in json.loads(plain.stdout)
    error = json.loads(asked.stdout)["error"]
    assert (asked.returncode, error["type"]) == (1, "StackError")
    assert asked.stderr == f"error: {error['message']}\n"
    assert reelsift("status", home=home).stdout == ""


def test_the_help_shows_defaults_in_words(home: Path) -> None:
    shown = reelsift("dataset", "export", "--help", home=home, COLUMNS="200").stdout
    assert "[default: by the suffix]" in shown
