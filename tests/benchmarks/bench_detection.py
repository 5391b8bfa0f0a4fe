"""Finding objects with YOLOX-nano, from the file to the folder: frames a second, and the share of each stage.

The best of a few runs counts, and the modes take turns, so that whatever else the machine does is shared among them;
seconds of the processor depend on it least, so their ratio is given too. With `--every 5`, the annotated copy is
decoded, drawn and encoded in full all the same, so the ratios are given with the copy and without.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from conf.settings import load_weights_table
from tasks.contracts.media import FetchedVideo, ObjectsManifest
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore
from tests.conftest import REAL_DATA
from tests.support.box_agreement import agreement
from tests.support.square_network import square_network
from tests.support.square_videos import fetched, write_clip

REPEATS = 3
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


@dataclass(frozen=True)
class Run:
    """One run in one mode."""

    mode: str
    made: ObjectsManifest
    cpu_s: float

    @classmethod
    def of(cls, video: FetchedVideo, detector: YoloxDetector, mode: str, folder: Path) -> "Run":
        """Do it."""
        started_s = time.process_time()
        made = detect_objects(video, detector, DetectOptions(**MODES[mode]), MediaBounds(), folder / mode)
        return cls(mode, made, time.process_time() - started_s)

    @property
    def frames_hz(self) -> float:
        """Frames a second."""
        return self.made.video.frames_read / self.made.wall_seconds


def rows() -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    with TemporaryDirectory(prefix="reelsift-bench-") as name:
        folder = Path(name)
        video, weights = subject(folder)
        detector = YoloxDetector.open(speed="normal", weights=weights)
        detect_objects(video, detector, DetectOptions(every=100), MediaBounds(), folder / "warm-up")
        runs = [Run.of(video, detector, mode, folder) for _ in range(REPEATS) for mode in MODES]
        tables = [pq.read_table(folder / mode / "objects.parquet").to_pylist() for mode in list(MODES)[1::-1]]
    best = {
        mode: min((run for run in runs if run.mode == mode), key=lambda run: run.made.wall_seconds) for mode in MODES
    }
    first, second, third, fourth = (best[mode].frames_hz for mode in MODES)
    cpu_s = [min(run.cpu_s for run in runs if run.mode == mode) for mode in MODES]
    media = best["every frame"].made.video.media
    picture = f"{media.width}x{media.height}"
    return [
        (f"{video.title}, {picture}: every frame", f"{first:.0f} frames/s", f">= {REQUIRED_HZ}"),
        ("  seconds of each stage, of several threads", shares(best["every frame"].made), ""),
        (f"every {EVERY}th, boxes carried between", f"{second:.0f} frames/s", ""),
        ("  seconds of each stage, of several threads", shares(best[f"every {EVERY}th"].made), ""),
        ("  ratio, annotated copy written on both sides", f"{second / first:.1f} x", f">= {REQUIRED_RATIO:.0f} x"),
        (
            "  ratio without the copy",
            f"{fourth / third:.1f} x ({third:.0f} → {fourth:.0f})",
            f">= {REQUIRED_RATIO:.0f} x",
        ),
        (
            "  ratio of processor seconds, with and without",
            f"{cpu_s[0] / cpu_s[1]:.1f} x, {cpu_s[2] / cpu_s[3]:.1f} x",
            "",
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
        return fetched(video), WeightsStore(folder=folder, given=weights, table=load_weights_table())
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    clip = write_clip(folder / "squares.mp4", [[("cup", 4 + 8 * (index // 10 % 11), 44)] for index in range(600)])
    return clip, WeightsStore(folder=folder, given=folder, table=load_weights_table())


def shares(made: ObjectsManifest) -> str:
    """Say how long each stage was at work, and how long it took in all."""
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in made.stage_seconds.items())
    return f"{stages}; in all {made.wall_seconds:.1f} s"


if __name__ == "__main__":
    for what, measured, required in rows():
        print(f"{what:58}{measured:24}  {required}")
