"""PointRend's frames a second, side by side with PixelLib's `process_video`: same file, weights and machine.

Each side runs in a process of its own, the two by turns, and the best of each counts; both decode, detect, draw and
encode. Loading the weights is not counted. Ours keeps every frame's answer and follows things, besides.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image

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


def rows() -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    with TemporaryDirectory(prefix="reelsift-bench-") as name:
        folder = Path(name)
        write_checkpoint(folder / "pointrend_resnet50.pkl")
        write_clip(folder / "clip.mp4")
        taken = [(_seconds(THEIRS, folder), _seconds(OURS, folder)) for _ in range(REPEATS)]
    return [
        _row(speed, min(each[speed] for each, _ in taken), min(each[speed] for _, each in taken)) for speed in SPEEDS
    ]


def write_clip(path: Path) -> None:
    """Write a clip in which such a network finds something: a look that wanders over a picture."""
    width, height = SIZE
    wide = np.array(Image.fromarray(pictures()[0]).resize((width + 4 * FRAMES, height)))
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(FRAMES):
            image = np.ascontiguousarray(wide[:, 4 * index : 4 * index + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def _seconds(code: str, folder: Path) -> dict[str, float]:
    """Run one side in a process of its own, and return its seconds at each speed."""
    run = subprocess.run([sys.executable, "-c", code, str(folder), *SPEEDS], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def _row(speed: str, theirs_s: float, ours_s: float) -> tuple[str, str, str]:
    width, height = SIZE
    what = f"PointRend {speed}, {FRAMES} frames of {width}x{height}"
    measured = f"{theirs_s / ours_s:.2f} x ({FRAMES / theirs_s:.2f} → {FRAMES / ours_s:.2f} frames/s)"
    return what, measured, ">= 1.00 x; wished 1.2 x"


if __name__ == "__main__":
    for what, measured, required in rows():
        print(f"{what:44}{measured:34}  {required}")
