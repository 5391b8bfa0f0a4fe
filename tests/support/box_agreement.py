"""How well boxes that were carried agree with those that were detected on the same frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.detection.tracking import iou

SAME_IOU = 0.5
SIDES = ("x_min", "y_min", "x_max", "y_max")
CLASS_OFFSET = 1e4  # pixels; boxes are moved by it times their class, so that those of two classes never meet

Rows = Sequence[Mapping[str, Any]]


def agreement(carried: Rows, detected: Rows, every: int) -> float:
    """Return the F1 score of carried boxes against detected ones, on the frames between every `every`-th.

    Two boxes agree if they have one class and an IoU of .5 or more. Boxes of no track count on neither side.
    """
    ours, theirs = (_by_frame(rows, every) for rows in (carried, detected))
    hits = total = 0
    for frame in ours.keys() | theirs.keys():
        found, true = ours.get(frame, NOTHING), theirs.get(frame, NOTHING)
        total += len(found) + len(true)
        if len(found) and len(true):
            same = iou(found, true) >= SAME_IOU
            hits += int(same.any(axis=0).sum() + same.any(axis=1).sum())
    return hits / total


NOTHING = np.zeros((0, 4), np.float32)


def _by_frame(rows: Rows, every: int) -> dict[int, NDArray[np.float32]]:
    found: dict[int, list[list[float]]] = {}
    for row in rows:
        if row["frame"] % every and row["track_id"] > 0:
            shift = row["class_id"] * CLASS_OFFSET
            found.setdefault(row["frame"], []).append([row[side] + shift for side in SIDES])
    return {frame: np.array(boxes, np.float32) for frame, boxes in found.items()}
