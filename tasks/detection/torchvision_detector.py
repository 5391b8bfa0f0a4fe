"""Torchvision's Mask R-CNN, FCOS and SSDLite: weights read as tensors alone, and masks pasted a few at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from tasks.contracts.errors import DetectorError, WeightsError
from tasks.contracts.media import DetectorRecord
from tasks.detection.boxes import Detections, Picture
from tasks.detection.config import COCO_CLASSES, NO_CLASS, PLACE_OF_ID
from tasks.detection.pointrend import BATCH, LONGER_SIDE, BySize
from tasks.detection.pointrend_network import NoInitialWeights
from tasks.weights.store import Weights, WeightsStore, find_weights
from tasks.weights.untrusted import fill_module

SURE = 0.5  # of a mask: pixels above are the thing's
PASTED_PIXELS = 1 << 26  # of masks, as floats, at once: 256 MB


@dataclass(frozen=True)
class _Model:
    """One of torchvision's models."""

    build: Callable[..., nn.Module]
    score_option: str  # of `build`: below it nothing is put out
    min_score: float
    has_speeds: bool = True  # it takes a picture of any size; else it makes one size of all
    has_masks: bool = False


MODELS = {
    "maskrcnn": _Model(detection.maskrcnn_resnet50_fpn_v2, "box_score_thresh", 0.5, has_masks=True),
    "fcos": _Model(detection.fcos_resnet50_fpn, "score_thresh", 0.5),
    "ssdlite": _Model(detection.ssdlite320_mobilenet_v3_large, "score_thresh", 0.3, has_speeds=False),
}


class TorchvisionDetector(BySize):
    """One of torchvision's detectors, ready to look at pictures."""

    class_names = COCO_CLASSES

    def __init__(self, name: str, *, speed: str, weights: Weights, min_score: float | None = None) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = _network(MODELS[name], speed, weights, min_score).to(self._device)
        self._class_ids = torch.tensor(PLACE_OF_ID, device=self._device)
        self.batch_size = BATCH[self._device]
        self.record = DetectorRecord(
            name=name,
            weights=weights.record,
            device=self._device,
            speed=speed,
            has_masks=MODELS[name].has_masks,
        )

    @classmethod
    def open(
        cls, name: str, *, speed: str, weights: WeightsStore, min_score: float | None = None
    ) -> "TorchvisionDetector":
        """Look for the weights of one of `MODELS`, and build the network upon them.

        Raises:
            MissingWeightsError: the weights are not here.
            WeightsError: they are not the model's, or anything but tensors.
            DetectorError: the model has one speed, and another was asked for.
        """
        if speed != "normal" and not MODELS[name].has_speeds:
            raise DetectorError(
                f"{name} has one speed: it makes pictures of 320 x 320 pixels of all, and speed {speed!r} would change "
                "nothing. Leave the speed out, or take another detector."
            )
        return cls(name, speed=speed, weights=find_weights(name, weights), min_score=min_score)

    @torch.inference_mode()
    def _look(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in pictures of one size."""
        pixels_nhwc = torch.from_numpy(np.stack(images)).to(self._device)
        pictures = list(pixels_nhwc.permute(0, 3, 1, 2).float().div_(255))
        height, width = images[0].shape[:2]
        return [self._detections(each, height, width) for each in self._network(pictures)]

    def _detections(self, found: dict[str, Tensor], height: int, width: int) -> Detections:
        """Return the network's answer as arrays; COCO's ids that no class has are left out."""
        class_ids = self._class_ids[found["labels"]]
        boxes, scores = found["boxes"], found["scores"]
        kept = torch.nonzero((class_ids != NO_CLASS) & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)).flatten()
        masks = _pasted(found["masks"][kept], boxes[kept], height, width) if "masks" in found else None
        return Detections(
            boxes=boxes[kept].cpu().numpy(),
            scores=scores[kept].cpu().numpy(),
            class_ids=class_ids[kept].cpu().numpy().astype(np.int16),
            masks=masks,
        )


def _network(model: _Model, speed: str, weights: Weights, min_score: float | None) -> nn.Module:
    """Build a model, and fill it with its weights."""
    longest = {"max_size": LONGER_SIDE[speed]} if model.has_speeds else {}
    least = {model.score_option: model.min_score if min_score is None else min_score}
    with NoInitialWeights():  # all come from the file
        network: Any = model.build(weights=None, weights_backbone=None, **longest, **least).eval()
    try:
        fill_module(network, weights.path, f"torchvision's {model.build.__name__}")
    except WeightsError as error:
        raise WeightsError(f"{error} Remove it, and `reelsift weights fetch {weights.record.name}`.") from error
    network.transform.postprocess = _resized
    return network.requires_grad_(False)


def _resized(
    found: list[dict[str, Tensor]], inner: list[tuple[int, int]], outer: list[tuple[int, int]]
) -> list[dict[str, Tensor]]:
    """Return boxes in pixels of the pictures; of masks, torchvision's own would paste all at once, as floats.

    A hundred of them take 830 MB in a picture of 1920 x 1080.
    """
    return [
        each | {"boxes": resize_boxes(each["boxes"], list(inner_size), list(outer_size))}
        for each, inner_size, outer_size in zip(found, inner, outer, strict=True)
    ]


def _pasted(masks_r1ss: Tensor, boxes: Tensor, height: int, width: int) -> NDArray[np.bool_]:
    """Return masks of boxes, probabilities (R, 1, S, S), as pixels of the picture: (R, H, W)."""
    made = np.zeros((len(boxes), height, width), np.bool_)
    step = max(1, PASTED_PIXELS // (height * width))
    for start in range(0, len(boxes), step):
        part = slice(start, start + step)
        pasted = paste_masks_in_image(masks_r1ss[part], boxes[part], (height, width))
        made[part] = (pasted[:, 0] > SURE).cpu().numpy()
    return made
