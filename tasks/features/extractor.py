"""Feature extraction for YouTube-8M: the networks, the quantisation to eight bits, and a video second by second.

Memory is bounded but for the features themselves, 4.6 kB a second. The whole video is read, as labels over time are
wanted of all of it; its mean is that of its beginning (MEAN_SECONDS).
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.features import AUDIO_SIZE, YT8M_FEATURE_SPACE
from tasks.contracts.media import MediaFacts, WeightsRecord
from tasks.contracts.progress import Progress, Silent
from tasks.features.picture_network import PictureNetwork
from tasks.features.sound_network import SoundNetwork, windows_of
from tasks.video.config import MediaBounds
from tasks.video.frames import FrameReader, open_frames
from tasks.video.overlap import ahead
from tasks.video.sound import read_sound
from tasks.weights.config import NEEDED_WEIGHTS
from tasks.weights.store import WeightsStore, find_weights

RATE_HZ = 1.0  # frames and windows of sound a second
MEAN_SECONDS = 360  # of which the dataset's means were taken: a classifier knows no others
AHEAD_FRAMES = 4  # decoded while the network looks at one
INAUDIBLE = 1e-4  # of full scale: -80 dB
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


@dataclass(frozen=True)
class VideoFeatures:
    """T seconds of a video, in the feature space of YouTube-8M."""

    times_s: NDArray[np.float64]  # (T,)
    rgb: NDArray[np.float32]  # (T, 1024)
    audio: NDArray[np.float32]  # (T, 128); zeros where there is no sound track
    has_sound: NDArray[np.bool_]  # (T,): whether the sound track reaches so far, be it as quiet as it may
    is_silent: bool  # whether nothing can be heard in any second
    facts: MediaFacts
    frames_read: int
    corrupt_frames: int

    def per_second(self) -> NDArray[np.float32]:
        """Return the features (T, 1152) of each second: the picture, then the sound."""
        return np.concatenate([self.rgb, self.audio], axis=1)

    def mean(self) -> NDArray[np.float32]:
        """Return the features (1, 1152) of the video: the means over its first 360 seconds, as the dataset's are.

        Those of the sound are over the seconds with a sound track, and zeros where there is none.
        """
        audio = self.audio[:MEAN_SECONDS][self.has_sound[:MEAN_SECONDS]]
        mean_audio = audio.mean(axis=0) if len(audio) else np.zeros(AUDIO_SIZE, np.float32)
        return np.concatenate([self.rgb[:MEAN_SECONDS].mean(axis=0), mean_audio])[None]


def read_features(
    path: Path, bounds: MediaBounds, extractor: FeatureExtractor, progress: Progress | None = None
) -> VideoFeatures:
    """Compute the features of every second of a video.

    Raises:
        VideoError: the file is no video or picture, is broken or is out of bounds.
        WeightsError: the networks cannot be run.
    """
    progress = progress or Silent()
    with open_frames(path, bounds, rate_hz=RATE_HZ) as reader:
        times_s, rgb = _of_frames(path, reader, extractor, progress)
    audio, is_silent = _of_sound(path, bounds, extractor, progress) if reader.facts.has_sound else (_none(), True)
    missing = max(0, len(times_s) - len(audio))
    return VideoFeatures(
        times_s=times_s,
        rgb=rgb,
        audio=np.pad(audio, ((0, missing), (0, 0)))[: len(times_s)],
        has_sound=np.arange(len(times_s)) < len(audio),
        is_silent=is_silent,
        facts=reader.facts,
        frames_read=reader.frames_read,
        corrupt_frames=reader.corrupt_frames,
    )


def _of_frames(
    path: Path, reader: FrameReader, extractor: FeatureExtractor, progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    what, length_s = f"features of {path.name}", reader.facts.duration_s
    progress.begin(what, length_s, "s")
    times_s: list[float] = []
    features: list[NDArray[np.float32]] = []
    with closing(ahead(reader, buffer=AHEAD_FRAMES)) as frames:
        for frame in frames:
            times_s.append(frame.time_s)
            features.append(extractor.of_frames([frame.image]))
            left_s = 1 / RATE_HZ if length_s is None else length_s - frame.time_s
            progress.advance(what, max(0.0, min(1 / RATE_HZ, left_s)))
    if not features:
        raise VideoError(f"{path.name} shows no frame at any second: is it a video? Fetch or copy it again.")
    return np.asarray(times_s, np.float64), np.concatenate(features)


def _of_sound(
    path: Path, bounds: MediaBounds, extractor: FeatureExtractor, progress: Progress
) -> tuple[NDArray[np.float32], bool]:
    """Return the features (n, 128) of n seconds of sound, and whether nothing can be heard in them.

    What is quiet goes through the network as all else: 1.5 % of the dataset's videos have just what it says of silence.
    """
    what, is_silent = f"sound of {path.name}", True
    progress.begin(what, None, "s")
    features = [_none()]
    for windows in windows_of(read_sound(path, bounds)):
        is_silent = is_silent and float(np.abs(windows).max()) < INAUDIBLE
        features.append(extractor.of_sound(windows))
        progress.advance(what, len(windows) / RATE_HZ)
    return np.concatenate(features), is_silent


def _none() -> NDArray[np.float32]:
    return np.zeros((0, AUDIO_SIZE), np.float32)
