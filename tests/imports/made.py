"""Small clips of two classes, and a table of them."""

from pathlib import Path

import numpy as np

from tests.support.media import Tone, write_video

CLASSES = {"warm": (200, 80, 30), "cool": (30, 90, 200)}
FRAMES = 20  # of 10 a second


def write_class_clip(path: Path, label: str, seed: int, *, then: str | None = None, tone: Tone | None = None) -> Path:
    """Write two seconds of coloured noise, whose colour tells the class, and perhaps two of another class."""
    rng = np.random.default_rng([seed, len(label)])
    colours = np.repeat([CLASSES[each] for each in (label, then) if each], FRAMES, axis=0)[:, None, None]
    noise = rng.integers(-30, 30, (len(colours), 48, 64, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, (colours + noise).clip(0, 255).astype(np.uint8), tone=tone)


def write_classes(folder: Path, each: int = 4) -> Path:
    """Write clips of both classes, a folder for each; those of one class have sound."""
    for label in CLASSES:
        for number in range(each):
            tone = Tone(duration_s=2.0) if label == "warm" else None
            write_class_clip(folder / label / f"{label} {number}.mp4", label, number, tone=tone)
    return folder


def write_table(folder: Path, *more: str) -> Path:
    """List what lies in the folders of the classes, and more lines of path, label, start_s and end_s."""
    clips = sorted(path.relative_to(folder) for path in folder.glob("*/*.mp4"))
    lines = [f"{path},{path.parent},," for path in clips]
    table = folder / "clips.csv"
    table.write_text("\n".join(["source,label,start_s,end_s", *lines, *more]) + "\n")
    return table
