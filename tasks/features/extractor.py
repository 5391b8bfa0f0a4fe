"""Feature extraction for YouTube-8M: the networks, and the quantisation to eight bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.datasets import YT8M_FEATURE_SPACE
from tasks.contracts.media import WeightsRecord
from tasks.features.picture_network import PictureNetwork
from tasks.features.sound_network import SoundNetwork
from tasks.weights.config import NEEDED_WEIGHTS
from tasks.weights.store import WeightsStore, find_weights

LOWEST, HIGHEST = -2.0, 2.0
RANGE = HIGHEST - LOWEST


def quantise(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clip to [-2, 2], and cut off to one of 256 steps; any shape.

    VGGish's postprocessor cuts off. The published extractor of frames rounds, but the dataset's own frames were cut
    off, too: rounded, their means would lie half a step (.0078) above 0, and over 17,494 real videos those of the
    components from the 300th on lie at .0005, give or take .0002.
    """
    return ((np.clip(values, LOWEST, HIGHEST) - LOWEST) * (255.0 / RANGE)).astype(np.uint8)


def dequantise(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `q * 4/255 + 4/512 - 2`; any shape."""
    return (codes.astype(np.float32) * (RANGE / 255.0) + (RANGE / 512.0 + LOWEST)).astype(np.float32)


FEATURE_SPACE = YT8M_FEATURE_SPACE


@dataclass(frozen=True)
class FeatureExtractor:
    """Both networks, and which files they were read from."""

    picture: PictureNetwork
    sound: SoundNetwork
    records: tuple[WeightsRecord, ...]

    def of_frames(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the features (n, 1024), as the dataset gives them, of RGB frames uint8 (H, W, 3)."""
        return dequantise(quantise(self.picture.project(self.picture.activations(images))))

    def of_sound(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features (n, 128), as the dataset gives them, of windows (n, 15600) of mono samples at 16 kHz."""
        return dequantise(quantise(self.sound.project(self.sound.embed(windows))))


def load_extractor(store: WeightsStore) -> FeatureExtractor:
    """Read the networks; every file is looked for before the first is read.

    Raises:
        MissingWeightsError: a file is not here.
        WeightsError: a file is not what it should be.
    """
    graph, mean, values, vectors, vggish, vggish_pca = (find_weights(name, store) for name in NEEDED_WEIGHTS)
    return FeatureExtractor(
        picture=PictureNetwork(graph, mean, values, vectors),
        sound=SoundNetwork(vggish, vggish_pca),
        records=tuple(each.record for each in (graph, mean, values, vectors, vggish, vggish_pca)),
    )
