"""The networks between a video and the features of YouTube-8M, read from their files of weights.

In: a store of weights. Out: a `FeatureExtractor`: frames and sound in, dequantised features out. Does not open videos.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import YT8M_FEATURE_SPACE
from tasks.contracts.media import WeightsRecord
from tasks.features.needed import NEEDED_WEIGHTS
from tasks.features.picture_network import PictureNetwork
from tasks.features.quantise import dequantise, quantise
from tasks.features.sound_network import SoundNetwork
from tasks.weights.store import WeightsStore, find_weights

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
