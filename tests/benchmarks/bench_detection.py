"""Finding objects with YOLOX-nano, from the file to the folder: frames a second, and the share of each stage.

In: the bottle video where there is one, else a clip of moving squares and the small network of the tests. Out: rows of
what was measured and what is required. The best of a few runs counts. With `--every 5`, the annotated copy is decoded,
drawn and encoded in full all the same, so both ratios are given: with the copy and without.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from conf.weights import load_weights_table
from tasks.contracts.media import FetchedVideo
from tasks.contracts.objects import ObjectsManifest
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore
from tests.conftest import REAL_DATA
from tests.support.box_agreement import agreement
from tests.support.square_network import square_network
from tests.support.square_videos import fetched, write_clip

REPEATS = 2
EVERY = 5
REQUIRED_HZ = 30
REQUIRED_RATIO = 3.0
REQUIRED_AGREEMENT = 0.9
MODES: Mapping[str, Mapping[str, Any]] = {
    "every frame": {},
    f"every {EVERY}th": {"every": EVERY},
    "every frame, no copy": {"annotate": False},
    f"every {EVERY}th, no copy": {"every": EVERY, "annotate": False},
}


def rows() -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    with TemporaryDirectory(prefix="reelsift-bench-") as name:
        folder = Path(name)
        video, weights = subject(folder)
        detector = YoloxDetector.open(speed="normal", weights=weights)
        detect_objects(video, detector, DetectOptions(every=100), MediaBounds(), folder / "warm-up")
        made = {mode: best_of(video, detector, DetectOptions(**MODES[mode]), folder / mode) for mode in MODES}
        tables = [pq.read_table(folder / mode / "objects.parquet").to_pylist() for mode in list(MODES)[1::-1]]
    speeds = {mode: each.video.frames_read / each.wall_seconds for mode, each in made.items()}
    first, second, third, fourth = (speeds[mode] for mode in MODES)
    picture = f"{made['every frame'].video.media.width}x{made['every frame'].video.media.height}"
    return [
        (f"{video.title}, {picture}: every frame", f"{first:.0f} frames/s", f">= {REQUIRED_HZ}"),
        ("  seconds of each stage, of several threads", shares(made["every frame"]), ""),
        (f"every {EVERY}th, boxes carried between", f"{second:.0f} frames/s", ""),
        ("  seconds of each stage, of several threads", shares(made[f"every {EVERY}th"]), ""),
        ("  ratio, annotated copy written on both sides", f"{second / first:.1f} x", f">= {REQUIRED_RATIO:.0f} x"),
        (
            "  ratio without the copy",
            f"{fourth / third:.1f} x ({third:.0f} → {fourth:.0f})",
            f">= {REQUIRED_RATIO:.0f} x",
        ),
        (
            "  carried boxes that agree, F1 at IoU .5",
            f"{agreement(tables[0], tables[1], EVERY):.1%}",
            f">= {REQUIRED_AGREEMENT:.0%}",
        ),
    ]


def subject(folder: Path) -> tuple[FetchedVideo, WeightsStore]:
    """Return what is looked at, and with which weights."""
    video, weights = REAL_DATA / "media" / "videos" / "bottle-detection.mp4", REAL_DATA / "weights"
    if video.is_file() and (weights / "yolox_nano.onnx").is_file():
        return fetched(video), WeightsStore(folder=weights, given=weights, table=load_weights_table())
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    clip = write_clip(folder / "squares.mp4", [[("cup", 4 + 8 * (index // 10 % 11), 44)] for index in range(600)])
    return clip, WeightsStore(folder=folder, given=folder, table=load_weights_table())


def best_of(video: FetchedVideo, detector: YoloxDetector, options: DetectOptions, folder: Path) -> ObjectsManifest:
    """Return the fastest of a few runs."""
    made = [detect_objects(video, detector, options, MediaBounds(), folder) for _ in range(REPEATS)]
    return min(made, key=lambda each: each.wall_seconds)


def shares(made: ObjectsManifest) -> str:
    """Say how long each stage was at work, and how long it took in all."""
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in made.stage_seconds.items())
    return f"{stages}; in all {made.wall_seconds:.1f} s"


if __name__ == "__main__":
    for what, measured, required in rows():
        print(f"{what:58}{measured:24}  {required}")
