"""Every option of the commands that run a flow, typed at the installed command, beside a real Prefect server."""

import csv
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowFilter,
    FlowFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL

from reelsift.demo_clips import show_clips
from tasks.contracts.files import file_digest
from tasks.contracts.media import LABELS_NAME, LabelsManifest
from tests.imports.made import write_classes
from tests.reelsift.test_cli import reelsift
from tests.support.media import spoil_packets, write_video
from tests.support.square_network import square_network
from tests.support.square_videos import squares, write_clip

pytestmark = pytest.mark.usefixtures("prefect_server")

ROOT = Path(__file__).parents[2]
QUICK = """
[presets.quick]
model = "logistic"
epochs = 1
[train]
models = ["quick"]
[filter]
background = 1
"""
MATCHING = {"Cooking", "Game"}


@pytest.fixture(scope="module")
def home(with_tables: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for all of these tests: what one makes is there for the next; beside it a clip and settings."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "quick.toml").write_text(QUICK)
    (folder / "weights").mkdir()
    (folder / "weights" / "yolox_nano.onnx").write_bytes(square_network())
    write_clip(folder / "apple.mp4", [[("apple", 4, 4)]] * 5)
    return with_tables(folder / "home")


def answer(*arguments: object, home: Path) -> dict[str, Any]:
    """Run a command that must succeed, and read the one JSON object that it prints."""
    run = typed(*arguments, "--json", home=home)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def typed(*arguments: object, home: Path) -> Any:
    api = str(PREFECT_API_URL.value())
    weights = str(home.parent / "weights")
    return reelsift("--config", "quick.toml", *arguments, home=home, PREFECT_API_URL=api, REELSIFT_WEIGHTS=weights)


def test_a_dataset_obeys_its_options(home: Path, synthetic_mirror: Path, tmp_path: Path) -> None:
    built = answer(
        "dataset", "build", "-l", "Cooking", "--label", "Food", "--match", "all", "--exclude", "Recipe",
        "--partition", "video/train", "--mirror", synthetic_mirror, "--limit", 2, "--shards", "1,1",
        "--background", "2", "--strict", "--discard-shards", "--runner", "local", "--yes", home=home,
    )  # fmt: skip
    manifest = answer("dataset", "show", built["id"], "--plot", tmp_path / "plots", home=home)
    names = {label["index"]: label["name"] for label in manifest["label_counts"]}
    assert {"Cooking", "Food"} <= set(names.values())
    assert "Recipe" not in names.values()
    assert list(manifest["splits"].values()) == ["video/train"]
    assert len(manifest["shards"]) == 2
    assert manifest["rows"] == 3 * manifest["matches"]
    assert not list((home / "shards").rglob("*.tfrecord"))  # each was deleted once its rows were kept
    assert sorted(path.suffix for path in (tmp_path / "plots").iterdir()) == [".png", ".png"]
    (listed,) = answer("dataset", "list", home=home)["datasets"]
    assert (listed["id"], listed["is_latest"]) == (built["id"], True)

    rows = tmp_path / "rows.txt"
    rows.write_text("mine")
    refused = reelsift("dataset", "export", rows, "--format", "csv", home=home)
    assert (refused.returncode, rows.read_text()) == (1, "mine")
    assert "`--force` overwrites it" in refused.stderr
    assert answer("dataset", "export", rows, "--format", "csv", "--force", home=home)["rows"] == built["rows"]
    with rows.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == built["rows"]
    assert sum(row["is_match"] == "true" for row in found) == built["matches"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["dataset", "build", "-y", "--runner", "dask", "--address", "tcp://127.0.0.1:9"], id="build"),
        pytest.param(["pipeline", "--yes", "--runner", "dask", "--address", "tcp://127.0.0.1:9"], id="pipeline"),
    ],
)
def test_a_cluster_that_does_not_answer_is_told(command: list[str], home: Path, synthetic_mirror: Path) -> None:
    run = typed(*command, "--label", "Cooking", "--mirror", synthetic_mirror, "--limit", 1, home=home)
    assert run.returncode == 1
    assert "tcp://127.0.0.1:9" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_whole_path_obeys_its_options(home: Path, synthetic_mirror: Path) -> None:
    made = answer(
        "pipeline", "-l", "Cooking", "--label", "Game", "--match", "any", "--exclude", "Concert",
        "--partition", "video/train", "--partition", "video/validate", "--mirror", synthetic_mirror, "--limit", 2,
        "--shards", "1,1", "--background", "1", "--strict", "--discard-shards", "--runner", "local",
        "--model", "quick", "--seed", 3, "--again",
        "--video", "apple.mp4", "--video-model", "imagenet", "--detector", "yolox-nano", "-y", home=home,
    )  # fmt: skip
    assert made["promotion"]["promoted"]
    assert 0 < made["dataset"]["rows"] - made["dataset"]["matches"] <= made["dataset"]["matches"]
    assert made["labels"]["model"] == "imagenet"
    assert [video["answer"][:7] for video in made["objects"]["videos"]] == ["1 apple"]
    slug = made["dataset"]["slug"]

    unopened = reelsift("models", "compare", f"{slug}/1", "--dataset", slug, "--open", home=home)
    assert unopened.returncode == 1  # nothing serves MLflow's pages here
    assert f"{slug}/1" in unopened.stdout
    assert "reelsift up" in unopened.stderr


