"""What makes PixelLib's network quicker without changing its answers.

In: the network, filled. Out: the same network, changed in place. Does not know pictures.

The backbone on one core, 640 x 480 pixels: 0.93 s as it is, 0.89 in inference mode, 0.83 with frozen norms folded into
convolutions and maps that lie channels last, 0.75 with Winograd's way for the wide convolutions. Fusing sums and ReLUs
by oneDNN's own operators would give 2 % more. `torch.compile` comes to 0.75 without Winograd's way, and compiles for
23 s for each size of picture. Both are left out.
"""

from typing import Any

import torch
from torch import nn

from tasks.detection.pointrend_winograd import Winograd, is_wide


def make_faster(network: nn.Module, device: str) -> None:
    """Fold norms, lay maps and weights out channels last and, on a CPU, let wide convolutions go Winograd's way."""
    network.requires_grad_(False)
    for module in network.modules():
        norm = getattr(module, "norm", None)
        if type(norm).__name__ == "FrozenBatchNorm2d":
            _fold(module, norm)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if device == "cpu":
        for module in network.modules():
            if is_wide(module):
                _go_winograds_way(module)


def _go_winograds_way(convolution: Any) -> None:  # noqa: ANN401 - PixelLib has no types
    quick, activation = Winograd(convolution), getattr(convolution, "activation", None)
    convolution.forward = (lambda x: activation(quick(x))) if activation else quick


def _fold(convolution: Any, norm: Any) -> None:  # noqa: ANN401 - PixelLib has no types
    """Put `scale * (conv(x) - mean) + bias` into the convolution's own weights and bias."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    bias = convolution.bias * scale if convolution.bias is not None else 0.0
    convolution.weight = nn.Parameter(convolution.weight * scale[:, None, None, None], requires_grad=False)
    convolution.bias = nn.Parameter(shift + bias, requires_grad=False)
    convolution.norm = None
