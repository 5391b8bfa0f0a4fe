"""What a YOLOX network puts out, made into boxes.

    S  side of the square input in pixels, a multiple of 32
    A  anchors: the cells of the grids of stride 8, 16 and 32, in this order, each row by row
    C  classes

In: the output (A, 5 + C): centre x, centre y, width, height (as the network codes them), objectness, class scores.
Out: boxes in pixels of the input. Does not know the picture. Source: YOLOX's `demo_postprocess` in
https://github.com/Megvii-BaseDetection/YOLOX/blob/main/yolox/utils/demo_utils.py.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.detection.detector import Detections

FloatArray = NDArray[np.floating[Any]]

STRIDES = (8, 16, 32)
SAME_CLASS_IOU = 0.45  # of two boxes of one class that overlap more, only the better counts: YOLOX's own bound
SAME_PLACE_IOU = 0.8  # of any two: one thing is no hot dog and pizza at once, but a cup on a table is not the table
LARGEST_LOG = 16.0  # of a side in strides; e^16 is beyond any picture, and does not overflow
CANDIDATES = 1000  # that are compared with each other at most, the best ones


def anchor_count(side: int) -> int:
    """Return A for an input of `side` x `side` pixels."""
    return sum((side // stride) ** 2 for stride in STRIDES)


@lru_cache(maxsize=8)
def grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each anchor's cell (A, 2), as x, y, and its stride (A, 1)."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.divmod(np.arange((side // stride) ** 2), side // stride)
        cells.append(np.stack([columns, rows], axis=1))
        strides.append(np.full((len(rows), 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def read_output(output_AC: NDArray[np.float32], side: int, min_score: float) -> Detections:  # noqa: N803 - shapes
    """Return the boxes whose score (objectness times best class) is at least `min_score`, best first.

    Each anchor speaks for its best class alone; of boxes that overlap, the best is kept.
    """
    sure = np.flatnonzero(output_AC[:, 4] >= min_score)  # no class score is above 1: the others cannot reach it
    output, cells, strides = (each[sure] for each in (output_AC, *grid(side)))
    class_ids = output[:, 5:].argmax(axis=1)
    scores = output[:, 4] * np.take_along_axis(output[:, 5:], class_ids[:, None], axis=1)[:, 0]
    centres = (output[:, 0:2] + cells) * strides
    halves = np.exp(np.minimum(output[:, 2:4], LARGEST_LOG)) * strides / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    usable = np.flatnonzero((scores >= min_score) & np.isfinite(boxes).all(axis=1))
    best = usable[np.argsort(-scores[usable], kind="stable")][:CANDIDATES]
    best = best[_best_of_overlapping(boxes[best], scores[best], class_ids[best], SAME_CLASS_IOU)]
    best = best[_best_of_overlapping(boxes[best], scores[best], np.zeros_like(best), SAME_PLACE_IOU)]
    return Detections(boxes[best].astype(np.float32), scores[best], class_ids[best].astype(np.int16))


def _best_of_overlapping(
    boxes: FloatArray, scores: FloatArray, groups: NDArray[np.int64], largest_iou: float
) -> NDArray[np.int64]:
    """Return the places of the boxes, given best first, that overlap with no better one of their group."""
    if not len(scores):
        return np.zeros(0, np.int64)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    suppress: Any = cv2.dnn.NMSBoxesBatched  # OpenCV's stubs want sequences; arrays are what it takes
    kept = suppress(xywh, scores, groups.astype(np.int32), 0.0, largest_iou)
    return np.sort(np.asarray(kept, np.int64).reshape(-1))
