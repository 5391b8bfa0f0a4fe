"""PixelLib's PointRend in our own loop: preprocessing, boxes, classes and refined masks."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tasks.contracts.errors import DetectorError
from tasks.contracts.media import DetectorRecord
from tasks.detection.boxes import Detections, Picture
from tasks.detection.config import COCO_CLASSES
from tasks.detection.pointrend_network import (
    Backbone,
    NoInitialWeights,
    build_network,
    fill,
    make_faster,
    read_checkpoint,
)
from tasks.weights.store import Weights, WeightsStore, find_weights

SHORTER_SIDE = 800  # pixels of the network's input, unless the longer side would go beyond its bound
LONGER_SIDE = {"normal": 1333, "fast": 667, "rapid": 333}  # at most, at each speed


def input_size(width: int, height: int, speed: str) -> tuple[int, int]:
    """Return the width and height that a picture has in the network (detectron2's `ResizeShortestEdge`)."""
    scale = SHORTER_SIDE / min(width, height)
    inner_width, inner_height = (scale * width, SHORTER_SIDE) if height < width else (SHORTER_SIDE, scale * height)
    longer = max(inner_width, inner_height)
    if longer > LONGER_SIDE[speed]:
        shrink = LONGER_SIDE[speed] / longer
        inner_width, inner_height = inner_width * shrink, inner_height * shrink
    # Detectron2 rounds a side below half a pixel to none, on which Pillow then fails.
    return max(1, int(inner_width + 0.5)), max(1, int(inner_height + 0.5))


def resized(image: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture of the size (width, height), by the very resampling that PixelLib uses."""
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def padded(pixels_nhwc: Tensor, mean_c11: Tensor, std_c11: Tensor, step: int) -> Tensor:
    """Return what the network takes: float32 (N, 3, H, W) in BGR, normalised, channels last.

    Sides grow to multiples of `step`, by zeros at the right and bottom.
    """
    bgr_nchw = pixels_nhwc.permute(0, 3, 1, 2).flip(1).float()
    normal_nchw = (bgr_nchw - mean_c11) / std_c11
    height, width = normal_nchw.shape[-2:]
    margins = (0, -width % step, 0, -height % step)
    return functional.pad(normal_nchw, margins).contiguous(memory_format=torch.channels_last)


def add_masks(head: Any, features: Mapping[str, Tensor], instances: Sequence[Any]) -> None:  # noqa: ANN401 - untyped
    """Give each of the instances of each picture its `pred_masks`, float (R, 1, S, S) in [0, 1].

    Args:
        head: PixelLib's `PointRendMaskHead`.
        features: maps (pictures, channels, height, width), among them those that the head takes.
        instances: PixelLib's `Instances` of each picture, with `pred_boxes` and `pred_classes`.
    """
    boxes = [each.pred_boxes for each in instances]
    classes_r = torch.cat([each.pred_classes for each in instances])
    masks_r1ss = _refined(head, features, boxes, classes_r).sigmoid()
    for each, masks in zip(instances, masks_r1ss.split([len(each) for each in instances]), strict=True):
        each.pred_masks = masks


def _refined(head: Any, features: Mapping[str, Tensor], boxes: Sequence[Any], classes_r: Tensor) -> Tensor:  # noqa: ANN401
    """Return logits (R, 1, S, S): a coarse grid, doubled a few times with its least certain points looked at again."""
    # PixelLib's package costs seconds, and is there by now.
    from pixellib.torchbackend.instance.point_rend import point_features as points  # noqa: PLC0415

    side = head.mask_point_subdivision_init_resolution
    if len(classes_r) == 0:
        return torch.zeros(0, 1, side, side, device=classes_r.device)
    coarse_rcss = head.coarse_head(head._roi_pooler(features, boxes))
    places_rp2 = points.generate_regular_grid_point_coords(len(classes_r), side, classes_r.device)
    logits_r1ss = _logits(head, features, boxes, classes_r, coarse_rcss, places_rp2).reshape(-1, 1, side, side)
    for _ in range(head.mask_point_subdivision_steps):
        logits_r1ss = functional.interpolate(logits_r1ss, scale_factor=2, mode="bilinear", align_corners=False)
        chosen_rp, places_rp2 = points.get_uncertain_point_coords_on_grid(
            -logits_r1ss.abs(), head.mask_point_subdivision_num_points
        )
        logits_r1p = _logits(head, features, boxes, classes_r, coarse_rcss, places_rp2)
        logits_r1ss = logits_r1ss.flatten(2).scatter_(2, chosen_rp[:, None], logits_r1p).view_as(logits_r1ss)
    return logits_r1ss


def _logits(
    head: Any,  # noqa: ANN401 - PixelLib has no types
    features: Mapping[str, Tensor],
    boxes: Sequence[Any],
    classes_r: Tensor,
    coarse_rcss: Tensor,
    places_rp2: Tensor,
) -> Tensor:
    """Return logits (R, 1, P) of each box's own class at places of the box, in [0, 1]."""
    fine = head._point_pooler(features, boxes, places_rp2)
    logits_rcp = head._get_point_logits(fine, places_rp2, coarse_rcss)
    return logits_rcp[torch.arange(len(classes_r), device=classes_r.device), classes_r][:, None].float()


MIN_SCORE = {"normal": 0.5, "fast": 0.3, "rapid": 0.2}  # PixelLib's own for each speed
BATCH = {"cpu": 1, "cuda": 8}  # batches gain nothing on a CPU


class BySize:
    """A detector whose network sees pictures of one size together, as many as the GPU's memory holds."""

    batch_size: int

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in each picture, in their order; boxes in pixels, masks (N, H, W) where the model has them.

        Raises:
            DetectorError: the GPU's memory does not suffice for a single picture.
        """
        made: dict[int, Detections] = {}
        most = BATCH["cuda"]
        for shape in dict.fromkeys(image.shape for image in images):
            places = [place for place, image in enumerate(images) if image.shape == shape]
            found, at_once = in_halves(self._look, [images[place] for place in places])
            most = min(most, at_once) if at_once < len(places) else most
            made.update(zip(places, found, strict=True))
        self.batch_size = min(self.batch_size, most)
        return [made[place] for place in range(len(images))]

    def _look(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in pictures of one size."""
        raise NotImplementedError


class PointRendDetector(BySize):
    """PointRend, ready to look at pictures."""

    class_names = COCO_CLASSES

    def __init__(self, backbone: Backbone, *, speed: str, weights: Weights, min_score: float | None = None) -> None:
        arrays = read_checkpoint(weights.path)  # what is wrong with the file is said before PixelLib is imported
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        bound = MIN_SCORE[speed] if min_score is None else min_score
        with NoInitialWeights():  # all come from the checkpoint
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
