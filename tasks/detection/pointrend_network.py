"""PixelLib's PointRend network: built, loaded from its checkpoint, and made faster without changing its output."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tasks.contracts.errors import WeightsError
from tasks.detection.unpickler import WHAT_TO_DO, PickledArray, read_arrays

Backbone = Literal["resnet50", "resnet101"]
CONFIGS: dict[Backbone, str] = {
    "resnet50": "pointrend_rcnn_R_50_FPN_3x_coco.yaml",
    "resnet101": "pointrend_rcnn_X_101_32x8d_FPN_3x_coco.yaml",
}
PYRAMID = 5  # maps that boxes are proposed on


class NoInitialWeights(TorchFunctionMode):
    """What is built within has weights of whatever its memory held: half of the time goes into random ones else."""

    RANDOM = frozenset({"uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_"})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever PyTorch was asked for
        """Call what PyTorch was asked for, but for what draws numbers."""
        if func.__name__ in self.RANDOM:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


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
