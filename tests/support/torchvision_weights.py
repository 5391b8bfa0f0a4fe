"""Random weights for torchvision's detectors, set so that there is something to find.

Such a network has learnt nothing. Its norms are set on a few pictures, and its heads are spread on them, so that
scores, classes, boxes and masks are as different as those of a real one.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.pointrend_checkpoint import pictures

BUILD = {
    "maskrcnn": "maskrcnn_resnet50_fpn_v2",
    "fcos": "fcos_resnet50_fpn",
    "ssdlite": "ssdlite320_mobilenet_v3_large",
}
# The layers of the heads, in the order in which they see what others put out: how widely their values are spread, and
# around which. Proposals are made large, so that few are left once those that overlap are gone: each costs time.
HEADS: dict[str, list[dict[str, tuple[float, float]]]] = {
    "maskrcnn": [
        {"rpn.head.cls_logits": (2.0, 0.0), "rpn.head.bbox_pred": (0.2, 2.0)},
        {"roi_heads.box_predictor.cls_score": (3.0, 0.0), "roi_heads.box_predictor.bbox_pred": (2.0, 0.0)},
        {"roi_heads.mask_predictor.mask_fcn_logits": (2.0, 0.0)},
    ],
    "fcos": [
        {
            "head.classification_head.cls_logits": (2.0, -6.0),
            "head.regression_head.bbox_reg": (1.0, 2.0),
            "head.regression_head.bbox_ctrness": (2.0, 2.0),
        }
    ],
    "ssdlite": [
        {f"head.classification_head.module_list.{level}.1": (3.0, 0.0) for level in range(6)}
        | {f"head.regression_head.module_list.{level}.1": (1.0, 0.0) for level in range(6)}
    ],
}


def build(name: str, **options: Any) -> Any:
    """Return a model of torchvision's without weights; one that takes any size takes a small one, which is quicker."""
    from torchvision.models import detection  # takes two seconds, which processes that do without need not wait for

    small = {} if name == "ssdlite" else {"max_size": 333}
    return getattr(detection, BUILD[name])(weights=None, weights_backbone=None, **(small | options)).eval()


def write_weights(path: Path, name: str, seed: int = 0) -> Path:
    """Write random weights of a model, always the same for a seed."""
    torch.manual_seed(seed)
    # Few of what comes of random weights, until the heads are set.
    network = build(
        name, **({"rpn_post_nms_top_n_test": 40, "box_detections_per_img": 5} if name == "maskrcnn" else {})
    )
    seen = pictures()[: 2 if name == "ssdlite" else 1]  # whose last maps are a single pixel, of one no norm is known
    images = [torch.from_numpy(image).permute(2, 0, 1) / 255 for image in seen]
    with torch.no_grad():
        _set_norms(network, images)
        for together in HEADS[name]:
            _set_heads(network, together, images)
    torch.save(network.state_dict(), path)
    return path


def _set_norms(network: nn.Module, images: list[Tensor]) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean of all that is seen
        norm.train()
    network(images)
    for norm in norms:
        norm.eval()


def _set_heads(network: nn.Module, heads: dict[str, tuple[float, float]], images: list[Tensor]) -> None:
    """Let each value that a layer puts out have its deviation and mean over the pictures."""
    layers: dict[Any, tuple[float, float]] = {network.get_submodule(name): aim for name, aim in heads.items()}
    said: dict[Any, list[Tensor]] = {layer: [] for layer in layers}
    hooks = [
        layer.register_forward_hook(lambda layer, _, made: said[layer].append(made.transpose(0, 1).flatten(1)))
        for layer in layers
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    for layer, (spread, middle) in layers.items():
        values = torch.cat(said[layer], dim=1)
        scale = spread / values.std(dim=1).clamp_min(1e-6)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.copy_((layer.bias - values.mean(dim=1)) * scale + middle)
