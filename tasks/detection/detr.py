"""Detectors of DETR's kind in ONNX files: D-FINE, RT-DETR, RF-DETR, told by what goes into a graph and comes out."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import ConfigError, DetectorError, WeightsError
from tasks.contracts.media import DetectorRecord
from tasks.detection.boxes import Detections, Picture
from tasks.detection.config import COCO_CLASSES, PLACE_OF_ID
from tasks.weights.config import Colours, OnnxDetector
from tasks.weights.store import Weights
from tasks.weights.untrusted import first_words, open_session, usable_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SIZES = "orig_target_sizes"  # the input by which the exports of D-FINE and RT-DETR give boxes in pixels
FINISHED = ("labels", "boxes", "scores")  # what these put out
# Boxes (n, queries, 4) and logits (n, queries, classes): of RF-DETR's export, and of transformers' models.
RF_DETR, TRANSFORMERS = ("dets", "labels"), ("pred_boxes", "logits")
KNOWN = f"{SIZES} → labels, boxes, scores (D-FINE, RT-DETR); dets, labels (RF-DETR); pred_boxes, logits (transformers)"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation
AS_THEY_ARE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CLASSES = len(COCO_CLASSES)
DEFAULT_MIN_SCORE = 0.5
LARGEST_SIDE = 4096
MOST_AT_ONCE = 8  # threads, or pictures of a batch
ROUNDS = 2  # batches for each thread


@dataclass(frozen=True)
class Graph:
    """What an ONNX file takes and puts out."""

    session: "InferenceSession"
    pictures: str  # the input of pictures, float32 (n, 3, height, width)
    has_sizes: bool
    is_open: bool  # it takes as many pictures as one likes, else one
    height: int
    width: int
    outputs: tuple[str, ...]  # FINISHED, RF_DETR or TRANSFORMERS

    def run(self, pixels: NDArray[np.float32], sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Return the outputs for prepared pictures, and their sizes (n, 2): width, height."""
        fed = {self.pictures: pixels} | ({SIZES: sizes} if self.has_sizes else {})
        return [np.asarray(each) for each in self.session.run(list(self.outputs), fed)]


class DetrDetector:
    """Such a network of COCO's classes, ready to look at pictures; `what_to_do` ends a message about its file.

    Raises:
        ConfigError: the settings lack what the file leaves open.
        WeightsError: the file is no network of this kind, or not of COCO's classes.
    """

    class_names = COCO_CLASSES

    def __init__(
        self, name: str, own: OnnxDetector, weights: Weights, what_to_do: str, *, min_score: float | None = None
    ) -> None:
        self._file, self._what_to_do = weights.path.name, what_to_do
        self._graph = graph = _read_graph(weights, own, what_to_do)
        on_gpu = "CUDAExecutionProvider" in graph.session.get_providers()
        self._together = MOST_AT_ONCE if on_gpu and graph.is_open else 1
        at_once = 2 if on_gpu else min(MOST_AT_ONCE, usable_cores())  # with a GPU, one prepares what comes next
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="detr")
        self.batch_size = self._together * at_once * ROUNDS
        self._min_score = DEFAULT_MIN_SCORE if min_score is None else min_score
        classes = self._classes()
        self._class_ids = np.arange(CLASSES) if classes == CLASSES else np.array(PLACE_OF_ID)
        mean, std = _normalisation(graph.outputs, own, classes, f"[detectors.{name}]: {self._file}")
        self._mean, self._std = np.array(mean, np.float32), np.array(std, np.float32)
        self.record = DetectorRecord(
            name=name,
            weights=weights.record,
            device="cuda" if on_gpu else "cpu",
            speed="normal",
            has_masks=False,
            reads=f"{' '.join(graph.outputs)}, {graph.width}x{graph.height}, mean {mean}, std {std}",
        )

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in each picture, best first; boxes in pixels."""
        parts = [images[start : start + self._together] for start in range(0, len(images), self._together)]
        found = map(self._look, parts) if len(parts) == 1 else self._threads.map(self._look, parts)
        return [each for part in found for each in part]

    def _look(self, images: Sequence[Picture]) -> list[Detections]:
        sizes = np.array([image.shape[1::-1] for image in images], np.int64)
        try:
            made = self._graph.run(np.stack([self._prepared(image) for image in images]), sizes)
        # ONNX Runtime's exceptions have no base but Exception; on black pictures it did run.
        except Exception as error:
            raise DetectorError(f"{self._file} fails ({first_words(error)}): {self._what_to_do}") from error
        return [self._detections([each[place] for each in made], *sizes[place]) for place in range(len(images))]

    def _prepared(self, image: Picture) -> NDArray[np.float32]:
        """Return a picture as the network takes it, resized whatever its shape, as where these are evaluated."""
        small = Image.fromarray(image).resize((self._graph.width, self._graph.height), Image.Resampling.BILINEAR)
        pixels = np.asarray(small, np.float32) / np.float32(255)
        return ((pixels - self._mean) / self._std).transpose(2, 0, 1)

    def _detections(self, made: list[NDArray[Any]], width: int, height: int) -> Detections:
        """Return what comes out of one picture as boxes in its pixels."""
        if self._graph.outputs == FINISHED:
            labels, boxes, scores = made
        else:
            labels, boxes, scores = best_of_queries(*made)
            boxes = boxes * np.array((width, height, width, height), np.float32)
        sure = np.flatnonzero(scores >= self._min_score)
        sure = sure[np.argsort(-scores[sure], kind="stable")]
        labels, boxes, scores = labels[sure], boxes[sure].astype(np.float32), scores[sure].astype(np.float32)
        if (wrong := labels[(labels < 0) | (labels >= len(self._class_ids))]).size:
            raise DetectorError(f"{self._file} finds the class {wrong[0]}, and COCO has {CLASSES}: {self._what_to_do}")
        class_ids, boxes = self._class_ids[labels], boxes.clip(0, (width, height, width, height))
        kept = np.flatnonzero((class_ids >= 0) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        return Detections(boxes[kept], scores[kept], class_ids[kept].astype(np.int16))

    def _classes(self) -> int:
        """Return how many classes there are; only a run, on black pictures, shows what a stranger's file puts out."""
        graph, count = self._graph, self._together
        black = np.zeros((count, 3, graph.height, graph.width), np.float32)
        try:
            made = graph.run(black, np.full((count, 2), (graph.width, graph.height), np.int64))
        # ONNX Runtime's exceptions have no base but Exception.
        except Exception as error:
            if count > 1:  # what is written of the number of pictures is not always so
                self._together = 1
                return self._classes()
            raise WeightsError(f"{self._file} does not run ({first_words(error)}): {self._what_to_do}") from error
        is_finished = graph.outputs == FINISHED
        labels, boxes, scores = made if is_finished else (made[1][..., 0], *made)
        fits = labels.ndim == 2 and boxes.shape == (count, labels.shape[1], 4) and labels.shape == scores.shape[:2]
        fits = fits and np.isfinite(boxes).all() and np.isfinite(scores).all()
        if not fits or (is_finished and (labels.dtype.kind != "i" or (np.abs(scores - 0.5) > 0.5).any())):
            shapes = ", ".join(f"{name} {each.shape}" for name, each in zip(graph.outputs, made, strict=True))
            raise WeightsError(f"{self._file} puts out {shapes}, no boxes and classes: {self._what_to_do}")
        classes = CLASSES if is_finished else scores.shape[2]
        if classes not in (CLASSES, len(PLACE_OF_ID)):
            known = f"COCO's {CLASSES}, or its {len(PLACE_OF_ID)} ids, are known alone"
            raise WeightsError(f"{self._file} has {classes} classes, and {known}: {self._what_to_do}")
        return classes


