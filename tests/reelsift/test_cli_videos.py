"""`reelsift label`, `detect`, `report`, `id` and `weights` as a person meets them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from reelsift.demo import made_clip
from tasks.contracts.media import LABELS_NAME
from tests.reelsift.test_cli import reelsift
from tests.support.in_process import run_here


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def weights(real_data: Path) -> str:
    folder = real_data / "weights"
    if not (folder / "yolox_nano.onnx").is_file():
        pytest.skip("no yolox_nano.onnx among the real data")
    return str(folder)


def test_a_video_is_labelled_without_a_server_and_found_again(clip: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("raise SystemExit(9)")  # half a second to import, and needed for nothing
    run = reelsift("label", clip, home=home, PYTHONPATH=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert "espresso" in run.stdout
    assert "Report: " in run.stdout
    page = Path(run.stdout.rpartition("Report: ")[2].strip())
    assert page.is_file()
    assert (page.parent / "labelled.mp4").is_file()
    assert not (home / "prefect").exists()
    again = json.loads(reelsift("label", clip, "--json", home=home).stdout)
    assert [video["status"] for video in again["videos"]] == ["cached"]
    assert again["videos"][0]["labels"]["segments"][0]["name"] == "espresso"


SHOWN_S = {"espresso": (0.0, 2.0), "hotdog": (2.0, 4.0), "banana": (6.0, 8.0), "water bottle": (14.7, 18.8)}
WITHIN_S = 0.5  # a sampled frame, at two a second


def corners(path: Path) -> list[tuple[float, np.ndarray]]:
    """Return the time and the upper left corner of each frame of a video."""
    with av.open(str(path)) as container:
        return [(frame.time or 0.0, frame.to_ndarray(format="gray")[:50, :150]) for frame in container.decode(video=0)]


def test_labels_begin_and_end_with_the_picture_that_they_name(real_data: Path, home: Path) -> None:
    """The apple (4 to 6 s) is none that the model knows, and neither is the belt (8 to 14.7 s) on which things pass."""
    film = real_data / "media" / "videos" / "food_mix_with_audio.mp4"
    run = reelsift("label", film, "--model", "imagenet", "--fps", 2, "--json", home=home)
    assert run.returncode == 0, run.stderr
    (made,) = json.loads(run.stdout)["videos"]
    found = {each["name"]: (each["start_s"], each["end_s"]) for each in made["labels"]["segments"]}
    folder = Path(made["folder"])
    assert found == {name: pytest.approx(span_s, abs=WITHIN_S) for name, span_s in SHOWN_S.items()}
    assert (made["labels"]["smoothing"], made["labels"]["options"]["centred"]) == ("centred mean", True)
    assert "a centred mean" in (folder / "index.html").read_text(encoding="utf-8")
    frames = list(zip(corners(film), corners(folder / "labelled.mp4"), strict=True))
    assert len(frames) == 282
    for (time_s, plain), (_, drawn) in frames:
        is_held = any(start_s <= time_s + 1e-6 and time_s < end_s for start_s, end_s in found.values())
        assert (np.abs(drawn.astype(int) - plain).mean() > 10) == is_held, time_s


def test_one_broken_source_of_many_fails_alone_and_exits_with_1(clip: Path, home: Path) -> None:
    bad = home.parent / "bad.mp4"
    bad.write_text("no video at all")
    run = reelsift("label", bad, clip, "--no-annotate", "--json", home=home)
    assert run.returncode == 1
    assert [video["status"] for video in json.loads(run.stdout)["videos"]] == ["failed", "done"]
    assert run.stderr.count("error:") == 1
    assert "bad.mp4" in run.stderr
    assert "Traceback" not in run.stderr


def test_objects_are_printed_as_names_and_counts(home: Path, real_data: Path, weights: str) -> None:
    picture = real_data / "media" / "images" / "coffee.png"
    run = reelsift("detect", picture, home=home, REELSIFT_WEIGHTS=weights)
    assert "coffee: ['cup', 'dining table']" in run.stdout
    assert "In all: 1 cup, 1 dining table" in run.stdout
    assert "yolox-nano, on cpu" in run.stderr
    answer = json.loads(reelsift("detect", picture, "--json", home=home, REELSIFT_WEIGHTS=weights).stdout)
    assert answer["videos"][0]["objects"]["counts"] == {"cup": 1, "dining table": 1}


def test_several_results_have_an_index_with_posters_and_each_links_to_its_original(
    home: Path, real_data: Path, weights: str
) -> None:
    pictures = [real_data / "media" / "images" / name for name in ("coffee.png", "fruits.jpg")]
    run = reelsift("detect", *pictures, "--no-annotate", home=home, REELSIFT_WEIGHTS=weights)
    index = home / "videos" / "index.html"
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, f"All reports: {index}")
    folders = sorted(path for path in index.parent.iterdir() if path.is_dir())
    assert [folder.name[:6] for folder in folders] == ["coffee", "fruits"]
    page = index.read_text(encoding="utf-8")
    assert all(f'src="{folder.name}/poster.webp"' in page for folder in folders)
    assert "1 cup; 1 dining table." in page
    assert (folders[0] / "original.png").samefile(pictures[0])
    assert not (folders[0] / "original.png").readlink().is_absolute()


def test_the_report_is_written_anew(clip: Path, home: Path) -> None:
    made = json.loads(reelsift("label", clip, "--no-annotate", "--json", home=home).stdout)
    folder = Path(made["videos"][0]["folder"])
    (folder / "index.html").unlink()
    assert reelsift("report", folder, home=home).stdout.strip() == str(folder / "index.html")
    index = Path(reelsift("report", folder.parent, home=home).stdout.strip())
    assert folder.name in index.read_text(encoding="utf-8")
    other = shutil.copytree(folder, home / "other" / folder.name, symlinks=True)
    compared = reelsift("report", folder, "--beside", other, home=home)
    assert compared.stdout.strip() == str(folder / "beside.html"), compared.stderr
    assert "imagenet (other)" in (folder / "beside.html").read_text(encoding="utf-8")
    refused = reelsift("report", folder, "--beside", home, home=home)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "holds neither labels.json nor objects.json" in refused.stderr


def test_ids_are_told_or_said_to_be_withdrawn(home: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    for folder in (mirror / "2" / "j" / "i" / "ZU", mirror / "2" / "download_plans"):
        folder.mkdir(parents=True)
    (mirror / "2" / "j" / "i" / "ZU" / "ZU9H.js").write_text('i("ZU9H","abcdefghij_");')
    found = reelsift("id", "ZU9H", "--mirror", mirror, home=home)
    assert found.stdout == "abcdefghij_  https://www.youtube.com/watch?v=abcdefghij_\n"
    gone = reelsift("id", "ZZZZ", "--mirror", mirror, home=home)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "ZZZZ has been withdrawn" in gone.stderr


def test_weights_are_listed_with_what_they_are_for(home: Path) -> None:
    listed = json.loads(reelsift("weights", "list", "--json", home=home).stdout)["weights"]
    states = {each["name"]: each["state"] for each in listed}
    assert states["yolox-nano"] == "missing"
    assert {"pointrend-resnet50", "inception-2015", "vggish"} <= states.keys()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(["label", "nowhere.mp4"], "there is no such file, and it is no id", id="no-file"),
        pytest.param(["label", "file:///etc/passwd"], "only http and https", id="scheme"),
        pytest.param(["label", "http://127.0.0.1:1/a.mp4"], "not on the public internet", id="private"),
        pytest.param(["label", "x.mp4", "--model", "nobody/3"], "reelsift train", id="model"),
        pytest.param(["detect", "x.png"], "reelsift weights fetch yolox-nano", id="weights"),
        pytest.param(["detect", "x.png", "--detector", "yolo"], "detector: there is no 'yolo'", id="detector"),
        pytest.param(["detect", "x.png", "--classes", "botle"], "bottle", id="class"),
        pytest.param(["weights", "fetch", "yolo"], "reelsift weights list", id="weights-name"),
        pytest.param(["report", "."], "No folder of a video", id="report"),
        pytest.param(["id", "ZU9HH"], "four letters or digits", id="id"),
    ],
)
def test_what_is_wrong_is_one_line(
    command: list[str], message: str, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_here(*command, home=home, monkeypatch=monkeypatch, capfd=capfd)
    assert run.returncode in {1, 2}
    assert run.stdout == ""
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_the_first_sign_of_life_comes_at_once(clip: Path, home: Path) -> None:
    """Not a timed test of speed: a minute is what a person would take for dead on the busiest machine."""
    started_s = time.monotonic()
    command = [str(Path(sys.executable).parent / "reelsift"), "label", str(clip), "--no-annotate"]
    environment = os.environ | {"REELSIFT_HOME": str(home)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        assert "Labelling 1 with imagenet" in process.stderr.readline()
        assert time.monotonic() - started_s < 60
        process.stderr.read()
    assert process.returncode == 0
    assert list(home.rglob(LABELS_NAME))
