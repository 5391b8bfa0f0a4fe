"""A model of torchvision's up to a layer, with weights from a file and the preprocessing that torchvision names."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from tasks.contracts.errors import ConfigError, did_you_mean
from tasks.features.backbone import BackboneExtractor, check_values, extractor_of, pooled, section
from tasks.features.batches import FrameNetwork
from tasks.features.efficientnet_network import BATCH_FRAMES, torch_device, torch_threads
from tasks.weights.config import Backbone
from tasks.weights.store import Weights
from tasks.weights.untrusted import fill_module

ANY_SIDE = 256  # of a picture that preprocessing is tried on
LARGER = 64  # pixels by which a second picture is larger, to see which axes are places
SHOWN = 8  # names in a message
USUAL_PLACES = (2, 3)  # axes, in most models
OUTPUT = "features"


def open_torchvision(name: str, backbone: Backbone, weights: Weights) -> BackboneExtractor:
    """Load a model up to a layer.

    Raises:
        ConfigError: torchvision has no such model, layer or preprocessing, or the layer gives no features.
        WeightsError: the file does not hold the model's weights.
    """
    model = _model(name, backbone)
    prepare, preprocessing = _preprocessing(name, backbone)
    layer = backbone.layer or ""
    try:
        module = create_feature_extractor(model, {layer: OUTPUT}, suppress_diff_warning=True).eval()
    except ValueError as error:
        raise ConfigError(_no_layer(name, backbone, model)) from error
    fill_module(module, weights.path, f"{backbone.model} up to {layer}")
    device = torch_device()
    module = convert_conv2d_weight_memory_format(module.to(device), torch.channels_last)
    what = f"{section(name)} layer: {layer} of {backbone.model}"

    @torch.inference_mode()
    def run_whole(images: Sequence[NDArray[Any]]) -> NDArray[Any]:
        pixels = torch.from_numpy(np.stack(images)).to(device=device, memory_format=torch.channels_last)
        made = module(pixels)[OUTPUT]
        if not isinstance(made, Tensor):
            raise ConfigError(f"{what} gives {type(made).__name__} and no tensor: name another.")
        return made.float().cpu().numpy()

    black = prepare(np.zeros((ANY_SIDE, ANY_SIDE, 3), np.uint8))
    found = run_whole([black])
    check_values(found, 1, what)
    places = _places(run_whole, black, found)
    network = FrameNetwork(
        prepare=prepare,
        run=lambda images: pooled(run_whole(images), places),
        columns=pooled(found, places).shape[1],
        batch_size=BATCH_FRAMES[device],
        threads=torch_threads(device),
    )
    words = f"torchvision's {backbone.model} up to {layer}, prepared as for {preprocessing}"
    return extractor_of(name, backbone, weights, network, words)


def _model(name: str, backbone: Backbone) -> nn.Module:
    known = models.list_models(module=models)
    wanted = backbone.model or ""
    if wanted not in known:
        raise ConfigError(
            f"{section(name)} model: torchvision has no {wanted!r}.{did_you_mean(wanted, known)} There are "
            f"{', '.join(known)}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how slow it is to begin with weights that are replaced anyway
        model = models.get_model(wanted, weights=None).eval()
    if hasattr(model, "transform_input"):
        vars(model)["transform_input"] = True  # as torchvision sets it for its own weights of Inception and GoogLeNet
    return model


def _preprocessing(name: str, backbone: Backbone) -> tuple[Callable[[NDArray[np.uint8]], NDArray[Any]], str]:
    """Return what is done to a frame, and the weights of torchvision's that it is named by."""
    weights = models.get_model_weights(backbone.model or "")
    known = list(weights.__members__)
    wanted = (backbone.preprocessing or "DEFAULT").removeprefix(f"{weights.__name__}.")
    if wanted not in known:
        raise ConfigError(
            f"{section(name)} preprocessing: {backbone.model} has no weights {backbone.preprocessing!r}."
            f"{did_you_mean(wanted, known)} There are {', '.join(known)}."
        )
    chosen = weights[wanted]
    transform = chosen.transforms()

    def prepare(image: NDArray[np.uint8]) -> NDArray[Any]:
        return transform(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)).numpy()

    return prepare, str(chosen)


def _no_layer(name: str, backbone: Backbone, model: nn.Module) -> str:
    """Say which layers there are instead."""
    nodes = get_graph_node_names(model, suppress_diff_warning=True)[1][1:]  # the first is the picture
    wanted = backbone.layer or ""
    tops = list(dict.fromkeys(node.partition(".")[0] for node in nodes))
    shown = ", ".join(tops if len(tops) <= 2 * SHOWN else [*tops[:SHOWN], "…", *tops[-SHOWN:]])
    return (
        f"{section(name)} layer: {backbone.model} has no {wanted!r}.{did_you_mean(wanted, [*tops, *nodes])} There are "
        f"{shown}, and what is within them, e.g. {max(nodes, key=len)}."
    )


def _places(
    run: Callable[[Sequence[NDArray[Any]]], NDArray[Any]], picture: NDArray[Any], found: NDArray[Any]
) -> tuple[int, ...]:
    """Return which axes of a layer's four are places: those that are longer for a larger picture.

    Some models (Swin) have the values last. Where the size of a picture is fixed, the last two axes are taken.
    """
    if found.ndim != 4 or found.shape[2:] == (1, 1):
        return USUAL_PLACES
    _, height, width = picture.shape
    try:
        other = run([np.zeros((3, height + LARGER, width + LARGER), picture.dtype)])
    except (RuntimeError, AssertionError):
        return USUAL_PLACES
    longer = tuple(axis for axis in (1, 2, 3) if other.shape[axis] != found.shape[axis])
    return longer if len(longer) == len(USUAL_PLACES) else USUAL_PLACES
