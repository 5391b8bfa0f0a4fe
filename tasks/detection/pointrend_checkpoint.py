"""PixelLib's checkpoint, and whether it belongs to a network.

In: a file in the format of detectron2's models, {"model": {name: array}, "__author__": text}. Out: a network that holds
its weights. Does not know what the network does.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.contracts.errors import WeightsError
from tasks.detection.unpickler import WHAT_TO_DO, read_arrays
from tasks.detection.unpickler_arrays import PickledArray

# Older checkpoints hold what the network makes for itself from its configuration; PixelLib's checkpointer takes the
# network's own, too.
OWN = ("pixel_mean", "pixel_std", "anchor_generator.cell_anchors")
WRAPPED = "module."  # before every name, where the network was trained on several GPUs
NAMED = 3  # in a message
LONGEST_NAME = 80


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint by their names; they are read-only.

    Raises:
        WeightsError: the file asks for anything but arrays, is damaged, or is laid out otherwise.
    """
    found = read_arrays(path)
    model = found.get("model") if isinstance(found, dict) else None
    if not isinstance(model, dict) or "__author__" not in found:
        raise WeightsError(f"{path} holds no `model` and `__author__`, as PixelLib's checkpoint does: {WHAT_TO_DO}")
    return _unwrapped({name: _array(name, value, path) for name, value in model.items()})


def fill(network: nn.Module, arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Copy a checkpoint's arrays into a network.

    Raises:
        WeightsError: an array is missing, is one too many, or has another shape.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wrong = [name for name, array in arrays.items() if name in expected and array.shape != expected[name]]
    if wrong:
        name = wrong[0]
        raise WeightsError(
            f"{path} belongs to another network: {name} must have shape {expected[name]}, got {arrays[name].shape}"
            f"{_others(wrong)}. {OTHER_NETWORK}"
        )
    # The network's own conversions take part, so that old names are understood as PixelLib understands them.
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    result = network.load_state_dict(tensors, strict=False)
    missing = result.missing_keys
    extra = [name for name in result.unexpected_keys if not any(own in name for own in OWN)]
    if missing or extra:
        raise WeightsError(
            f"{path} belongs to another network: {len(missing)} arrays are missing{_first(missing)}, "
            f"{len(extra)} are too many{_first(extra)}. {OTHER_NETWORK}"
        )


OTHER_NETWORK = (
    "The detector pointrend takes pointrend_resnet50.pkl, pointrend-resnet101 takes pointrend_resnet101.pkl."
)


def _array(name: str, value: Any, path: Path) -> NDArray[Any]:  # noqa: ANN401 - whatever the file holds there
    if not isinstance(value, PickledArray) or value.array is None:
        raise WeightsError(f"{path} holds a {type(value).__name__} for {name[:LONGEST_NAME]!r}: {WHAT_TO_DO}")
    return value.array


def _unwrapped(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    is_wrapped = all(name.startswith(WRAPPED) for name in arrays)
    return {name.removeprefix(WRAPPED): array for name, array in arrays.items()} if is_wrapped else arrays


def _first(names: Iterable[str]) -> str:
    names = [name[:LONGEST_NAME] for name in names]
    return f" ({', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''})" if names else ""


def _others(wrong: list[str]) -> str:
    return f" ({len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
