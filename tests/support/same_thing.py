"""A detector that sees the same thing, with a mask, in every picture, until it fails."""

from collections.abc import Sequence

import numpy as np

from tasks.contracts.media import DetectorRecord
from tasks.detection.boxes import Detections, Picture


class SameThing:
    """A thing of 30 x 30 pixels; it can be told to fail at the third picture."""

    class_names = ("thing",)
    batch_size = 1

    def __init__(self, record: DetectorRecord, *, fails: bool) -> None:
        self.record = record
        self._left = 2 if fails else 10**6

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        self._left -= len(images)
        if self._left < 0:
            message = "out of memory"
            raise RuntimeError(message)
        masks = np.zeros((1, *images[0].shape[:2]), np.bool_)
        masks[0, 10:40, 10:40] = True
        box, one = np.array([[10, 10, 40, 40]], np.float32), np.array([0.9], np.float32)
        return [Detections(box, one, np.zeros(1, np.int16), masks) for _ in images]
