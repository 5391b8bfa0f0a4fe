"""PixelLib's PointRend network, built and filled for inference.

In: which backbone, the a device. Out: the network, in evaluation mode. Does not know pictures.

The network and its configuration are PixelLib's own (0.7.1, after detectron2); what is changed is what does not change
its answers: each frozen batch normalisation is folded into the convolution before it, and weights lie channels last.
"""

import warnings
from pathlib import Path
from typing import Any, Literal

import PIL.Image
import torch
from torch import nn

Backbone = Literal["resnet50", "resnet101"]
CONFIGS: dict[Backbone, str] = {
    "resnet50": "pointrend_rcnn_R_50_FPN_3x_coco.yaml",
    "resnet101": "pointrend_rcnn_X_101_32x8d_FPN_3x_coco.yaml",
}


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
    return pixellib.modeling.build_model(config).eval()


def class_names() -> tuple[str, ...]:
    """Return the names of PixelLib's 80 classes, in the order of their ids."""
    return tuple(_imported().instanceSegmentation().class_names)


def prepare(network: nn.Module) -> None:
    """Fold each frozen batch normalisation into the convolution before it, and lay weights out channels last."""
    for module in network.modules():
        norm = getattr(module, "norm", None)
        if isinstance(norm, nn.Module) and type(norm).__name__ == "FrozenBatchNorm2d":
            _fold(module, norm)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    network.requires_grad_(False)


def _fold(convolution: Any, norm: Any) -> None:  # noqa: ANN401 - PixelLib has no types
    """Put `scale * (conv(x) - mean) + bias` into the convolution's own weights and bias."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    bias = convolution.bias * scale if convolution.bias is not None else 0.0
    convolution.weight = nn.Parameter(convolution.weight * scale[:, None, None, None], requires_grad=False)
    convolution.bias = nn.Parameter(shift + bias, requires_grad=False)
    convolution.norm = None


def _imported() -> Any:  # noqa: ANN401 - a module without types
    """Import PixelLib, which was written for an older Pillow and an older setuptools."""
    if not hasattr(PIL.Image, "LINEAR"):
        PIL.Image.LINEAR = PIL.Image.Resampling.BILINEAR  # pyright: ignore[reportAttributeAccessIssue]
    with warnings.catch_warnings():
        # It imports pkg_resources, scripts a loss that is not used here, and more; none of it is ours to mend.
        warnings.simplefilter("ignore")
        import pixellib.torchbackend.instance as pixellib  # noqa: PLC0415 - eight seconds, only where it is used
    return pixellib
