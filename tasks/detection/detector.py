"""What every detector is, and which there are.

In: a name, a speed and a store of weights. Out: a `Detector`, ready to look at pictures. Does not know videos.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import DetectorError
from tasks.contracts.objects import DetectorRecord
from tasks.weights.store import WeightsStore

Speed = Literal["normal", "fast", "rapid"]
SPEEDS: tuple[Speed, ...] = get_args(Speed)
AUTO, POINTREND, POINTREND_RESNET101, YOLOX_NANO = "auto", "pointrend", "pointrend-resnet101", "yolox-nano"
DETECTORS = (AUTO, POINTREND, POINTREND_RESNET101, YOLOX_NANO)
CUDA_DRIVERS = ("libcuda.so.1", "nvcuda.dll")

Picture = NDArray[np.uint8]  # RGB (H, W, 3)


@dataclass(frozen=True)
class Detections:
    """What was found in one picture, best first: N things."""

    boxes: NDArray[np.float32]  # (N, 4): x_min, y_min, x_max, y_max in pixels of the picture
    scores: NDArray[np.float32]  # (N,) in [0, 1]
    class_ids: NDArray[np.int16]  # (N,) places in the detector's class names
    masks: NDArray[np.bool_] | None = None  # (N, H, W), of a detector that gives them

    def __len__(self) -> int:
        """Return N."""
        return len(self.scores)

    def __getitem__(self, kept: NDArray[Any]) -> "Detections":
        """Return those that a boolean or integer index keeps."""
        masks = None if self.masks is None else self.masks[kept]
        return Detections(self.boxes[kept], self.scores[kept], self.class_ids[kept], masks)


class Detector(Protocol):
    """Something that finds things in pictures. One call at a time."""

    @property
    def record(self) -> DetectorRecord:
        """What it is, for manifests."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class id."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures that are best given at once."""
        ...

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in each picture, RGB uint8 (H, W, 3), in their order."""
        ...


def chosen_detector(name: str) -> str:
    """Return the name that `name` means on this machine: `auto` is PointRend with a GPU, YOLOX without.

    Raises:
        DetectorError: there is no detector of that name.
    """
    if name not in DETECTORS:
        raise DetectorError(f"No detector {name!r}; the choices are {', '.join(DETECTORS)}.")
    if name != AUTO:
        return name
    return POINTREND if has_gpu() else YOLOX_NANO


def open_detector(name: str, *, speed: str, weights: WeightsStore, min_score: float | None = None) -> Detector:
    """Open a detector by name; `min_score` is its bound on scores, None for its own.

    Raises:
        DetectorError: the name or the speed is none that there is, or does not go with the other.
        MissingWeightsError: its file of weights is not there.
        WeightsError: its file of weights is not what it should be.
    """
    chosen = chosen_detector(name)
    if speed not in SPEEDS:
        raise DetectorError(f"No speed {speed!r}; the choices are {', '.join(SPEEDS)}.")
    if chosen == YOLOX_NANO:
        from tasks.detection.yolox import YoloxDetector  # noqa: PLC0415 - whoever takes PointRend does not pay for it

        return YoloxDetector.open(speed=speed, weights=weights, min_score=min_score)
    from tasks.detection.pointrend import PointRendDetector  # noqa: PLC0415 - torch takes seconds; YOLOX needs none of it

    network: Literal["resnet50", "resnet101"] = "resnet101" if chosen == POINTREND_RESNET101 else "resnet50"
    return PointRendDetector.open(network, speed=speed, weights=weights, min_score=min_score)


def has_gpu() -> bool:
    """Say whether PyTorch finds a GPU; it takes seconds to import, so it is asked only where NVIDIA's driver is."""
    if not any(_is_library(name) for name in CUDA_DRIVERS):
        return False
    import torch  # noqa: PLC0415 - see above; PointRend, which is then taken, needs it anyway

    return torch.cuda.is_available()


def _is_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
