"""YOLOX-nano by ONNX Runtime: boxes in real time on a CPU.

In: pictures, RGB uint8 (H, W, 3). Out: boxes of COCO's 80 classes, without masks. Does not know videos.
The network takes BGR in 0..255, float32, letterboxed with grey (114) at the right and bottom, as in YOLOX's demo.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import DetectorError, WeightsError
from tasks.contracts.objects import DetectorRecord
from tasks.detection.classes import COCO_CLASSES
from tasks.detection.detector import YOLOX_NANO, Detections, Picture
from tasks.detection.onnx_session import WHAT_TO_DO, Network, open_network
from tasks.detection.yolox_output import STRIDES, anchor_count, read_output
from tasks.weights.store import Weights, WeightsStore, find_weights

DEFAULT_MIN_SCORE = 0.3
SIDES = {"normal": 416, "fast": 320, "rapid": 224}  # of the input, where the file leaves them open
GREY = 114
MOST_AT_ONCE = 8
ROUNDS = 2  # batches of this many pictures for each thread: the last of one round waits less for the others


class YoloxDetector:
    """A YOLOX network of COCO's classes."""

    class_names = COCO_CLASSES

    def __init__(self, network: Network, weights: Weights, *, speed: str, min_score: float | None = None) -> None:
        self._network = network
        self._side = _side(network, weights, speed)
        self._min_score = DEFAULT_MIN_SCORE if min_score is None else min_score
        at_once = 1 if network.device == "cuda" else min(MOST_AT_ONCE, _cores())
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="yolox")
        self.batch_size = at_once * ROUNDS
        self.record = DetectorRecord(
            name=YOLOX_NANO, weights=weights.record, device=network.device, speed=speed, has_masks=False
        )
        self._check(weights)

    @classmethod
    def open(cls, *, speed: str, weights: WeightsStore, min_score: float | None = None) -> "YoloxDetector":
        """Open the network of the file that `weights` has.

        Raises:
            MissingWeightsError: the file is not there.
            WeightsError: it is no YOLOX of COCO's 80 classes.
            DetectorError: it has a fixed input, which no speed changes.
        """
        found = find_weights(YOLOX_NANO, weights)
        return cls(open_network(found.path), found, speed=speed, min_score=min_score)

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in each picture, best first."""
        if len(images) == 1:
            return [self._detect(images[0])]
        return list(self._threads.map(self._detect, images))

    def _detect(self, image: Picture) -> Detections:
        blob, scale = letterbox(image, self._side)
        found = read_output(self._network.run(blob)[0], self._side, self._min_score)
        height, width = image.shape[:2]
        found.boxes[:] = (found.boxes / scale).clip(0, (width, height, width, height))
        # A box may lie wholly in the grey border.
        return found[np.flatnonzero((found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1))]

    def _check(self, weights: Weights) -> None:
        """Look at an empty picture once: only a run shows what comes out of a file from a stranger."""
        blob, _ = letterbox(np.zeros((self._side, self._side, 3), np.uint8), self._side)
        try:
            output = self._network.run(blob)
        # ONNX Runtime's exceptions have no base but Exception.
        except Exception as error:
            said = " ".join(str(error).split())[:160]
            raise WeightsError(f"{weights.path} does not run ({said}): {WHAT_TO_DO}") from error
        expected = (1, anchor_count(self._side), 5 + len(COCO_CLASSES))
        if output.shape != expected:
            raise WeightsError(f"{weights.path} puts out {output.shape} where YOLOX has {expected}: {WHAT_TO_DO}")
        if not (np.isfinite(output).all() and ((output[..., 4:] >= 0) & (output[..., 4:] <= 1)).all()):
            raise WeightsError(f"{weights.path} puts out scores outside 0 to 1: {WHAT_TO_DO}")


def letterbox(image: Picture, side: int) -> tuple[NDArray[np.float32], float]:
    """Return the picture as the network takes it, float32 (1, 3, side, side), and the scale that it was given."""
    height, width = image.shape[:2]
    scale = min(side / height, side / width)
    small = cv2.resize(image, (max(1, int(width * scale)), max(1, int(height * scale))), interpolation=cv2.INTER_LINEAR)
    blob = np.full((1, 3, side, side), GREY, np.float32)
    blob[0, :, : small.shape[0], : small.shape[1]] = small[:, :, ::-1].transpose(2, 0, 1)
    return blob, scale


def _side(network: Network, weights: Weights, speed: str) -> int:
    """Return the side of the square input that a speed means."""
    batch, channels, height, width = network.input_shape if len(network.input_shape) == 4 else (0, 0, 0, 0)
    fits = batch in (1, None) and channels == 3 and height == width and (height or STRIDES[-1]) % STRIDES[-1] == 0
    if not fits or height == 0:
        shape = tuple("?" if each is None else each for each in network.input_shape)
        raise WeightsError(f"{weights.path} takes {shape} where YOLOX takes (1, 3, 416, 416): {WHAT_TO_DO}")
    if height is None:
        return SIDES[speed]
    if speed != "normal":
        raise DetectorError(
            f"{YOLOX_NANO} has one speed: its network takes {width} x {height} pixels, and speed {speed!r} would "
            "change nothing. Leave the speed out, or take the detector pointrend."
        )
    return height


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
