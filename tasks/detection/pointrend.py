"""PixelLib's PointRend: boxes, classes and masks, in our own loop.

In: pictures. Out: `Detections` with masks. Does not know videos.

Side by side with PixelLib's `segmentImage` the boxes, classes and scores are the same. Its speeds are: the longer side
of the network's input is at most 1,333, 667 or 333 pixels. (It means to lower the shorter side, too, but sets a key
that nothing reads; what it does, not what it means, is what its users know.)
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import DetectorError
from tasks.contracts.objects import DetectorRecord
from tasks.detection.detector import Detections, Picture
from tasks.detection.pointrend_checkpoint import fill, read_checkpoint
from tasks.detection.pointrend_network import Backbone, build_network, class_names, prepare
from tasks.weights.store import Weights, WeightsStore, find_weights

SHORTER_SIDE = 800  # pixels of the network's input, unless the longer side would exceed its bound
LONGER_SIDE = {"normal": 1333, "fast": 667, "rapid": 333}
MIN_SCORE = {"normal": 0.5, "fast": 0.3, "rapid": 0.2}  # PixelLib's own for each speed
BATCH = {"cpu": 1, "cuda": 8}  # batches gain nothing on a CPU


class PointRendDetector:
    """PointRend, ready to look at pictures."""

    def __init__(self, backbone: Backbone, *, speed: str, weights: Weights, min_score: float | None = None) -> None:
        """Build the network and fill it.

        Raises:
            WeightsError: the file is none of this network's.
        """
        arrays = read_checkpoint(weights.path)  # what is wrong with the file is said before PixelLib is imported
        device = "cuda" if torch.cuda.is_available() else "cpu"
        bound = MIN_SCORE[speed] if min_score is None else min_score
        self._network = build_network(backbone, device, bound)
        fill(self._network, arrays, weights.path)
        prepare(self._network)
        self._longer_side = LONGER_SIDE[speed]
        self._device = device
        self.class_names = class_names()
        self.batch_size = BATCH[device]
        self.record = DetectorRecord(
            name=f"pointrend-{backbone}", weights=weights.record, device=device, speed=speed, has_masks=True
        )

    @classmethod
    def open(
        cls,
        network: Literal["resnet50", "resnet101"],
        *,
        speed: str,
        weights: WeightsStore,
        min_score: float | None = None,
    ) -> "PointRendDetector":
        """Look for the checkpoint, and build the network upon it.

        Raises:
            MissingWeightsError: the checkpoint is not here.
            WeightsError: it is not what it should be.
        """
        return cls(network, speed=speed, weights=find_weights(f"pointrend-{network}", weights), min_score=min_score)

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in each picture, RGB uint8 (H, W, 3), in their order; boxes in pixels, masks (N, H, W).

        Raises:
            DetectorError: the GPU's memory does not suffice for a single picture.
        """
        try:
            return self._detect(images)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(images) == 1:
                raise DetectorError(
                    f"The GPU's memory does not suffice for a picture of {images[0].shape[1]}x{images[0].shape[0]}: "
                    "take `--speed fast` or `rapid`, or free the GPU of others."
                ) from error
            self.batch_size = max(1, len(images) // 2)
            half = len(images) // 2
            return [*self.detect(images[:half]), *self.detect(images[half:])]

    @torch.inference_mode()
    def _detect(self, images: Sequence[Picture]) -> list[Detections]:
        inputs = [self._input(image) for image in images]
        with self._precision():
            batch = self._network.preprocess_image(inputs)
            tensor = batch.tensor.contiguous(memory_format=torch.channels_last)
            features = self._network.backbone(tensor)
            proposals, _ = self._network.proposal_generator(batch, features, None)
            instances, _ = self._network.roi_heads(batch, features, proposals, None)
            found = self._network._postprocess(instances, inputs, batch.image_sizes)
        return [_detections(each["instances"], image) for each, image in zip(found, images, strict=True)]

    def _input(self, image: Picture) -> dict[str, Any]:
        """Return what the network takes: BGR float32 (3, h, w), scaled as PixelLib does, and the picture's own size."""
        height, width = image.shape[:2]
        scaled = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1])).resize(
            input_size(width, height, self._longer_side), Image.Resampling.BILINEAR
        )
        tensor = torch.from_numpy(np.array(scaled, np.float32).transpose(2, 0, 1))
        return {"image": tensor, "height": height, "width": width}

    def _precision(self) -> AbstractContextManager[Any]:
        """Let a GPU compute in half precision where that is safe; a CPU gains nothing by it."""
        return torch.autocast("cuda", torch.float16) if self._device == "cuda" else nullcontext()


def input_size(width: int, height: int, longer_side: int) -> tuple[int, int]:
    """Return the width and height of the network's input (detectron2's `ResizeShortestEdge`)."""
    scale = SHORTER_SIDE / min(width, height)
    scaled_width, scaled_height = (SHORTER_SIDE, scale * height) if width <= height else (scale * width, SHORTER_SIDE)
    if max(scaled_width, scaled_height) > longer_side:
        shrink = longer_side / max(scaled_width, scaled_height)
        scaled_width, scaled_height = scaled_width * shrink, scaled_height * shrink
    return int(scaled_width + 0.5), int(scaled_height + 0.5)


def _detections(instances: Any, image: Picture) -> Detections:  # noqa: ANN401 - PixelLib has no types
    """Return the network's answer as arrays; an answer without masks has none of them."""
    boxes: NDArray[np.float32] = instances.pred_boxes.tensor.float().cpu().numpy()
    masks: NDArray[np.bool_] = np.zeros((len(boxes), *image.shape[:2]), np.bool_)
    if len(boxes):
        masks = instances.pred_masks.cpu().numpy().astype(np.bool_)
    return Detections(
        boxes=boxes,
        scores=instances.scores.float().cpu().numpy(),
        class_ids=instances.pred_classes.cpu().numpy().astype(np.int16),
        masks=masks,
    )
