"""Versions that hold frames, typed at the installed command, beside a real Prefect server."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL

from tasks.records.synthetic import encode_sequence, write_order_mirror
from tests.records.framing import frames
from tests.records.shards import shard_with
from tests.reelsift.test_cli import reelsift

pytestmark = pytest.mark.usefixtures("prefect_server")


def typed(*arguments: object, home: Path) -> Any:
    return reelsift(*arguments, home=home, PREFECT_API_URL=str(PREFECT_API_URL.value()))


def test_frames_are_built_shown_exported_and_averaged(tmp_path: Path) -> None:
    home, mirror = tmp_path / "home", tmp_path / "mirror"
    write_order_mirror(mirror, train_shards=1, validate_shards=1, pairs_per_shard=8)
    build = ("dataset", "build", "--label", "Cooking", "--mirror", mirror)
    refused = typed(*build, "--partition", "frame/train", home=home)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: The partition 'frame/train' has the frames of videos" in refused.stderr
    run = typed("dataset", "build", "--label", "Cooking", "--level", "frame", "--mirror", mirror, "--json", home=home)
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert (made["slug"], made["rows"], made["matches"]) == ("cooking", 32, 16)
    shown = typed("dataset", "show", made["id"], home=home)
    assert "frames, one a second, " in shown.stdout
    assert "frame/train" in shown.stdout
    cannot = typed("dataset", "export", tmp_path / "all.jsonl", "--dataset", made["id"], home=home)
    assert (cannot.returncode, len(cannot.stderr.splitlines())) == (1, 1)
    assert "which jsonl has no room for" in cannot.stderr
    again = typed(*build, "--level", "frame", home=home)
    assert f"Already built: cooking/{made['id']}" in again.stderr
    means = json.loads(typed("dataset", "means", made["id"], "--json", home=home).stdout)
    assert (means["slug"], means["rows"], means["matches"], means["id"] == made["id"]) == ("cooking", 32, 16, False)
    refused = typed("dataset", "means", means["id"], home=home)
    assert "error: Dataset cooking/" in refused.stderr
    assert "holds features of whole videos, no frames" in refused.stderr
    refused = typed("train", "--dataset", means["id"], "--model", "logistic", "--model", "gru", home=home)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"A model of the kind gru looks at the moments of a video, and cooking/{means['id']} has" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_segments_of_the_third_release_are_counted(tmp_path: Path) -> None:
    """Beside the partition's own plan, below the folder of its release."""
    rng, home, mirror = np.random.default_rng(0), tmp_path / "home", tmp_path / "mirror"
    payloads = [
        encode_sequence(
            f"v{n:03d}".encode(),
            [22],
            rng.integers(0, 256, (60, 1024), np.uint8),
            rng.integers(0, 256, (60, 128), np.uint8),
            [(10, 15, 22, float(n % 2)), (30, 35, 22, 0.0)],
        )
        for n in range(24)
    ]
    shard = shard_with(mirror / "3" / "frame" / "validate" / "validateaa.tfrecord", frames(payloads))
    plans = mirror / "3" / "download_plans"
    plans.mkdir()
    (plans / "frame_validate.json").write_text(json.dumps({"files": {shard.name: shard.md5}}))
    run = typed(
        "pipeline", "--label", "22", "--level", "frame", "--partition", "3/frame/validate", "--mirror", mirror,
        "--model", "mean", "--model", "moe", "--yes", "--json", home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    rows = {row["kind"]: row["model"] for row in made["comparison"]["rows"]}
    assert (rows.keys(), made["promotion"]["promoted"]) == ({"mean", "moe"}, True)
    shown = typed("dataset", "show", "latest", home=home).stdout
    assert (
        "1,440 frames, one a second, 60 in the longest video. Segments: 48 ratings of 1 labels, 12 confirmed." in shown
    )
    model = rows["mean"]
    judged = json.loads(typed("models", "evaluate", model, "--json", home=home).stdout)
    assert judged["rated_segments"] == 48
    assert 0 < judged["segment_map"] < 1
    labels, file = tmp_path / "segment_label_ids.csv", tmp_path / "submission.csv"
    labels.write_text("Index\n22\n3\n")
    said = json.loads(
        typed(
            "models", "predict-segments", model, "--dataset", "latest", "--output", file, "--classes", labels,
            "--most", 50, "--json", home=home,
        ).stdout
    )  # fmt: skip
    assert (said["labels"], said["videos"], said["segments"]) == (1, 24, 24 * 12)
    header, line = file.read_text().splitlines()
    assert header == "Class,Segments"
    named = line.removeprefix("22,").split()
    assert len(set(named)) == len(named) == 50
    assert {each.partition(":")[2] for each in named} <= {str(start) for start in range(0, 60, 5)}
