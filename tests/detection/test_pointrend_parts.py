"""The parts of PointRend that need no network: convolutions and checkpoints."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.errors import WeightsError
from tasks.detection.pointrend_network import Winograd, fill, is_wide, read_checkpoint

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = {"weight": WEIGHT, "bias": np.ones(2, np.float32)}


@pytest.mark.parametrize(
    ("pictures", "height", "width"), [(1, 20, 20), (1, 21, 33), (2, 20, 27), (1, 1, 401), (1, 401, 1), (1, 3, 3)]
)
@torch.inference_mode()
def test_winograds_way_is_the_plain_way(pictures: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 5, 3, padding=1)
    maps = torch.randn(pictures, 8, height, width).contiguous(memory_format=torch.channels_last)
    expected = convolution.double()(maps.double())
    made = Winograd(convolution.float())(maps)
    assert made.is_contiguous(memory_format=torch.channels_last) or height * width < 400 or width % 2 or height % 2
    np.testing.assert_allclose(made.numpy(), expected.numpy(), atol=3e-6)


@pytest.mark.parametrize(
    ("convolution", "expected"),
    [
        pytest.param(nn.Conv2d(256, 256, 3, padding=1), True, id="wide"),
        pytest.param(nn.Conv2d(128, 256, 3, padding=1), False, id="narrow"),
        pytest.param(nn.Conv2d(256, 256, 3, padding=1, stride=2), False, id="steps"),
        pytest.param(nn.Conv2d(256, 256, 3, padding=1, groups=32), False, id="groups"),
        pytest.param(nn.Conv2d(256, 256, 3, padding=1, bias=False), False, id="no-bias"),
        pytest.param(nn.Conv2d(256, 256, 1), False, id="small"),
        pytest.param(nn.ReLU(), False, id="no-convolution"),
    ],
)
def test_only_wide_convolutions_go_that_way(convolution: nn.Module, expected: bool) -> None:
    assert is_wide(convolution) is expected


def written(folder: Path, content: Any) -> Path:
    path = folder / "weights.pkl"
    path.write_bytes(pickle.dumps(content, 4))
    return path


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({}, id="as-saved"),
        pytest.param({"pixel_mean": WEIGHT, "proposal_generator.anchor_generator.cell_anchors.0": WEIGHT}, id="older"),
    ],
)
def test_a_checkpoint_fills_a_network(tmp_path: Path, extra: dict[str, Any]) -> None:
    network = nn.Linear(3, 2)
    path = written(tmp_path, {"model": ARRAYS | extra, "__author__": "someone"})
    fill(network, read_checkpoint(path), path)
    np.testing.assert_array_equal(network.weight.detach().numpy(), WEIGHT)


def test_a_checkpoint_of_several_gpus_has_the_same_names(tmp_path: Path) -> None:
    path = written(tmp_path, {"model": {f"module.{name}": ARRAYS[name] for name in ARRAYS}, "__author__": "someone"})
    assert list(read_checkpoint(path)) == list(ARRAYS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param([1], "holds no `model` and `__author__`", id="list"),
        pytest.param({"model": ARRAYS}, "holds no `model` and `__author__`", id="no-author"),
        pytest.param({"blobs": ARRAYS, "__author__": "Caffe2"}, "holds no `model`", id="caffe2"),
        pytest.param({"model": {"weight": 3}, "__author__": ""}, "holds a int for 'weight'", id="number"),
        pytest.param(
            {"model": {"weight": [WEIGHT]}, "__author__": ""}, "holds a list for 'weight'", id="list-of-arrays"
        ),
    ],
)
def test_a_file_laid_out_otherwise_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=rf"^\S+weights.pkl {message}.*reelsift weights fetch"):
        read_checkpoint(written(tmp_path, content))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"weight": WEIGHT}, r"1 arrays are missing \(bias\), 0 are too many\.", id="missing"),
        pytest.param(
            ARRAYS | dict.fromkeys("abcd", WEIGHT),
            r"0 arrays are missing, 4 are too many \(a, b, c, …\)",
            id="extra",
        ),
        pytest.param(
            ARRAYS | {"weight": WEIGHT.T}, r"weight must have shape \(2, 3\), got \(3, 2\)\. The detector", id="shape"
        ),
    ],
)
def test_weights_of_another_network_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightsError, match=rf"^some.pkl belongs to another network: {message}"):
        fill(nn.Linear(3, 2), arrays, Path("some.pkl"))
