"""Detectors that tests share."""

from pathlib import Path

import pytest

from conf.weights import load_weights_table
from tasks.detection.yolox import YoloxDetector
from tasks.weights.store import WeightsStore
from tests.support.square_network import square_network


def store_of(folder: Path) -> WeightsStore:
    """Return a store that takes files from `folder` as they are."""
    return WeightsStore(folder=folder, given=folder, table=load_weights_table())


@pytest.fixture(scope="session")
def square_weights(tmp_path_factory: pytest.TempPathFactory) -> WeightsStore:
    """Weights of the small network that finds coloured squares, under YOLOX's name."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    return store_of(folder)


@pytest.fixture(scope="session")
def square_detector(square_weights: WeightsStore) -> YoloxDetector:
    """The small network."""
    return YoloxDetector.open(speed="normal", weights=square_weights)


@pytest.fixture(scope="session")
def real_detector(real_data: Path) -> YoloxDetector:
    """YOLOX-nano itself (Megvii, Apache-2.0)."""
    if not (real_data / "weights" / "yolox_nano.onnx").is_file():
        pytest.skip(f"no yolox_nano.onnx in {real_data / 'weights'}")
    return YoloxDetector.open(speed="normal", weights=store_of(real_data / "weights"))
