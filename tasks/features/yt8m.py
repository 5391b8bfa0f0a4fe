"""The feature space of YouTube-8M: Inception and VGGish, each with its PCA, and the quantisation to eight bits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.features import CODE_STEP, CODE_ZERO, HIGHEST, LOWEST, RANGE, RGB_SIZE, YT8M
from tasks.contracts.media import WeightsRecord
from tasks.features.batches import FrameNetwork, NetworkThreads
from tasks.features.picture_network import PictureNetwork
from tasks.features.sound_network import EXAMPLE_SAMPLES, SoundNetwork
from tasks.weights.config import NEEDED_WEIGHTS
from tasks.weights.store import WeightsStore, find_weights

MEAN_SECONDS = 360  # over which the dataset's means were taken; classifiers were trained on those


def quantise(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clip to [-2, 2], and cut off to one of 256 steps; any shape.

    VGGish's postprocessor cuts off. The published extractor of frames rounds, but the dataset's own frames were cut
    off, too: rounded, their means would lie half a step (.0078) above 0, and over 17,494 real videos those of the
    components from the 300th on lie at .0005, give or take .0002.
    """
    return ((np.clip(values, LOWEST, HIGHEST) - LOWEST) * (255.0 / RANGE)).astype(np.uint8)


def dequantise(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `q * 4/255 + 4/512 - 2`; any shape."""
    return (codes.astype(np.float32) * CODE_STEP + CODE_ZERO).astype(np.float32)


class Yt8mExtractor:
    """Both networks, and which files they were read from."""

    space = YT8M
    sound_samples = EXAMPLE_SAMPLES
    mean_s = MEAN_SECONDS

    def __init__(self, picture: PictureNetwork, sound: SoundNetwork, records: tuple[WeightsRecord, ...]) -> None:
        self.picture = picture
        self.sound = sound
        self.records = records

    def frame_network(self) -> FrameNetwork:
        """Return what frames go through, as they are and one by one: TensorFlow takes all cores for each."""
        return FrameNetwork(lambda image: image, self.of_frames, RGB_SIZE, 1, NetworkThreads(1))

    def of_frames(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the features (n, 1024), as the dataset gives them, of RGB frames uint8 (H, W, 3)."""
        return dequantise(quantise(self.picture.project(self.picture.activations(images))))

    def of_sound(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features (n, 128), as the dataset gives them, of windows (n, 15600) of mono samples at 16 kHz.

        A shorter window is filled up with silence.
        """
        full = np.pad(windows, ((0, 0), (0, EXAMPLE_SAMPLES - windows.shape[1])))
        return dequantise(quantise(self.sound.project(self.sound.embed(full))))


def load_yt8m(store: WeightsStore) -> Yt8mExtractor:
    """Read the networks; every file is looked for before the first is read.

    Raises:
        MissingWeightsError: a file is not here.
        WeightsError: a file is not what it should be.
    """
    graph, mean, values, vectors, vggish, vggish_pca = (find_weights(name, store) for name in NEEDED_WEIGHTS)
    return Yt8mExtractor(
        picture=PictureNetwork(graph, mean, values, vectors),
        sound=SoundNetwork(vggish, vggish_pca),
        records=tuple(each.record for each in (graph, mean, values, vectors, vggish, vggish_pca)),
    )
