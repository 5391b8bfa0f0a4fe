"""The peak of memory while a long video is labelled, beside that of a short one."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.support.media import write_video

LENGTHS_S = (500, 2000)
MOST_APART_MB = 50.0
LABEL = """
import resource, sys
from pathlib import Path
from tasks.labelling.config import LabelOptions
from tasks.labelling.imagenet import ImagenetLabeller
from tasks.labelling.label import label_video
from tasks.video.config import MediaBounds
from tests.labelling.colours import fetched
label_video(fetched(Path(sys.argv[1])), ImagenetLabeller.open(), LabelOptions(), MediaBounds(), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the peak of each length, a process each, and how far they are apart."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = [_peak_mb(Path(folder), length_s) for length_s in LENGTHS_S]
    for length_s, peak in zip(LENGTHS_S, peaks, strict=True):
        yield f"labelling a 64x64 video of {length_s:,} s, peak", f"{peak:,.0f} MB", ""
    yield "apart", f"{abs(peaks[1] - peaks[0]):,.0f} MB", f"{MOST_APART_MB:.0f} MB"


def _peak_mb(folder: Path, length_s: int) -> float:
    random = np.random.default_rng(0)
    clip = write_video(
        folder / f"{length_s}.mp4",
        (np.full((64, 64, 3), random.integers(0, 255, 3), np.uint8) for _ in range(length_s)),
        times_s=list(map(float, range(length_s))),
        time_base=Fraction(1, 10),
        encoder={"preset": "ultrafast"},
    )
    command = [sys.executable, "-c", LABEL, str(clip), str(folder / f"out-{length_s}")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
