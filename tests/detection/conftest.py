"""Detectors that tests share."""

from pathlib import Path

import pytest

from conf.settings import load_weights_table
from tasks.contracts.media import FetchedVideo
from tasks.detection.yolox import YoloxDetector
from tasks.weights.store import WeightsStore
from tests.support.square_network import square_network
from tests.support.square_videos import write_clip

FRAMES = 40  # of the clip


def store_of(folder: Path) -> WeightsStore:
    """Return a store that takes files from `folder` as they are, and writes nothing into it."""
    return WeightsStore(folder=folder / "none", given=folder, table=load_weights_table())


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


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> FetchedVideo:
    """Four seconds: an apple that stands, a bottle that comes and goes, and a cup that moves."""
    scenes = [
        [
            ("apple", 4, 4),
            *([("bottle", 84, 4)] if 10 <= index < 30 else []),
            ("cup", 4 + 8 * (index // 4), 84),
        ]
        for index in range(FRAMES)
    ]
    return write_clip(tmp_path_factory.mktemp("clip") / "squares.mp4", scenes)
