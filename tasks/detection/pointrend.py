"""PixelLib's PointRend: boxes, classes and masks, in our own loop.

In: pictures, RGB uint8 (H, W, 3). Out: `Detections` with masks. Does not know videos.

Boxes, classes and scores are those of PixelLib's `segmentImage`. Its speeds are: the longer side of the network's input
is at most 1,333, 667 or 333 pixels. (It means to lower the shorter side, too, but sets a key that nothing reads: what
it does, not what it means, is what its users know. From 5 : 3 on, as most videos are, the two are the same.)
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.contracts.errors import DetectorError
from tasks.contracts.objects import DetectorRecord
from tasks.detection.classes import COCO_CLASSES
from tasks.detection.detector import Detections, Picture
from tasks.detection.pointrend_checkpoint import fill, read_checkpoint
from tasks.detection.pointrend_faster import make_faster
from tasks.detection.pointrend_input import input_size, padded, resized
from tasks.detection.pointrend_masks import add_masks
from tasks.detection.pointrend_network import Backbone, build_network
from tasks.weights.store import Weights, WeightsStore, find_weights

MIN_SCORE = {"normal": 0.5, "fast": 0.3, "rapid": 0.2}  # PixelLib's own for each speed
BATCH = {"cpu": 1, "cuda": 8}  # batches gain nothing on a CPU


class PointRendDetector:
    """PointRend, ready to look at pictures."""

    class_names = COCO_CLASSES

    def __init__(self, backbone: Backbone, *, speed: str, weights: Weights, min_score: float | None = None) -> None:
        arrays = read_checkpoint(weights.path)  # what is wrong with the file is said before PixelLib is imported
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        bound = MIN_SCORE[speed] if min_score is None else min_score
        self._network = build_network(backbone, self._device, bound)
        fill(self._network, arrays, weights.path)
        make_faster(self._network, self._device)
        self._speed = speed
        self._threads = ThreadPoolExecutor(min(BATCH["cuda"], os.cpu_count() or 1), thread_name_prefix="pointrend")
        self.batch_size = BATCH[self._device]
        self.record = DetectorRecord(
            name=f"pointrend-{backbone}", weights=weights.record, device=self._device, speed=speed, has_masks=True
        )

    @classmethod
    def open(
        cls, network: Backbone, *, speed: str, weights: WeightsStore, min_score: float | None = None
    ) -> "PointRendDetector":
        """Look for the checkpoint, and build the network upon it.

        Raises:
            MissingWeightsError: the checkpoint is not here.
            WeightsError: it is not what it should be.
        """
        return cls(network, speed=speed, weights=find_weights(f"pointrend-{network}", weights), min_score=min_score)

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in each picture, in their order; boxes in pixels, masks (N, H, W).

        Pictures of one size go through the network together.

        Raises:
            DetectorError: the GPU's memory does not suffice for a single picture.
        """
        made: dict[int, Detections] = {}
        for shape in dict.fromkeys(image.shape for image in images):
            places = [place for place, image in enumerate(images) if image.shape == shape]
            found, at_once = in_halves(self._look, [images[place] for place in places])
            if at_once < len(places):
                self.batch_size = min(self.batch_size, at_once)
            made.update(zip(places, found, strict=True))
        return [made[place] for place in range(len(images))]

    @torch.inference_mode()
    def _look(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in pictures of one size."""
        # PixelLib's package costs a second, and is there by now.
        from pixellib.torchbackend.instance.structures.image_list import ImageList  # noqa: PLC0415

        height, width = images[0].shape[:2]
        inner = input_size(width, height, self._speed)
        with self._precision():
            batch = ImageList(self._input(images, inner), [(inner[1], inner[0])] * len(images))
            features = self._network.backbone(batch.tensor)
            proposals, _ = self._network.proposal_generator(batch, features, None)
            # Places in pixels need more digits than half precision has, and are read from the maps in their precision.
            features = {name: each.float() for name, each in features.items()}
            instances = self._network.roi_heads._forward_box(features, proposals)
            add_masks(self._network.roi_heads.mask_head, features, instances)
        outer = [{"height": height, "width": width}] * len(images)
        found = self._network._postprocess(instances, outer, batch.image_sizes)
        return [_detections(each["instances"], height, width) for each in found]

    def _input(self, images: Sequence[Picture], size: tuple[int, int]) -> Tensor:
        """Return what the network takes: float32 (pictures, 3, h, w), channels last."""
        small = np.stack(list(self._threads.map(lambda image: resized(image, size), images)))
        pixels_nhwc = torch.from_numpy(small)
        if self._device == "cuda":
            pixels_nhwc = pixels_nhwc.pin_memory().to(self._device, non_blocking=True)
        network = self._network
        return padded(pixels_nhwc, network.pixel_mean, network.pixel_std, network.backbone.size_divisibility)

    def _precision(self) -> AbstractContextManager[Any]:
        """Let a GPU compute in half precision where that is safe; a CPU is to answer as PixelLib does."""
        return torch.autocast("cuda", torch.float16) if self._device == "cuda" else nullcontext()


def in_halves(
    look: Callable[[Sequence[Picture]], list[Detections]], images: Sequence[Picture]
) -> tuple[list[Detections], int]:
    """Return what is in pictures, and how many could be looked at together: as many as the GPU's memory holds.

    Raises:
        DetectorError: it does not hold one.
    """
    try:
        return look(images), len(images)
    except torch.OutOfMemoryError as error:
        if len(images) == 1:
            height, width = images[0].shape[:2]
            raise DetectorError(
                f"The GPU has not the memory for a picture of {width} x {height}: take `--speed fast` or `rapid`, "
                "end what else runs on it, or take `--detector yolox-nano`."
            ) from error
    # Outside of the handler: its error holds on to all that was computed until then.
    torch.cuda.empty_cache()
    half = len(images) // 2
    first, at_once = in_halves(look, images[:half])
    rest, at_once_then = in_halves(look, images[half:])
    return first + rest, min(at_once, at_once_then)


def _detections(instances: Any, height: int, width: int) -> Detections:  # noqa: ANN401 - PixelLib has no types
    """Return the network's answer as arrays."""
    masks: NDArray[np.bool_] = instances.pred_masks.cpu().numpy().astype(np.bool_, copy=False)
    return Detections(
        boxes=instances.pred_boxes.tensor.float().cpu().numpy(),
        scores=instances.scores.float().cpu().numpy(),
        class_ids=instances.pred_classes.cpu().numpy().astype(np.int16),
        masks=masks.reshape(-1, height, width),
    )
