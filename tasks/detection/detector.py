"""Which detector is opened: by its name, or, where that is `auto`, the best that is here and suits the machine."""

import ctypes
from typing import Literal

from tasks.contracts.errors import DetectorError
from tasks.contracts.files import format_bytes
from tasks.contracts.model import FrozenModel
from tasks.detection.boxes import Detector
from tasks.detection.config import AUTO, DETECTORS, POINTREND, SHIPPED, SPEEDS, YOLOX_NANO, ShippedDetector
from tasks.weights.config import OnnxDetector
from tasks.weights.store import WeightsStore, configured_weights, find_weights

CUDA_DRIVERS = ("libcuda.so.1", "nvcuda.dll")
CPU_GFLOPS = 30.0  # for a frame, up to which `auto` takes a detector that has to do without a GPU
DFINE_SIDE = 640  # pixels that the exports of D-FINE were trained on, where they leave it open


class DetectorChoice(FrozenModel):
    """The detector that looks where none is named."""

    detector: str
    why: str  # in one line, the detector's name first
    better: str | None = None  # which would find more on this machine, what it costs, and how to get it


def choose_detector(weights: WeightsStore) -> DetectorChoice:
    """Choose the detector with the highest published AP of boxes, of those that are here and suit the machine.

    One suits that runs on a GPU, or else needs at most `CPU_GFLOPS` for a frame. On a GPU, those with masks go first.
    Where none is here, it is the one that the error then says how to fetch.
    """
    ranks = {name: (shipped.has_masks, shipped.box_ap) for name, shipped in SHIPPED.items() if _suits(shipped)}
    here = [name for name in ranks if SHIPPED[name].weights in weights.table and weights.path(SHIPPED[name].weights)]
    if not here:
        chosen = POINTREND if has_gpu() else YOLOX_NANO
        return DetectorChoice(detector=chosen, why=f"{chosen}: the weights of no detector for this machine are here")
    chosen = max(here, key=ranks.__getitem__)
    where = "a GPU" if has_gpu() else "a CPU"
    why = f"{chosen}: of those that are here and suit {where}, the best (box AP {SHIPPED[chosen].box_ap:g} on COCO)"
    best = max(ranks, key=ranks.__getitem__)
    better = None if ranks[best] <= ranks[chosen] else _offer(best, SHIPPED[chosen], weights)
    return DetectorChoice(detector=chosen, why=why, better=better)


def _offer(name: str, chosen: ShippedDetector, weights: WeightsStore) -> str:
    """Say what a better detector costs, and how to get it."""
    better, entry = SHIPPED[name], weights.table.get(SHIPPED[name].weights)
    size = f"{format_bytes(entry.size_bytes)} with " if entry and entry.size_bytes else ""
    work = f", {better.gflops / chosen.gflops:.0f} x the work" if better.gflops and chosen.gflops else ""
    masks = ", with masks" if better.has_masks and not chosen.has_masks else ""
    return (
        f"{name} would find more (box AP {better.box_ap:g}{masks}{work}): {size}`reelsift weights fetch "
        f"{better.weights}`, and `auto` takes it."
    )


def _suits(shipped: ShippedDetector) -> bool:
    """Say whether `auto` may take a detector on this machine."""
    is_light = shipped.gflops is not None and shipped.gflops <= CPU_GFLOPS
    return shipped.is_for_auto and (is_light or (has_gpu() and (shipped.is_of_torch or onnx_runs_on_gpu())))


def chosen_detector(name: str, weights: WeightsStore) -> str:
    """Return the name that `name` means on this machine.

    Raises:
        DetectorError: there is no detector of that name.
    """
    if name not in (known := (*DETECTORS, *weights.detectors)):
        raise DetectorError(f"No detector {name!r}; the choices are {', '.join(known)}.")
    return choose_detector(weights).detector if name == AUTO else name


def open_detector(name: str, *, speed: str, weights: WeightsStore, min_score: float | None = None) -> Detector:
    """Open a detector by name; `min_score` is its bound on scores, None for its own.

    Raises:
        DetectorError: the name or the speed is none that there is, or does not go with the other.
        ConfigError: what is configured of a detector of one's own does not fit.
        MissingWeightsError: its file of weights is not there.
        WeightsError: its file of weights is not what it should be.
    """
    # PLC0415: torch takes seconds, and ONNX Runtime half of one; each is imported for those who need it.
    chosen = chosen_detector(name, weights)
    if speed not in SPEEDS:
        raise DetectorError(f"No speed {speed!r}; the choices are {', '.join(SPEEDS)}.")
    kind = SHIPPED[chosen].kind if chosen in SHIPPED else "detr"
    if kind == "yolox":
        from tasks.detection.yolox import YoloxDetector  # noqa: PLC0415

        return YoloxDetector.open(chosen, speed=speed, weights=weights, min_score=min_score)
    if kind == "detr":
        return _open_detr(chosen, speed, weights, min_score)
    if kind == "torchvision":
        from tasks.detection.torchvision_detector import TorchvisionDetector  # noqa: PLC0415

        return TorchvisionDetector.open(chosen, speed=speed, weights=weights, min_score=min_score)
    from tasks.detection.pointrend import PointRendDetector  # noqa: PLC0415

    network: Literal["resnet50", "resnet101"] = "resnet50" if chosen == POINTREND else "resnet101"
    return PointRendDetector.open(network, speed=speed, weights=weights, min_score=min_score)


def _open_detr(name: str, speed: str, weights: WeightsStore, min_score: float | None) -> Detector:
    if speed != "normal":
        raise DetectorError(f"{name} has one speed, that of its network's input: leave the speed out.")
    from tasks.detection.detr import DetrDetector  # noqa: PLC0415

    if own := weights.detectors.get(name):
        section = f"[detectors.{name}]"
        found, what_to_do = configured_weights(section, own.weights, weights), f"give {section} the right file."
    else:
        own, found = OnnxDetector(weights=name, side=DFINE_SIDE), find_weights(name, weights)
        what_to_do = f"remove it and run `reelsift weights fetch {name}`, or give the right file."
    return DetrDetector(name, own, found, what_to_do, min_score=min_score)


def has_gpu() -> bool:
    """Say whether PyTorch finds a GPU; it takes seconds to import, so it is asked only where NVIDIA's driver is."""
    if not has_driver():
        return False
    import torch  # noqa: PLC0415 - see above; PointRend, which is then taken, needs it anyway

    return torch.cuda.is_available()


def onnx_runs_on_gpu() -> bool:
    """Say whether the ONNX Runtime that is installed is one for NVIDIA's GPUs."""
    import onnxruntime as ort  # noqa: PLC0415 - half a second, and asked where there is a GPU alone

    return "CUDAExecutionProvider" in ort.get_available_providers()


def has_driver() -> bool:
    """Say whether NVIDIA's driver is on this machine."""
    return any(_is_library(name) for name in CUDA_DRIVERS)


def _is_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
