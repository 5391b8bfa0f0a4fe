"""The package as a notebook uses it: the command line's answers, no server, and nothing outside the home."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import reelsift
from reelsift.results import VideoAnswers
from tasks.contracts.errors import ConfigError, OutputError, SourceError, VideosFailedError
from tasks.contracts.media import (
    FILMSTRIP_NAME,
    LABELS_NAME,
    LABELS_TABLE_NAME,
    OBJECTS_TABLE_NAME,
    POSTER_NAME,
    VideoOutcome,
)
from tasks.video import frames
from tests.reelsift.test_cli import reelsift as command
from tests.support.built import build
from tests.support.media import write_video
from tests.support.scripts import run_script
from tests.support.square_network import square_network
from tests.support.square_videos import write_clip

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
# What a type checker has to find out about the README's example.
TYPES = {
    "video": "LabelledVideo",
    "video.top": "tuple[LabelScore, ...]",
    "reelsift.label(['x.mp4'])": "VideoAnswers[LabelledVideo]",
    "video.to_pandas()": "DataFrame",
    "objects.tracks": "tuple[ObjectTrack, ...]",
    "reelsift.shots('x.mp4').shots[0].end_s": "float",
    "reelsift.shots(['x.mp4'])[0]": "VideoShots",
    "reelsift.clip('x.mp4', 'cup', gif=True).clips": "tuple[Clip, ...]",
    "data.to_pandas()": "DataFrame",
    "training.comparison": "Comparison",
    "training.promote().promoted": "bool",
    "reelsift.find('cup')[0].start_s": "float",
    "reelsift.ReelsiftError": "type[ReelsiftError]",
}
# What a notebook does with datasets and models. It runs in a process of its own, with an empty folder for $HOME.
NOTEBOOK = """
import json, sys
import numpy as np
import reelsift

small = reelsift.build_dataset("Cooking", mirror=sys.argv[1], limit=1)
data = reelsift.build_dataset("Cooking", mirror=sys.argv[1])
first = reelsift.train(data, models="logistic", seed=7)
training = reelsift.train(data.reference, models=["logistic"], seed=7)
promotion = training.promote()
frame = data.to_pandas("validate", features=True)
features = np.hstack([np.stack(frame.mean_rgb), np.stack(frame.mean_audio)])
model = reelsift.load_model("cooking@champion")
video = reelsift.label(sys.argv[2], annotate=False)
json.dump(
    {
        "small": small.reference,
        "data": data.reference,
        "rows": data.to_pandas().astype({"labels": "object"}).to_dict("list") | {"labels": None},
        "label_ids": [int(label) for labels in data.to_pandas().labels for label in labels],
        "diff": small.diff(data).model_dump(mode="json"),
        "diff_by_name": small.diff(data.id).model_dump(mode="json"),
        "candidates": [[each.reference for each in trained.candidates] for trained in (first, training)],
        "comparison": training.comparison.model_dump(mode="json"),
        "compared": list(training.to_pandas().model),
        "promoted": promotion.promoted,
        "page": training._repr_html_() + data._repr_html_(),
        "known": list(model.label_ids),
        "scores": model.predict(features).tolist(),
        "features": [len(features), float(features.sum())],
        "top": [each.name for each in video.top],
        "servers": sorted({"prefect", "uvicorn"} & set(sys.modules)),
    },
    sys.stdout,
)
"""


@dataclass
class Notebook:
    """What the notebook printed, and where it ran."""

    said: dict[str, Any]
    home: Path
    user: Path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "shades.mp4")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with an apple that moves to the right and a cup that stays, and the network that finds both."""
    folder = tmp_path_factory.mktemp("squares")
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    write_clip(folder / "squares.mp4", [[("apple", 4 + 8 * place, 4), ("cup", 60, 84)] for place in range(6)])
    return folder / "squares.mp4"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("REELSIFT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REELSIFT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def notebook(
    tmp_path_factory: pytest.TempPathFactory, synthetic_mirror: Path, clip: Path, migrated_database: Path
) -> Notebook:
    folder = tmp_path_factory.mktemp("notebook")
    user = folder / "user"
    (folder / "home" / "mlflow").mkdir(parents=True)
    shutil.copy(migrated_database, folder / "home" / "mlflow")
    run = run_script(NOTEBOOK, folder / "home", user, synthetic_mirror, clip)
    return Notebook(json.loads(run.stdout), folder / "home", user)


