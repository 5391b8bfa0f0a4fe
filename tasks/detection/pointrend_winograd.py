"""The wide 3 x 3 convolutions of a network by Winograd's way, F(2 x 2, 3 x 3): four multiplications for every nine.

In: a convolution of PyTorch, on the CPU. Out: what computes the same from maps that lie channels last. Does not know
networks. Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, section 4.1.

oneDNN, which PyTorch calls, no longer has it for x86. On one core 256 channels are 1.35 times as fast as by oneDNN;
with 128 and fewer, moving the data costs what the multiplications save. It rounds as the plain way does (1.5e-6 of the
largest value).

N pictures, C channels in, K out, T tiles of 2 x 2 pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_CHANNELS = 256
LEAST_PIXELS = 400  # of a map; below, one call is cheaper than many
TILES_AT_ONCE = 1024  # 16 MB at 256 channels: more than that falls out of the cache
# G of the paper: a row of three weights becomes four.
WEIGHTS = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))


class Winograd:
    """A 3 x 3 convolution with a step and a margin of one pixel."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        weight_kc33, bias_k = convolution.weight.detach(), convolution.bias
        assert bias_k is not None  # FPN's and RPN's have one, and so have those that a norm was folded into
        matrix = torch.tensor(WEIGHTS, dtype=torch.float64)
        weight_44ck = torch.einsum("ij,kcjl,ml->imck", matrix, weight_kc33.double(), matrix).float()
        self._weight_16ck = weight_44ck.reshape(16, *weight_44ck.shape[2:]).contiguous()
        self._bias_k = bias_k.detach()
        self._convolution = convolution

    def __call__(self, x_nchw: Tensor) -> Tensor:
        """Return the convolution of maps, (N, K, H, W), channels last."""
        height, width = x_nchw.shape[-2:]
        if height * width < LEAST_PIXELS:
            return functional.conv2d(x_nchw, self._convolution.weight, self._bias_k, padding=1)
        down, across = (height + 1) // 2, (width + 1) // 2
        margins = (0, 0, 1, 2 * across + 1 - width, 1, 2 * down + 1 - height)
        padded_nhwc = functional.pad(x_nchw.permute(0, 2, 3, 1), margins)
        made_nhwk = padded_nhwc.new_empty(len(x_nchw), 2 * down, 2 * across, len(self._bias_k))
        step = max(1, TILES_AT_ONCE // across)
        for x_hwc, y_hwk in zip(padded_nhwc, made_nhwk, strict=True):
            for top in range(0, down, step):
                bottom = min(down, top + step)
                self._convolve(x_hwc[2 * top : 2 * bottom + 2], y_hwk[2 * top : 2 * bottom])
        return made_nhwk[:, :height, :width].permute(0, 3, 1, 2)

    def _convolve(self, x_hwc: Tensor, y_hwk: Tensor) -> None:
        """Fill a strip of the result from the strip above it, which has a pixel more on every side."""
        down, across, outputs = len(y_hwk) // 2, y_hwk.shape[1] // 2, y_hwk.shape[2]
        tiles_44dac = x_hwc.new_empty(4, 4, down, across, x_hwc.shape[2])
        for row, rows in enumerate(_differences(x_hwc, down, 0)):
            _differences(rows, across, 1, out=tuple(tiles_44dac[row]))
        products = torch.bmm(tiles_44dac.view(16, down * across, -1), self._weight_16ck)
        products_44dak = products.view(4, 4, down, across, outputs)
        y_d2a2k = y_hwk.view(down, 2, across, 2, outputs)
        for row, columns_4dak in enumerate(_sums(products_44dak)):
            for column, sums_dak in enumerate(_sums(columns_4dak)):
                torch.add(sums_dak, self._bias_k, out=y_d2a2k[:, row, :, column])


def _differences(x: Tensor, tiles: int, dim: int, out: Sequence[Tensor | None] = (None,) * 4) -> tuple[Tensor, ...]:
    """B of the paper along one side: of every four pixels, two on, four differences."""
    ends = (0, 2 * tiles), (1, 2 * tiles + 1), (2, 2 * tiles + 2), (3, 2 * tiles + 2)
    a, b, c, d = (x[(slice(None),) * dim + (slice(start, end, 2),)] for start, end in ends)
    return (
        torch.sub(a, c, out=out[0]),
        torch.add(b, c, out=out[1]),
        torch.sub(c, b, out=out[2]),
        torch.sub(b, d, out=out[3]),
    )


def _sums(x: Tensor) -> tuple[Tensor, Tensor]:
    """A of the paper along the first side: two results of every four products."""
    return (x[0] + x[1]).add_(x[2]), (x[1] - x[2]).sub_(x[3])


def is_wide(module: nn.Module) -> bool:
    """Say whether a module is a convolution that gains by it."""
    return (
        isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.stride, module.padding) == ((3, 3), (1, 1), (1, 1))
        and (module.dilation, module.groups) == ((1, 1), 1)
        and min(module.in_channels, module.out_channels) >= LEAST_CHANNELS
        and module.bias is not None
    )
