"""Detectors, typed: what `auto` says of its choice, and a detector of one's own from a file of settings."""

import json
import re
from pathlib import Path

import pytest

from tests.reelsift.test_cli import reelsift
from tests.support.detr_network import FINISHED, detr_network
from tests.support.in_process import run_here
from tests.support.square_network import square_network
from tests.support.square_videos import write_clip, write_picture

OWN = """
[weight_files.mine]
file_name = "mine.onnx"

[detectors.my-detr]
weights = "mine"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    (folder / "mine.onnx").write_bytes(detr_network(outputs=FINISHED))
    (tmp_path / "mine.toml").write_text(OWN)
    return str(folder)


def test_auto_says_what_it_took_what_is_better_and_what_a_frame_cost(home: Path, weights: str) -> None:
    write_clip(home.parent / "apple.mp4", [[("apple", 4, 4)]] * 10)
    run = reelsift("detect", "apple.mp4", "--detector", "auto", "--no-annotate", home=home, REELSIFT_WEIGHTS=weights)
    assert run.returncode == 0, run.stderr
    said = " ".join(run.stderr.split())
    why = "yolox-nano: of those that are here and suit a CPU, the best (box AP 25.8 on COCO)"
    assert f"The detector is yolox-nano, on cpu. auto took {why}." in said
    better = "dfine-s would find more (box AP 50.7, 23 x the work): 41.5 MB with `reelsift weights fetch dfine-s`"
    assert better in said
    assert "yolox-nano took " in said
    assert " ms a frame, on cpu." in said

    again = reelsift("detect", "apple.mp4", "--no-annotate", "--json", home=home, REELSIFT_WEIGHTS=weights)
    answer = json.loads(again.stdout)
    assert (answer["detector"], answer["why"]) == ("yolox-nano", why)
    assert answer["better"].startswith(better)
    (video,) = answer["videos"]
    assert video["status"] == "cached"
    objects = video["objects"]
    assert objects["chosen"] == why
    # The clock of the stage, over the ten frames of which all were looked at.
    assert objects["detector_ms"] == pytest.approx(100 * objects["stage_seconds"]["detect"], abs=0.01)


def test_a_detector_of_ones_own_is_named_like_the_others(home: Path, weights: str) -> None:
    write_picture(home.parent / "p.png", ("apple", 4, 4))
    options = ("--config", "mine.toml", "detect", "p.png", "--detector", "my-detr", "--min-score", 0.1, "--json")
    run = reelsift(*options, home=home, REELSIFT_WEIGHTS=weights)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert "why" not in answer
    found = answer["videos"][0]["objects"]["detector"]
    assert (found["name"], found["weights"]["name"]) == ("my-detr", "mine")
    assert found["reads"] == "labels boxes scores, 64x64, mean (0.0, 0.0, 0.0), std (1.0, 1.0, 1.0)"
    assert answer["videos"][0]["objects"]["boxes"] > 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--detector", "dfine-z"], "detector: there is no 'dfine-z'. Did you mean 'dfine-", id="unknown"),
        pytest.param(["--detector", "dfine-s"], "`reelsift weights fetch dfine-s` (41.5 MB from", id="dfine"),
        pytest.param(["--detector", "maskrcnn"], "`reelsift weights fetch maskrcnn` (186 MB from", id="torchvision"),
        pytest.param(["--detector", "yolox-s"], "`reelsift weights fetch yolox-s` (35.9 MB from", id="yolox"),
    ],
)
def test_what_is_not_here_is_refused_with_what_to_do(
    arguments: list[str], message: str, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    picture = write_picture(home / "p.png", ("apple", 4, 4)).path
    run = run_here("detect", picture, *arguments, home=home, monkeypatch=monkeypatch, capfd=capfd)
    assert run.returncode == 1
    assert message in " ".join(run.stderr.split())


def test_a_pipeline_refuses_an_unknown_detector_before_any_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_here(
        "pipeline",
        "--label",
        "Cooking",
        "--detector",
        "yolo",
        "--video",
        "a.mp4",
        home=home,
        monkeypatch=monkeypatch,
        capfd=capfd,
    )
    assert run.returncode == 1
    assert "detector: there is no 'yolo'" in run.stderr
    assert "[detectors.NAME]" in " ".join(run.stderr.split())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param("[detectors.dfine-s]", "dfine-s is a detector that reelsift ships with", id="taken"),
        pytest.param("[detectors.my_net]", "'my_net': must be small letters, digits and hyphens", id="name"),
        pytest.param("[detectors.a]\nstd = [1, 1, 1]\nmean = [nan, 0, 0]", "mean.0 .* a finite number", id="nan"),
        pytest.param("[feature_spaces.a]\nscale = inf", "scale .* a finite number", id="infinite"),
    ],
)
def test_a_table_of_ones_own_that_cannot_be_is_refused(
    table: str, message: str, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / "taken.toml").write_text(f'{table}\nweights = "mine"\n')
    run = run_here("--config", home / "taken.toml", "config", "show", home=home, monkeypatch=monkeypatch, capfd=capfd)
    assert run.returncode == 1
    assert re.search(message, " ".join(run.stderr.split()))


def test_the_doctor_says_what_auto_means_and_whether_ones_own_is_there(home: Path, weights: str) -> None:
    named = {"REELSIFT_WEIGHTS": weights}
    run = reelsift("--config", "mine.toml", "doctor", "--json", home=home, **named)
    found = {each["name"]: each for each in json.loads(run.stdout)["checks"]}
    assert found["detector auto"]["state"] == "ok"
    assert "yolox-nano: of those" in found["detector auto"]["found"]
    assert found["detector my-detr"] == {
        "name": "detector my-detr", "state": "ok", "found": f"{weights}/mine.onnx", "advice": None,
    }  # fmt: skip
    Path(weights, "mine.onnx").unlink()
    found = json.loads(reelsift("--config", "mine.toml", "doctor", "--json", home=home, **named).stdout)["checks"]
    (own,) = (each for each in found if each["name"] == "detector my-detr")
    assert (own["state"], own["found"]) == ("missing", "not available: mine is not here")
    assert "by hand, as mine.onnx" in own["advice"]
