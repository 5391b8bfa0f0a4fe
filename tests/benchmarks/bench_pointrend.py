"""PointRend's frames a second, side by side with PixelLib's `process_video`: same file, weights and machine.

Each side runs in a process of its own, the two by turns, and the best of each counts; both decode, detect, draw and
encode. Loading the weights is not counted. Ours keeps every frame's answer and follows things, besides.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image

from tasks.detection.boxes import Picture
from tests.support.pointrend_checkpoint import pictures, write_checkpoint

FRAMES, RATE_HZ, SIZE = 6, 12, (320, 240)
REPEATS = 2
SPEEDS = ("normal", "fast", "rapid")
# Prints the seconds of each speed. The weights' network is built before the clock starts.
PREPARED = """
import json, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
folder, seconds = Path(sys.argv[1]), {}
"""
THEIRS = f"""{PREPARED}
import PIL.Image
PIL.Image.LINEAR = PIL.Image.Resampling.BILINEAR
from pixellib.torchbackend.instance import instanceSegmentation
for speed in sys.argv[2:]:
    theirs = instanceSegmentation()
    theirs.load_model(str(folder / "pointrend_resnet50.pkl"), detection_speed=None if speed == "normal" else speed)
    started = time.perf_counter()
    theirs.process_video(str(folder / "clip.mp4"), show_bboxes=True, frames_per_second=12,
                         output_video_name=str(folder / "theirs.mp4"))
    seconds[speed] = time.perf_counter() - started
print("\\n" + json.dumps(seconds))
"""
OURS = f"""{PREPARED}
from conf.settings import load_weights_table
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.detector import open_detector
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore
from tests.support.square_videos import fetched
store = WeightsStore(folder=folder, given=folder, table=load_weights_table())
video = fetched(folder / "clip.mp4")
for speed in sys.argv[2:]:
    detector = open_detector("pointrend", speed=speed, weights=store)
    started = time.perf_counter()
    detect_objects(video, detector, DetectOptions(), MediaBounds(), folder / f"ours-{{speed}}")
    seconds[speed] = time.perf_counter() - started
print("\\n" + json.dumps(seconds))
"""


@dataclass(frozen=True)
class Trial:
    """How much is looked at, and at which speeds."""

    frames: int = FRAMES
    size: tuple[int, int] = SIZE
    speeds: tuple[str, ...] = SPEEDS
    repeats: int = REPEATS


def rows(trial: Trial = Trial()) -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    with TemporaryDirectory(prefix="reelsift-bench-") as name:
        folder = Path(name)
        place_checkpoint(folder / "pointrend_resnet50.pkl")
        write_clip(folder / "clip.mp4", trial.frames, trial.size)
        taken = [
            (_seconds(THEIRS, folder, trial.speeds), _seconds(OURS, folder, trial.speeds)) for _ in range(trial.repeats)
        ]
    return [
        _row(trial, speed, min(each[speed] for each, _ in taken), min(each[speed] for _, each in taken))
        for speed in trial.speeds
    ]


def place_checkpoint(path: Path) -> None:
    """Put weights there: those of the folder that POINTREND_WEIGHTS names, else some that are made."""
    given = os.environ.get("POINTREND_WEIGHTS")
    if given:
        path.symlink_to(Path(given, path.name).absolute())
    else:
        write_checkpoint(path)


def wandering(frames: int, size: tuple[int, int]) -> Iterator[Picture]:
    """Yield frames in which such a network finds something: a look that wanders over a picture."""
    width, height = size
    wide = np.array(Image.fromarray(pictures()[0]).resize((width + 4 * frames, height)))
    for index in range(frames):
        yield np.ascontiguousarray(wide[:, 4 * index : 4 * index + width])


def write_clip(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Write a clip of such frames."""
    width, height = size
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in wandering(frames, size):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def _seconds(code: str, folder: Path, speeds: Sequence[str]) -> dict[str, float]:
    """Run one side in a process of its own, and return its seconds at each speed."""
    run = subprocess.run([sys.executable, "-c", code, str(folder), *speeds], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def _row(trial: Trial, speed: str, theirs_s: float, ours_s: float) -> tuple[str, str, str]:
    width, height = trial.size
    what = f"PointRend {speed}, {trial.frames} frames of {width}x{height}"
    measured = f"{theirs_s / ours_s:.2f} x ({trial.frames / theirs_s:.2f} → {trial.frames / ours_s:.2f} frames/s)"
    return what, measured, ">= 1.00 x; wished 1.2 x"


if __name__ == "__main__":
    for what, measured, required in rows():
        print(f"{what:44}{measured:34}  {required}")
