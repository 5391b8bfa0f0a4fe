"""A checkpoint of random weights in the format of PixelLib's real one, made so that there is something to find.

In: a path. Out: the file. The real one is 241 MB that cannot be had everywhere; this one has the same arrays, names and
pickle, and is as large.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.detection.pointrend_network import Backbone, build_network

AUTHOR = "Detectron2 Model Zoo"


def write_checkpoint(path: Path, backbone: Backbone = "resnet50", seed: int = 0) -> Path:
    """Write random weights, always the same for a seed."""
    torch.manual_seed(seed)
    network = build_network(backbone, "cpu", 0.5)
    _make_lively(network)
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    with path.open("wb") as file:
        pickle.dump({"model": arrays, "__author__": AUTHOR}, file, protocol=2)
    return path


def _make_lively(network: Any) -> None:
    """Let the random network be sure of some things: one that has learnt nothing is sure of none."""
    random = np.random.default_rng(0)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            # Random statistics, so that a batch normalisation does something; small, so that nothing explodes.
            if name.endswith("norm.weight"):
                buffer.copy_(torch.from_numpy(random.uniform(0.3, 0.6, buffer.shape)))
            elif name.endswith(("norm.bias", "norm.running_mean")):
                buffer.copy_(torch.from_numpy(random.normal(0, 0.1, buffer.shape)))
            elif name.endswith("norm.running_var"):
                buffer.copy_(torch.from_numpy(random.uniform(0.5, 1.5, buffer.shape)))
        head = network.roi_heads.box_predictor
        head.cls_score.weight.mul_(SHARPER)
        head.bbox_pred.weight.mul_(20.0)


SHARPER = 400.0
