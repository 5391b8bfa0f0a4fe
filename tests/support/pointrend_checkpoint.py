"""A checkpoint of random weights in the format of PixelLib's real one, made so that there is something to find.

The real one is 241 MB that cannot be had everywhere; this one has the same arrays, names and pickle, and is as large.
The network has learnt nothing; its heads are set on a few pictures so that some of what it sees stands out, and then
scores, classes, boxes and masks are as different as those of a real one.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from PIL import Image

from tasks.detection.boxes import Picture
from tasks.detection.pointrend import input_size
from tasks.detection.pointrend_network import Backbone, build_network

AUTHOR = "Detectron2 Model Zoo"
SIZE = 320, 180  # of the pictures
BACKGROUND = 80  # the class after the last
SURE = 13.0  # logit of the background: what stands out less is none of the 80 classes


def write_checkpoint(path: Path, backbone: Backbone = "resnet50", seed: int = 0) -> Path:
    """Write random weights, always the same for a seed."""
    torch.manual_seed(seed)
    network = build_network(backbone, "cpu", 0.5)
    with torch.no_grad():
        _make_lively(network)
        _set_heads(network, pictures())
    arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    with path.open("wb") as file:
        # As detectron2 wrote the real one.
        pickle.dump({"model": arrays, "__author__": AUTHOR}, file, protocol=4)
    return path


def pictures() -> list[Picture]:
    """Return pictures, RGB uint8 (180, 320, 3), in which such a network finds something."""
    originals = (skimage.data.astronaut(), skimage.data.coffee())
    return [np.array(Image.fromarray(each).resize(SIZE)) for each in originals]


def _make_lively(network: Any) -> None:
    """Let norms do something, and little enough that nothing explodes on its way through fifty layers."""
    for name, buffer in network.named_buffers():
        if name.endswith("norm.weight"):
            buffer.uniform_(0.2, 0.4) if "conv3" in name else buffer.uniform_(0.5, 1.0)
        elif name.endswith(("norm.bias", "norm.running_mean")):
            buffer.normal_(0, 0.1)
        elif name.endswith("norm.running_var"):
            buffer.uniform_(0.5, 1.5)


def _set_heads(network: Any, images: Sequence[Picture]) -> None:
    """Spread what the heads say over what a trained network's heads say."""
    heads, proposing = network.roi_heads, network.proposal_generator.rpn_head
    spreads = {proposing.objectness_logits: 2.0, proposing.anchor_deltas: 0.2}
    for (layer, spread), said in zip(spreads.items(), _outputs(network, list(spreads), images), strict=True):
        layer.weight.mul_(spread / said.std())
    (features,) = _outputs(network, [heads.box_head], images)
    for layer, spread in ((heads.box_predictor.cls_score, 3.0), (heads.box_predictor.bbox_pred, 1.0)):
        layer.weight.mul_(spread / (features @ layer.weight.T).std(0)[:, None])
        layer.bias.copy_(-layer.weight @ features.mean(0))
    for value in (heads.box_predictor.cls_score.weight, heads.box_predictor.cls_score.bias):
        value[BACKGROUND] *= 0.2
    heads.box_predictor.cls_score.bias[BACKGROUND] += SURE
    for layer in (heads.mask_head.coarse_head.prediction, heads.mask_head.point_head.predictor):
        layer.weight.mul_(300)


def _outputs(network: Any, layers: Sequence[Any], images: Sequence[Picture]) -> list[torch.Tensor]:
    """Return what each layer says of all pictures, (boxes, values), or (values, 1) of a layer of maps."""
    said: dict[Any, list[torch.Tensor]] = {layer: [] for layer in layers}
    hooks = [layer.register_forward_hook(lambda layer, _, output: said[layer].append(output)) for layer in layers]
    for image in images:
        small = Image.fromarray(image[:, :, ::-1]).resize(input_size(*SIZE, "rapid"))
        network([{"image": torch.from_numpy(np.array(small)).permute(2, 0, 1).float()}])
    for hook in hooks:
        hook.remove()
    return [torch.cat([each if each.dim() == 2 else each.reshape(-1, 1) for each in one]) for one in said.values()]