def test_videos_through_a_flow(home: Path) -> None:
    found = answer("detect", "apple.mp4", "--detector", "yolox-nano", "--flow", "--out", "found", home=home)
    assert found["videos"][0]["objects"]["counts"] == {"apple": 1}
    assert Path(found["videos"][0]["folder"]).parent == home.parent / "found"
    labelled = answer("label", "apple.mp4", "--flow", "--no-annotate", "--out", "found", home=home)
    assert labelled["videos"][0]["folder"] == found["videos"][0]["folder"]


def test_the_demonstration_shows_the_whole_path(
    home: Path, synthetic_mirror: Path, feature_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shutil.copytree(feature_weights, home.parent / "weights", dirs_exist_ok=True)
    clips = write_classes(home.parent / "clips", each=5)
    run = reelsift(
        "--config", "quick.toml", "demo", "--label", "Game", "-y", "--yes", "--json", home=home,
        PREFECT_API_URL=str(PREFECT_API_URL.value()), REELSIFT_WEIGHTS=str(weights),
        REELSIFT_MIRROR=str(synthetic_mirror), REELSIFT_CLIPS=str(clips),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert made["dataset"]["slug"] == "game"
    assert made["promotion"]["model"] == "game/1"
    assert made["mirror"].startswith(str(synthetic_mirror))
    assert [len(made[what]["videos"]) for what in ("labels", "objects")] == [1, 1]
    assert made["labels"]["models"] == ["imagenet", "game/1"]

    learnt = made["clips"]
    assert (learnt["synthetic"], learnt["labels"]["model"], learnt["dataset"]["rows"]) == (False, "demo-clips/1", 8)
    assert [(each["is"], each["labelled"], each["right"]) for each in learnt["held_back"]] == [
        (label, label, True) for label in ("cool", "warm")
    ]
    for each in learnt["held_back"]:
        report = Path(each["report"])
        manifest = LabelsManifest.model_validate_json((report.parent / LABELS_NAME).read_bytes())
        assert manifest.top[0].name == each["is"]
        assert manifest.video.sha256 == file_digest(Path(each["source"])) not in manifest.model.clips
        page, digests = report.read_text(), [file_digest(path)[:12] for path in clips.glob("*/*.mp4")]
        assert learnt["dataset"]["id"] in page
        assert sum(digest in page for digest in digests) == 8 + 1  # those that it has learnt from, and its own

    show_clips(learnt)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"Report of the video, to open in a browser: {max_score(learnt)['report']}"
    (shown,) = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert set(map(masked, shown.splitlines())) - set(map(masked, printed)) <= {"..."}  # where a table is cut


def masked(line: str) -> str:
    """Return how a line begins, whatever the version, the clips and the figures are."""
    line = re.sub(r"\bv_\w+|\b(cool|warm) \d(?=:)", "CLIP", re.sub("ds-[0-9a-f]{12}", "#", line))
    return " ".join(re.sub(r"\d[\w.:]*", "#", re.sub("BrushingTeeth|cool|warm", "CLASS", line)).split()[:4])


def max_score(learnt: dict[str, Any]) -> dict[str, Any]:
    return max(learnt["held_back"], key=lambda each: each["score"])


def test_a_run_says_everywhere_which_videos_failed_and_what_was_lost(home: Path) -> None:
    damaged = _damaged(home.parent / "damaged.mov")
    (home.parent / "bad.mp4").write_text("no video at all")
    run = typed("detect", "damaged.mov", "bad.mp4", "--detector", "yolox-nano", "--flow", home=home)
    assert run.returncode == 1
    assert "In all: 1 apple" in run.stdout
    assert run.stderr.count("error: ") == 1
    loss = (
        "the file is cut short: the last 0.2 s of 1.0 s are not there; 1 packet could not be decoded, so the answer is "
        "of 7 frames"
    )
    assert f"warning: {damaged.name}: " in run.stderr
    assert loss in run.stderr
    state, artifact, lines = last_run("detect-objects")
    assert (state.type, state.name) == (StateType.COMPLETED, "Partly failed")
    assert str(state.message).startswith("1 of 2 done, 1 failed: ")
    assert "bad.mp4" in str(state.message)
    assert loss in str(state.message)
    rows = json.loads(artifact)
    assert [row["status"] for row in rows] == ["failed", "done"]
    assert loss in rows[1]["missing"]
    for words in ("bad.mp4", loss):
        assert any(words in line for line in lines), lines
    page = Path(rows[1]["report"])
    assert json.loads((page.parent / "objects.json").read_bytes())["video"]["loss"] == loss
    assert f"T{loss[1:]}." in page.read_text(encoding="utf-8")


def _damaged(path: Path) -> Path:
    """Write ten frames of an apple, with the index in front; spoil the third, and leave out the last two."""
    images = [squares(("apple", 4, 4))] * 10
    write_video(path, images, codec="mjpeg", pix_fmt="yuvj420p", options={"movflags": "+faststart"})
    with av.open(str(path)) as file:
        end = [packet.pos for packet in file.demux(video=0) if packet.size][8]
    spoil_packets(path, [2])
    assert end is not None
    path.write_bytes(path.read_bytes()[:end])
    return path


@pytest.mark.parametrize("command", [["detect", "--detector", "yolox-nano"], ["label", "--no-annotate"]])
def test_a_run_of_which_nothing_is_left_has_failed(command: list[str], home: Path) -> None:
    (home.parent / "bad.mp4").write_text("no video at all")
    run = typed(*command, "bad.mp4", "nowhere.mp4", "--flow", "--json", home=home)
    assert run.returncode == 1
    assert [video["status"] for video in json.loads(run.stdout)["videos"]] == ["failed", "failed"]
    assert run.stderr.count("error: ") == 2
    assert "Traceback" not in run.stderr
    state, _, _ = last_run({"detect": "detect-objects", "label": "label-videos"}[command[0]])
    assert state.type is StateType.FAILED
    assert "0 of 2 done, 2 failed: " in str(state.message)


def last_run(flow: str) -> tuple[State, str, list[str]]:
    """Return how the last run of a flow ended, its table, and its log once that is there."""
    with get_client(sync_client=True) as client:
        chosen = FlowFilter(name=FlowFilterName(any_=[flow]))
        (found,) = client.read_flow_runs(flow_filter=chosen, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
        made = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[found.id]), type=ArtifactFilterType(any_=["table"])
        )
        (artifact,) = client.read_artifacts(artifact_filter=made)
        lines: list[str] = []
        until = time.monotonic() + 30
        while not any("Finished in state" in line for line in lines) and time.monotonic() < until:
            written = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[found.id]))
            lines = [log.message for log in client.read_logs(log_filter=written)]
        assert found.state is not None
        return found.state, str(artifact.data), lines
