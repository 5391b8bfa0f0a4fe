"""YOLOX by ONNX Runtime: pictures put through an untrusted file, and its output decoded to boxes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import DetectorError, WeightsError
from tasks.contracts.media import DetectorRecord
from tasks.detection.boxes import Detections, Picture, best_of_overlapping
from tasks.detection.config import COCO_CLASSES, YOLOX_NANO
from tasks.weights.store import Weights, WeightsStore, find_weights
from tasks.weights.untrusted import first_words, open_session, usable_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class Network:
    """An open network with one input and one output, both float32."""

    session: "InferenceSession"
    input_name: str
    input_shape: tuple[int | None, ...]  # None: the file leaves it open
    device: str  # cpu or cuda

    def run(self, blob: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output for one input; several threads may ask at once."""
        made: Any = self.session.run(None, {self.input_name: blob})[0]
        return made


def open_network(path: Path, name: str = YOLOX_NANO) -> Network:
    """Open the `path` of the detector `name` as `open_session` does, with one thread for each call.

    Raises:
        WeightsError: the file is no network that ONNX Runtime can load, or has several inputs or outputs.
    """
    session = open_session(path, _what_to_do(name), largest="no YOLOX")
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [each.type for each in (*inputs, *outputs)] != ["tensor(float)"] * 2:
        found = ", ".join(f"{each.name} {each.type}" for each in (*inputs, *outputs))
        wanted = "one input and one output of floats"
        raise WeightsError(f"{path} should have {wanted}, and has {found}: {_what_to_do(name)}")
    shape = tuple(side if isinstance(side, int) else None for side in inputs[0].shape)
    device = "cuda" if "CUDAExecutionProvider" in session.get_providers() else "cpu"
    return Network(session, inputs[0].name, shape, device)


def _what_to_do(name: str) -> str:
    return f"remove it and run `reelsift weights fetch {name}`, or give the right file."


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
    best = best[best_of_overlapping(boxes[best], scores[best], class_ids[best], SAME_CLASS_IOU)]
    best = best[best_of_overlapping(boxes[best], scores[best], np.zeros_like(best), SAME_PLACE_IOU)]
    return Detections(boxes[best].astype(np.float32), scores[best], class_ids[best].astype(np.int16))


DEFAULT_MIN_SCORE = 0.3
# Of the input, where the file leaves them open.
SMALL_SIDES = {"normal": 416, "fast": 320, "rapid": 224}  # as nano and tiny were trained
SIDES = {"normal": 640, "fast": 480, "rapid": 320}
GREY = 114
MOST_AT_ONCE = 8
ROUNDS = 2  # batches of this many pictures for each thread: the last of one round waits less for the others


class YoloxDetector:
    """A YOLOX network of COCO's classes, of any size of the family."""

    class_names = COCO_CLASSES

    def __init__(self, network: Network, weights: Weights, *, speed: str, min_score: float | None = None) -> None:
        self._network = network
        self._side = _side(network, weights, speed)
        self._min_score = DEFAULT_MIN_SCORE if min_score is None else min_score
        at_once = 1 if network.device == "cuda" else min(MOST_AT_ONCE, usable_cores())
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="yolox")
        self.batch_size = at_once * ROUNDS
        self.record = DetectorRecord(
            name=weights.record.name, weights=weights.record, device=network.device, speed=speed, has_masks=False
        )
        self._check(weights)

    @classmethod
    def open(
        cls, name: str = YOLOX_NANO, *, speed: str, weights: WeightsStore, min_score: float | None = None
    ) -> "YoloxDetector":
        """Open the network `name` of the file that `weights` has.

        Raises:
            MissingWeightsError: the file is not there.
            WeightsError: it is no YOLOX of COCO's 80 classes.
            DetectorError: it has a fixed input, which no speed changes.
        """
        found = find_weights(name, weights)
        return cls(open_network(found.path, name), found, speed=speed, min_score=min_score)

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
        what_to_do = _what_to_do(weights.record.name)
        try:
            output = self._network.run(blob)
        # ONNX Runtime's exceptions have no base but Exception.
        except Exception as error:
            raise WeightsError(f"{weights.path} does not run ({first_words(error)}): {what_to_do}") from error
        expected = (1, anchor_count(self._side), 5 + len(COCO_CLASSES))
        if output.shape != expected:
            raise WeightsError(f"{weights.path} puts out {output.shape} where YOLOX has {expected}: {what_to_do}")
        if not (np.isfinite(output).all() and ((output[..., 4:] >= 0) & (output[..., 4:] <= 1)).all()):
            raise WeightsError(f"{weights.path} puts out scores outside 0 to 1: {what_to_do}")


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
    name = weights.record.name
    sides = SMALL_SIDES if name in {YOLOX_NANO, "yolox-tiny"} else SIDES
    batch, channels, height, width = network.input_shape if len(network.input_shape) == 4 else (0, 0, 0, 0)
    fits = batch in (1, None) and channels == 3 and height == width and (height or STRIDES[-1]) % STRIDES[-1] == 0
    if not fits or height == 0:
        shape = tuple("?" if each is None else each for each in network.input_shape)
        usual = (1, 3, sides["normal"], sides["normal"])
        raise WeightsError(f"{weights.path} takes {shape} where YOLOX takes {usual}: {_what_to_do(name)}")
    if height is None:
        return sides[speed]
    if speed != "normal":
        raise DetectorError(
            f"{name} has one speed: its network takes {width} x {height} pixels, and speed {speed!r} would "
            "change nothing. Leave the speed out, or take another detector."
        )
    return height