def test_importing_the_package_imports_nothing_but_the_standard_library() -> None:
    code = "import sys; before = set(sys.modules); import reelsift; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in run.stdout.split()} - sys.stdlib_module_names == {"reelsift"}


@pytest.mark.parametrize("name", reelsift.__all__)
def test_each_name_that_the_package_offers_is_there_with_a_docstring_and_types(name: str) -> None:
    offered = getattr(reelsift, name)
    assert inspect.getdoc(offered)
    assert name in dir(reelsift)
    if inspect.isfunction(offered):
        signature = inspect.signature(offered)
        assert signature.return_annotation is not signature.empty
        assert all(each.annotation is not signature.empty for each in signature.parameters.values())


def test_a_name_that_the_package_does_not_offer_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="lable"):
        reelsift.lable  # noqa: B018


def test_a_type_checker_understands_the_example_of_the_readme(tmp_path: Path) -> None:
    _, _, section = README.partition("## From Python\n")
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    features = "import numpy as np\nfeatures = seconds = np.zeros((1, 1152), np.float32)\n"
    revealed = "".join(f"reveal_type({expression})\n" for expression in TYPES)
    wrong = 'reelsift.label("x.mp4", modle="imagenet")\n'
    (tmp_path / "script.py").write_text(features + found[1] + revealed + wrong)
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "script.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = json.loads(run.stdout)["generalDiagnostics"]
    types = [each["message"].rpartition(" is ")[2] for each in told if each["severity"] == "information"]
    assert types == [f'"{name}"' for name in TYPES.values()]
    (error,) = [each for each in told if each["severity"] == "error"]
    assert error["rule"] == "reportCallIssue"


def test_a_labelled_video_holds_what_the_command_finds_again(clip: Path, home: Path) -> None:
    video = reelsift.label(clip, rate_hz=5, annotate=False)
    told = json.loads(command("label", clip, "--fps", 5, "--no-annotate", "--json", home=home).stdout)["videos"][0]
    assert told["status"] == "cached"
    assert told["labels"]["identity"] == video.identity
    assert told["labels"]["segments"] == [each.model_dump(mode="json") for each in video.segments]
    assert [each["name"] for each in told["labels"]["top"]] == [each.name for each in video.top]
    rows = pq.read_table(Path(told["folder"]) / LABELS_TABLE_NAME).to_pylist()
    assert video.to_pandas().to_dict("records") == rows
    assert sorted(set(video.to_pandas().time_s)) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert video.report.is_file()
    assert "shades" in repr(video)


