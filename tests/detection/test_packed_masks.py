"""Masks in COCO's run lengths."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from tasks.detection.boxes import pack_mask, unpack_mask


def blob(height: int, width: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:height, :width]
    return (rows - height / 2) ** 2 + (columns - width / 3) ** 2 < (min(height, width) / 3) ** 2


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((4, 7), np.bool_), id="nothing"),
        pytest.param(np.ones((4, 7), np.bool_), id="everything"),
        pytest.param(np.eye(9, dtype=np.bool_), id="diagonal"),
        pytest.param(blob(480, 640), id="disc"),
        pytest.param(blob(1080, 1920), id="large disc"),
        pytest.param(np.random.default_rng(3).random((40, 50)) < 0.5, id="noise"),
        pytest.param(np.random.default_rng(3).random((300, 300)) < 0.002, id="long runs"),
    ],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_mask_comes_back_here_and_in_pycocotools(mask: NDArray[np.bool_]) -> None:
    packed = pack_mask(mask)
    assert (unpack_mask(packed) == mask).all()
    assert (coco.decode(json.loads(packed)) == mask).all()
