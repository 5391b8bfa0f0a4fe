"""Eight bits, there and back."""

from pathlib import Path

import numpy as np
import pytest

from tasks.features.shipped import dequantise, quantise


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(-2.0, 0, id="lowest"),
        pytest.param(2.0, 255, id="highest"),
        pytest.param(-7.0, 0, id="below"),
        pytest.param(9.0, 255, id="above"),
        pytest.param(0.0, 127, id="cut-off"),
        pytest.param(1.0, 191, id="one"),
    ],
)
def test_a_value_has_its_code(value: float, code: int) -> None:
    assert quantise(np.array([value], np.float32))[0] == code


def test_dequantising_is_the_formula_of_the_starter_code() -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(dequantise(codes), codes.astype(float) * 4 / 255 + 4 / 512 - 2, atol=1e-6)


def test_there_and_back_is_off_by_half_a_step_and_leans_to_neither_side() -> None:
    values = np.random.default_rng(0).uniform(-2, 2, 100_000).astype(np.float32)
    off = dequantise(quantise(values)) - values
    assert np.abs(off).max() <= 4 / 512 + 1e-4
    assert abs(off.mean()) < 1e-4


def test_infinities_are_clipped() -> None:
    assert quantise(np.array([-np.inf, np.inf], np.float32)).tolist() == [0, 255]


def test_real_frames_come_out_in_the_dataset_s_range(real_data: Path) -> None:
    found = np.load(real_data / "yt8m-frame" / "SjJ3.npz", allow_pickle=False)
    values = dequantise(found["rgb"])
    assert values.shape == (170, 1024)
    assert -1.993 <= values.min() <= values.max() <= 2.0079
