"""Labelling and detecting as flows: cached, repaired, and each video failing alone. Real models on a real server."""

import json
import shutil
from pathlib import Path

import pytest
from prefect.client.schemas.objects import StateType

from conf.forms import DetectObjectsForm, LabelVideosForm
from conf.home import Home
from flows.detect_objects import detect_objects
from flows.label_videos import label_videos
from reelsift.demo import made_clip
from tasks.contracts.errors import ConfigError, MissingWeightsError, UnknownModelError
from tasks.contracts.media import LABELS_NAME, OBJECTS_NAME, LabelsManifest, ObjectsManifest
from tests.support.flow_runs import run_flow


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds: coffee, then a motorcycle."""
    return made_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def yolox(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights of YOLOX-nano, where this machine has them."""
    folder = real_data / "weights"
    if not (folder / "yolox_nano.onnx").is_file():
        pytest.skip("no yolox_nano.onnx among the real data")
    monkeypatch.setenv("REELSIFT_WEIGHTS", str(folder))
    return folder


def broken(folder: Path) -> Path:
    path = folder / "broken.mp4"
    path.write_text("This is no video.")
    return path


def test_labels_are_made_once_and_a_broken_video_fails_alone(clip: Path, home: Home, tmp_path: Path) -> None:
    bad = broken(tmp_path)
    form = LabelVideosForm(sources=(str(clip), str(bad), "file:///etc/passwd"), annotate=False)
    run = run_flow(label_videos, form)
    first = run.result
    assert run.name == f"label 3 videos: {clip.name}, broken.mp4, file:///etc/passwd"
    assert (run.state.type, run.state.name) == (StateType.COMPLETED, "Partly failed")
    said = "1 of 3 done, 2 failed: "
    assert str(run.state.message).startswith(f"{said}{bad}")
    assert str(run.headlines()[run.name]).startswith(said)  # of its one batch
    assert f"fetch 3 videos: {clip.name}, broken.mp4, file:///etc/passwd" in run.headlines()
    assert [row["status"] for row in first["videos"]] == ["done", "failed", "failed"]
    assert "broken.mp4" in first["videos"][1]["reason"]
    folder = Path(first["videos"][0]["folder"])
    assert folder.parent == home.videos
    manifest = LabelsManifest.model_validate_json((folder / LABELS_NAME).read_bytes())
    assert manifest.segments[0].name == "espresso"
    assert (folder / "index.html").is_file()
    second = run_flow(label_videos, form)
    assert [row["status"] for row in second.result["videos"]] == ["cached", "failed", "failed"]


def test_a_second_run_over_good_videos_finds_its_task_cached(clip: Path, home: Home) -> None:
    form = LabelVideosForm(sources=(str(clip),), annotate=False)
    first = run_flow(label_videos, form)
    assert first.states_of("label") == {"Completed": 1}
    assert (first.name, first.state.message) == (f"label {clip.name}", "1 of 1 done")
    again = run_flow(label_videos, form)
    assert again.states_of("label") == {"Cached": 1}
    shutil.rmtree(home.videos)
    repaired = run_flow(label_videos, form)
    assert repaired.states_of("label") == {"Completed": 1}
    assert [row["status"] for row in repaired.result["videos"]] == ["done"]
    other = run_flow(label_videos, form.model_copy(update={"window": 1}))
    assert other.states_of("label") == {"Completed": 1}


def test_batches_keep_the_order_of_their_sources(clip: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_FLOW__VIDEOS_PER_BATCH", "1")
    sources = []
    for name in ("c", "a", "b"):
        sources.append(str(home.root.parent / f"{name}.mp4"))
        shutil.copy(clip, sources[-1])
        with Path(sources[-1]).open("ab") as file:
            file.write(b"\0" * (8 + len(sources)))  # another content, the same pictures
    run = run_flow(label_videos, LabelVideosForm(sources=tuple(sources), annotate=False))
    assert [row["source"] for row in run.result["videos"]] == sources
    assert run.states_of("label") == {"Completed": 3}
    assert "3 videos</p>" in (home.videos / "index.html").read_text(encoding="utf-8")


def test_a_form_that_is_refused_says_so_in_one_line(home: Home) -> None:
    wanted = {"sources": ["a.mp4"], "start": "5", "end": "3", "window": 0}
    with pytest.raises(ConfigError) as refused:
        run_flow(label_videos, wanted)
    window, end = "window: Input should be greater than or equal to 1", "end: a range must end after its start"
    assert str(refused.value) == f"{end}, which is 5 s; {window}"


def test_a_model_that_is_not_there_fails_before_any_video(clip: Path, home: Home) -> None:
    with pytest.raises(UnknownModelError, match="nobody"):
        run_flow(label_videos, LabelVideosForm(sources=(str(clip),), model="nobody/1"))
    assert not home.videos.exists()


def test_objects_are_found_once_and_traceable(clip: Path, home: Home, yolox: Path) -> None:
    form = DetectObjectsForm(sources=(str(clip),), detector="yolox-nano", rate_hz=1)
    first = run_flow(detect_objects, form)
    row = first.result["videos"][0]
    assert row["status"] == "done"
    manifest = ObjectsManifest.model_validate_json((Path(row["folder"]) / OBJECTS_NAME).read_bytes())
    assert "cup" in manifest.counts
    assert manifest.detector.weights.file_name == "yolox_nano.onnx"
    again = run_flow(detect_objects, form)
    assert again.states_of("detect") == {"Cached": 1}


def test_a_detector_without_weights_says_where_to_get_them(clip: Path, home: Home) -> None:
    with pytest.raises(MissingWeightsError, match="reelsift weights fetch"):
        run_flow(detect_objects, DetectObjectsForm(sources=(str(clip),), detector="yolox-nano"))


def test_labels_and_objects_of_a_video_share_a_folder_and_a_report(clip: Path, home: Home, yolox: Path) -> None:
    labels = run_flow(label_videos, LabelVideosForm(sources=(str(clip),))).result["videos"][0]
    objects = run_flow(detect_objects, DetectObjectsForm(sources=(str(clip),), rate_hz=2)).result["videos"][0]
    assert labels["folder"] == objects["folder"]
    page = Path(objects["report"]).read_text(encoding="utf-8")
    assert "espresso" in page
    assert "cup" in page


def test_the_answer_is_json(clip: Path, home: Home) -> None:
    made = run_flow(label_videos, LabelVideosForm(sources=(str(clip),), annotate=False)).result
    assert json.loads(json.dumps(made)) == made