def test_detected_objects_are_what_the_command_finds_again(
    squares: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELSIFT_WEIGHTS", str(squares.parent))
    video = reelsift.detect(str(squares), every=2, detector="yolox-nano", annotate=False)
    typed = ("detect", squares, "--every", 2, "--detector", "yolox-nano", "--no-annotate", "--json")
    told = json.loads(command(*typed, home=home, REELSIFT_WEIGHTS=str(squares.parent)).stdout)["videos"][0]
    assert (told["status"], told["objects"]["identity"]) == ("cached", video.identity)
    assert Counter(track.class_name for track in video.tracks) == {"apple": 1, "cup": 1} == video.counts
    frame = video.to_pandas()
    rows = pq.read_table(Path(told["folder"]) / OBJECTS_TABLE_NAME).to_pylist()
    assert frame.astype({"mask": object}).where(frame.notna(), None).to_dict("records") == rows
    assert sorted(set(frame.frame[~frame.carried])) == [0, 2, 4]
    (hit,) = found = reelsift.find("Apple", kind="object", since="1h")
    (apple,) = (track for track in video.tracks if track.class_name == "apple")
    assert (hit.name, hit.track, hit.start_s, hit.end_s) == ("apple", apple.track_id, apple.start_s, apple.end_s)
    assert (hit.score, hit.link) == (apple.score, f"{video.report.as_uri()}#t=0")
    assert hit.thumbnail == str(video.folder / str(apple.thumbnail))
    assert Path(str(hit.thumbnail)).is_file()
    assert found.to_pandas().loc[0, "video"] == video.folder.name
    only = reelsift.detect(squares, classes="cup", detector="yolox-nano", annotate=False)
    assert set(only.to_pandas().class_name) == {"cup"}
    assert (len(reelsift.find("apple")), len(reelsift.find("cup"))) == (0, 1)


def test_a_video_is_decoded_once_for_its_answer_and_its_filmstrip(
    squares: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, times = frames.decoded, list[Path]()
    monkeypatch.setenv("REELSIFT_WEIGHTS", str(squares.parent))
    monkeypatch.setattr(frames, "decoded", lambda path, *rest: times.append(path) or decoded(path, *rest))
    labelled = reelsift.label(squares, model="imagenet", annotate=False)
    detected = reelsift.detect(squares, detector="yolox-nano", annotate=False)
    assert times == [squares, squares]  # once for each
    for video in (labelled, detected):
        assert {FILMSTRIP_NAME, POSTER_NAME} <= {each.name for each in video.folder.iterdir()}


def test_a_list_and_a_folder_give_an_answer_for_each_video_and_the_failures(clip: Path, home: Path) -> None:
    folder = home.parent / "clips"
    folder.mkdir()
    (folder / "b.mp4").write_bytes(clip.read_bytes())
    (folder / "a.mp4").write_text("no video at all")
    (folder / "notes.txt").write_text("no video either, and not looked at")
    for source in ([folder / "a.mp4", str(folder / "b.mp4")], folder, str(folder)):
        found: Any = reelsift.label(source, annotate=False)
        assert isinstance(found, VideoAnswers)
        assert [answer.title for answer in found] == ["b"]
        assert [failure.source for failure in found.failures] == [str(folder / "a.mp4")]
    assert list(found[:1]) == [found[0]]
    assert set(found.to_pandas().source) == {str(folder / "b.mp4")}
    assert "plain text" in found._repr_html_()
    hostile = VideoOutcome.model_construct(source="\u202e<img>\x1b[31m|", status="failed", reason="\u2066no\u200b")
    page = VideoAnswers([], [hostile])._repr_html_()
    assert "<td>&lt;img&gt;|</td><td>failed: &lt;img&gt;|: no</td>" in page
    assert isinstance(reelsift.label([clip], annotate=False), VideoAnswers)
    listed = home.parent / "list.txt"
    listed.write_text(f"# mine\n{clip}\n")
    assert [answer.title for answer in VideoAnswers(reelsift.label([f"@{listed}"], annotate=False))] == ["shades"]


def test_errors_are_those_of_the_project_and_say_what_was_wrong(clip: Path, home: Path) -> None:
    bad = home.parent / "bad.mp4"
    bad.write_text("no video at all")
    with pytest.raises(VideosFailedError, match=r"bad\.mp4.*plain text"):
        reelsift.label(bad)
    with pytest.raises(ConfigError, match=r"rate_hz: .*greater than 0, got -1"):
        reelsift.label(clip, rate_hz=-1)
    with pytest.raises(ConfigError, match=r"detector: .*yolox-nano"):
        reelsift.detect(clip, detector="nothing")
    with pytest.raises(ConfigError, match=r"since: must be a date or an age, e\.g\. 2026-11-01 or 7d; got 'soon'"):
        reelsift.find("cup", since="soon")
    with pytest.raises(ConfigError, match=r"min_score: .*less than or equal to 1, got 2"):
        reelsift.find("cup", min_score=2)
    with pytest.raises(ConfigError, match="There is no storage: set REELSIFT_STORAGE"):
        reelsift.find("cup", stored=True)
    with pytest.raises(ConfigError, match="Did you mean 'logistic'"):
        reelsift.train("latest", models="lgoistic")
    empty = home.parent / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="No video or picture in the folder"):
        reelsift.label(empty)
    with pytest.raises(reelsift.ReelsiftError, match=r"cooking@champion"):
        reelsift.load_model("cooking@champion")


def test_an_answer_that_was_replaced_is_not_mistaken_for_the_later_one(clip: Path, home: Path) -> None:
    first = reelsift.label(clip, annotate=False)
    second = reelsift.label(clip, annotate=False, rate_hz=2, out=home.parent / "elsewhere")
    assert len(set(first.to_pandas().time_s)) == 1
    assert len(set(second.to_pandas().time_s)) == 2
    reelsift.label(clip, annotate=False, rate_hz=2)
    with pytest.raises(OutputError, match="not of this answer any more"):
        first.to_pandas()
    with pytest.raises(OutputError, match="not of this answer any more"):
        first._repr_html_()


def test_the_report_within_a_notebook_needs_no_file_beside_it(clip: Path, home: Path) -> None:
    video = reelsift.label(clip)
    frame = video._repr_html_()
    assert frame.startswith("<iframe ")
    page = unescape(frame.partition('srcdoc="')[2].partition('"')[0])
    assert page.startswith(("<!doctype html>", "<!DOCTYPE html>"))
    assert 'src="data:video/mp4;base64,' in page
    assert 'src="labelled.mp4"' not in page
    assert page.count('="data:video/mp4;base64,') == 2  # the video itself, and the copy to switch to
    assert (video.folder / LABELS_NAME).is_file()


def test_a_dataset_is_the_one_that_the_stages_publish(
    notebook: Notebook, synthetic_mirror: Path, tmp_path: Path
) -> None:
    made = build(synthetic_mirror, tmp_path / "datasets", "Cooking")
    assert notebook.said["data"] == made.manifest.reference
    folder = notebook.home / "datasets" / made.manifest.reference
    assert [path.read_bytes() for path in made.paths()] == [(folder / path.name).read_bytes() for path in made.paths()]
    table = [row for path in made.paths() for row in pq.read_table(path, columns=["video_id", "labels"]).to_pylist()]
    assert notebook.said["rows"]["video_id"] == [row["video_id"] for row in table]
    assert notebook.said["label_ids"] == [label for row in table for label in row["labels"]]
    assert Counter(notebook.said["rows"]["split"]) == {
        split: sum(part.rows for part in made.parts(split)) for split in made.manifest.splits
    }
    shown = json.loads(
        command("dataset", "diff", notebook.said["small"], made.manifest.id, "--json", home=notebook.home).stdout
    )
    assert shown == notebook.said["diff"] == notebook.said["diff_by_name"]


def test_candidates_are_trained_once_compared_and_promoted_as_by_commands(notebook: Notebook) -> None:
    said = notebook.said
    assert said["candidates"] == [["cooking/1"], ["cooking/1"]]
    listed = json.loads(command("models", "list", "--json", home=notebook.home).stdout)["models"]
    assert [(row["name"], row["version"], row["aliases"]) for row in listed] == [("cooking", 1, ["champion"])]
    assert said["promoted"]
    assert said["compared"] == ["cooking/1"]
    assert said["comparison"]["rows"][0]["gap"] == pytest.approx(listed[0]["gap"], abs=1e-6)
    assert "cooking/1" in said["page"]


def test_a_loaded_model_predicts_probabilities_of_its_labels(notebook: Notebook) -> None:
    scores = np.array(notebook.said["scores"])
    rows = Counter(notebook.said["rows"]["split"])["validate"]
    assert scores.shape == (rows, len(notebook.said["known"])) == (notebook.said["features"][0], scores.shape[1])
    assert ((scores >= 0) & (scores <= 1)).all()
    matches = np.array(notebook.said["rows"]["is_match"])[np.array(notebook.said["rows"]["split"]) == "validate"]
    cooking = scores[:, notebook.said["known"].index(22)]
    assert cooking[matches].mean() > cooking[~matches].mean()


def test_no_server_starts_and_nothing_is_written_outside_the_home(notebook: Notebook) -> None:
    assert notebook.said["servers"] == []
    assert list(notebook.user.rglob("*")) == []
    assert sorted(path.name for path in notebook.home.parent.iterdir()) == ["home", "user"]
    assert not (notebook.home / "prefect").exists()