def best_of_queries(
    boxes_q4: NDArray[Any], logits_qc: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return labels (Q,), boxes (Q, 4) as corners, and scores (Q,) of the surest Q pairs of a query and a class.

    No box suppresses another. Boxes come as middle x and y, width, height; all are fractions of the picture.
    """
    scores = (1 / (1 + np.exp(-logits_qc.astype(np.float64).clip(-80, 80)))).astype(np.float32).reshape(-1)
    best = np.argsort(-scores, kind="stable")[: len(boxes_q4)]
    queries, labels = np.divmod(best, logits_qc.shape[1])
    middles, halves = boxes_q4[queries, :2], boxes_q4[queries, 2:] / 2
    return labels, np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32), scores[best]


def _read_graph(weights: Weights, own: OnnxDetector, what_to_do: str) -> Graph:
    session, file = open_session(weights.path, what_to_do), weights.path.name
    inputs, outputs = ({each.name: each for each in values} for values in (session.get_inputs(), session.get_outputs()))
    shown = [[f"{each.name} {each.type} {each.shape}" for each in values.values()] for values in (inputs, outputs)]
    there = f"{', '.join(shown[0]) or 'nothing'} → {', '.join(shown[1])}"
    sizes = inputs.pop(SIZES, None)
    found = [kind for kind in ([FINISHED] if sizes else [RF_DETR, TRANSFORMERS]) if set(kind) <= outputs.keys()]
    if len(inputs) != 1 or len(found) != 1:
        raise WeightsError(f"{file} is {there}, and known are {KNOWN}: {what_to_do}")
    (only,) = inputs.values()
    batch, colours, *sides = only.shape if len(only.shape) == 4 else (0, 0, 0, 0)
    is_picture = only.type == "tensor(float)" and (colours == 3 or isinstance(colours, str | None))
    if not is_picture or (isinstance(batch, int) and batch != 1) or (sizes and sizes.type != "tensor(int64)"):
        raise WeightsError(f"{file} is {there}, and should take float (1 or open, 3, height, width): {what_to_do}")
    if any(isinstance(side, int) and own.side not in (None, side) for side in sides):
        raise ConfigError(f"{file} takes pictures of {sides[1]} x {sides[0]}, and `side` is {own.side}: leave it out.")
    height, width = (side if isinstance(side, int) else own.side or 0 for side in sides)
    if max(height, width) > LARGEST_SIDE:
        raise WeightsError(f"{file} takes pictures of {width} x {height}, over {LARGEST_SIDE} a side: {what_to_do}")
    if min(height, width) <= 0:
        raise ConfigError(f"{file} leaves the size of its pictures open: set `side` beside `weights`, e.g. 640.")
    return Graph(session, only.name, sizes is not None, not isinstance(batch, int), height, width, found[0])


def _normalisation(outputs: tuple[str, ...], own: OnnxDetector, classes: int, what: str) -> tuple[Colours, Colours]:
    """Return mean and deviation: RF-DETR's export takes ImageNet's, D-FINE and RT-DETR none, transformers' included."""
    if own.mean is not None and own.std is not None:
        return own.mean, own.std
    if outputs == TRANSFORMERS and classes != CLASSES:  # not of these two, and others are about that take either
        mean, std = map(list, IMAGENET)
        raise ConfigError(
            f"{what} does not tell how its pictures are normalised: set mean = {mean} and std = {std}, or mean = "
            "[0, 0, 0] and std = [1, 1, 1], as its preprocessor_config.json says."
        )
    return IMAGENET if outputs == RF_DETR else AS_THEY_ARE
