"""What every detector is, and which there are."""

import ctypes
from typing import Literal

from tasks.contracts.errors import DetectorError
from tasks.detection.boxes import Detector
from tasks.detection.config import AUTO, DETECTORS, POINTREND, POINTREND_RESNET101, SPEEDS, YOLOX_NANO
from tasks.weights.store import WeightsStore

CUDA_DRIVERS = ("libcuda.so.1", "nvcuda.dll")


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
        from tasks.detection.yolox import YoloxDetector  # noqa: PLC0415 - PointRend's users do not pay for it

        return YoloxDetector.open(speed=speed, weights=weights, min_score=min_score)
    from tasks.detection.pointrend import PointRendDetector  # noqa: PLC0415 - torch takes seconds; YOLOX needs none of it

    network: Literal["resnet50", "resnet101"] = "resnet101" if chosen == POINTREND_RESNET101 else "resnet50"
    return PointRendDetector.open(network, speed=speed, weights=weights, min_score=min_score)


def has_gpu() -> bool:
    """Say whether PyTorch finds a GPU; it takes seconds to import, so it is asked only where NVIDIA's driver is."""
    if not has_driver():
        return False
    import torch  # noqa: PLC0415 - see above; PointRend, which is then taken, needs it anyway

    return torch.cuda.is_available()


def has_driver() -> bool:
    """Say whether NVIDIA's driver is on this machine."""
    return any(_is_library(name) for name in CUDA_DRIVERS)


def _is_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
