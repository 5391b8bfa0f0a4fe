"""The peak of memory while a long video is labelled, looked at or turned into features, beside that of a short one.

What is detected in is a square that stays for four seconds, then another in another place: each is a track of its own.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.feature_weights import write_feature_weights
from tests.support.media import Tone, write_video
from tests.support.square_network import square_network

LENGTHS_S = (500, 2000)
MOST_APART_MB = 50.0
COMMON = """
import sys
from pathlib import Path
from conf.settings import load_weights_table
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore
from tests.support.peak_memory import peak_mb
clip, out, given = map(Path, sys.argv[1:])
store = WeightsStore(folder=given / "none", given=given, table=load_weights_table())
{work}
print(peak_mb())
"""
LABEL = """
from tasks.labelling.config import LabelOptions
from tasks.labelling.imagenet import ImagenetLabeller
from tasks.labelling.label import label_video
from tests.labelling.colours import fetched
label_video(fetched(clip), ImagenetLabeller.open(), LabelOptions(), MediaBounds(), out)
"""
DETECT = """
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.detector import open_detector
from tests.labelling.colours import fetched
detector = open_detector("yolox-nano", speed="normal", weights=store)
detect_objects(fetched(clip), detector, DetectOptions(), MediaBounds(), out)
"""
FEATURES = """
from tasks.features.extractor import read_features
from tasks.features.shipped import load_yt8m
read_features(clip, MediaBounds(), load_yt8m(store))
"""
WORK = {"labelling": LABEL, "detecting and tracking in": DETECT, "the features (small networks) of": FEATURES}
STAYS_S, SQUARES_HZ, SIDE, SQUARE = 4, 2, 64, 16


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the peak of each length, a process each, and how far they are apart."""
    with tempfile.TemporaryDirectory() as folder:
        weights = write_feature_weights(Path(folder) / "weights")
        (weights / "yolox_nano.onnx").write_bytes(square_network())
        makers = {DETECT: _squares}
        for what, work in WORK.items():
            clips = [makers.get(work, _colours)(Path(folder), length_s) for length_s in LENGTHS_S]
            peaks = [_peak_mb(clip, work, weights) for clip in clips]
            for length_s, peak in zip(LENGTHS_S, peaks, strict=True):
                yield f"{what} a 64x64 video of {length_s:,} s, peak", f"{peak:,.0f} MB", ""
            yield f"{what}, apart", f"{abs(peaks[1] - peaks[0]):,.0f} MB", f"{MOST_APART_MB:.0f} MB"


def _squares(folder: Path, length_s: int) -> Path:
    return write_video(
        folder / f"squares-{length_s}.mp4",
        _moving(length_s),
        times_s=[number / SQUARES_HZ for number in range(length_s * SQUARES_HZ)],
        time_base=Fraction(1, 10),
        encoder={"preset": "ultrafast"},
    )


def _moving(length_s: int) -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    for _ in range(0, length_s, STAYS_S):
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        left, top = 2 + 4 * random.integers(0, (SIDE - SQUARE) // 4 - 1, 2)
        image[top : top + SQUARE, left : left + SQUARE, random.integers(0, 3)] = 255
        yield from [image] * (STAYS_S * SQUARES_HZ)


def _colours(folder: Path, length_s: int) -> Path:
    random = np.random.default_rng(0)
    return write_video(
        folder / f"{length_s}.mp4",
        (np.full((64, 64, 3), random.integers(0, 255, 3), np.uint8) for _ in range(length_s)),
        times_s=list(map(float, range(length_s))),
        time_base=Fraction(1, 10),
        encoder={"preset": "ultrafast"},
        tone=Tone(length_s),
    )


def _peak_mb(clip: Path, work: str, weights: Path) -> float:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", COMMON.format(work=work), clip, Path(out) / "out", weights]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
