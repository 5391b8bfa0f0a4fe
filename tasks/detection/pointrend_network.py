"""PixelLib's PointRend network, as it builds it.

In: which backbone, a device. Out: the network with random weights. Does not know checkpoints or pictures.

The network and its configuration are PixelLib's own (0.7.1, after detectron2).
"""

import warnings
from pathlib import Path
from typing import Any, Literal

import PIL.Image
import torch

Backbone = Literal["resnet50", "resnet101"]
CONFIGS: dict[Backbone, str] = {
    "resnet50": "pointrend_rcnn_R_50_FPN_3x_coco.yaml",
    "resnet101": "pointrend_rcnn_X_101_32x8d_FPN_3x_coco.yaml",
}
PYRAMID = 5  # maps that boxes are proposed on


def build_network(backbone: Backbone, device: str, min_score: float) -> Any:  # noqa: ANN401 - PixelLib has no types
    """Return the network with random weights.

    Args:
        backbone: as PixelLib names it; its `resnet101` is a ResNeXt-101 32x8d.
        device: cpu or cuda.
        min_score: boxes below are not given.
    """
    pixellib = _imported()
    config = pixellib.get_cfg()
    config.MODEL.DEVICE = device
    pixellib.add_pointrend_config(config)
    config.merge_from_file(str(Path(pixellib.__file__).parent / "pkg" / CONFIGS[backbone]))
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = min_score
    network = pixellib.modeling.build_model(config).eval()
    with warnings.catch_warnings():
        # PyTorch says once in a process that `meshgrid` should be told its indexing: here, where nobody hears it.
        warnings.filterwarnings("ignore", "torch.meshgrid", UserWarning)
        network.proposal_generator.anchor_generator([torch.zeros(1, 1, 1, 1, device=device)] * PYRAMID)
    return network


def _imported() -> Any:  # noqa: ANN401 - a module without types
    """Import PixelLib, which was written for an older Pillow and an older setuptools."""
    if not hasattr(PIL.Image, "LINEAR"):
        PIL.Image.LINEAR = PIL.Image.Resampling.BILINEAR  # pyright: ignore[reportAttributeAccessIssue]
    with warnings.catch_warnings():
        # It imports pkg_resources, and scripts classes for TorchScript, of which nothing is used here.
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        import pixellib.torchbackend.instance as pixellib  # noqa: PLC0415 - a second, only where it is used
    return pixellib
