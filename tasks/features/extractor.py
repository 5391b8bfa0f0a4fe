"""Extracts a video's features, moment by moment, in any feature space.

Memory is bounded but for the features themselves, 4.6 kB a second in the space of YouTube-8M. The whole video is read,
as labels over time are wanted of all of it.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.features import FeatureSpace
from tasks.contracts.media import MediaFacts, TimeRange, WeightsRecord
from tasks.contracts.overlap import ahead
from tasks.contracts.progress import Progress, Silent
from tasks.features.batches import FrameNetwork, NetworkThreads, sampled_rows
from tasks.features.sound_network import windows_of
from tasks.video.config import MediaBounds
from tasks.video.decoding import Watch
from tasks.video.frames import open_frames
from tasks.video.sound import read_sound

INAUDIBLE = 1e-4  # of full scale: -80 dB
AT_ONCE = 2  # videos
MOST_MOMENTS = 7 * 24 * 3600  # one a second of the longest video that settings admit; 2.8 GB in the space of YouTube-8M


class Extractor(Protocol):
    """What computes the features of one space. Its first modality is of the picture, a second one of the sound."""

    @property
    def space(self) -> FeatureSpace:
        """The space, with the digests of the weights."""
        ...

    @property
    def records(self) -> tuple[WeightsRecord, ...]:
        """Every file of weights between a video and its features."""
        ...

    @property
    def sound_samples(self) -> int:
        """Samples at 16 kHz that describe a moment; 0 where the space has no sound."""
        ...

    @property
    def mean_s(self) -> float | None:
        """Seconds at the beginning of a video that its mean is of; None: all of them."""
        ...

    def frame_network(self) -> FrameNetwork:
        """Return what frames go through to the values of the picture, loaded by then.

        Raises:
            WeightsError: the weights are not what they should be.
        """
        ...

    def of_sound(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the values (n, size) of the sound, of windows (n, `sound_samples`), mono, in [-1, 1].

        The last window of a video comes alone, and is shorter where the sound ends.
        """
        ...


@dataclass(frozen=True)
class VideoFeatures:
    """T moments of a video in one feature space."""

    space: FeatureSpace
    times_s: NDArray[np.float64]  # (T,)
    picture: NDArray[np.float32]  # (T, size)
    sound: NDArray[np.float32]  # (T, size), zeros where there is no sound track; (T, 0) in a space without sound
    has_sound: NDArray[np.bool_]  # (T,): whether the sound track reaches so far, be it as quiet as it may
    is_silent: bool | None  # whether nothing can be heard at any moment; None in a space without sound
    facts: MediaFacts
    frames_read: int
    corrupt_frames: int
    mean_s: float | None = None  # seconds at the beginning that the mean is of; None: all

    @property
    def modalities(self) -> dict[str, NDArray[np.float32]]:
        """The matrix (T, size) of each modality, by its name."""
        names = [modality.name for modality in self.space.modalities]
        return dict(zip(names, (self.picture, self.sound), strict=False))

    @property
    def mean_moments(self) -> int | None:
        """How many moments from the beginning count for the video as a whole; None: all."""
        return None if self.mean_s is None else round(self.mean_s * self.space.rate_hz)

    def per_second(self) -> NDArray[np.float32]:
        """Return the features (T, F) of each moment: the picture, then the sound."""
        return np.concatenate([self.picture, self.sound], axis=1)

    def mean(self) -> NDArray[np.float32]:
        """Return the features (1, F) of the video: the means over its moments, or over those of its beginning.

        Those of the sound are over the moments with a sound track, and zeros where there is none.
        """
        kept = slice(self.mean_moments)
        sound = self.sound[kept][self.has_sound[kept]]
        mean_sound = sound.mean(axis=0) if len(sound) else np.zeros(self.sound.shape[1], np.float32)
        return np.concatenate([self.picture[kept].mean(axis=0), mean_sound])[None]


def read_features(
    path: Path,
    bounds: MediaBounds,
    extractor: Extractor,
    progress: Progress | None = None,
    *,
    part: TimeRange | None = None,
    watch: Watch | None = None,
) -> VideoFeatures:
    """Compute the features of every moment of a video, or of a part; several videos may be read at once.

    `watch` hears of every frame that is decoded.

    Raises:
        VideoError: the file is no video or picture, is broken or is out of bounds.
        WeightsError: the networks cannot be run.
    """
    progress = progress or Silent()
    with open_frames(path, bounds, rate_hz=extractor.space.rate_hz, part=part, watch=watch) as reader:
        is_heard = bool(extractor.sound_samples) and reader.facts.has_sound
        with closing(ahead(_sound_of(path, bounds, extractor, progress, part, is_heard=is_heard), buffer=0)) as sounds:
            kept = [next(sounds)]  # which is there at once, and begins the rest, side by side with the pictures
            rate_hz, network, advice = extractor.space.rate_hz, extractor.frame_network, "in the feature space"
            times_s, picture = sampled_rows(reader, rate_hz, network, "features", progress, advice, MOST_MOMENTS)
            kept += sounds
    sound = np.concatenate([values for values, _ in kept])
    missing = max(0, len(times_s) - len(sound))
    return VideoFeatures(
        space=extractor.space,
        times_s=times_s,
        picture=picture,
        sound=np.pad(sound, ((0, missing), (0, 0)))[: len(times_s)],
        has_sound=np.arange(len(times_s)) < len(sound),
        is_silent=all(loudest < INAUDIBLE for _, loudest in kept) if extractor.sound_samples else None,
        facts=reader.facts,
        frames_read=reader.frames_read,
        corrupt_frames=reader.corrupt_frames,
        mean_s=extractor.mean_s,
    )


def read_each(
    paths: Iterable[Path],
    bounds: MediaBounds,
    extractor: Extractor,
    progress: Progress | None = None,
    *,
    at_once: int = AT_ONCE,
) -> Iterator[tuple[Path, VideoFeatures | VideoError]]:
    """Yield the features of each video, or why it has none, in order.

    Several are read at once: while the first frames of one are decoded, the network looks at another. Short clips need
    that, of which a few batches are all.

    Raises:
        WeightsError: the networks cannot be run.
    """

    def read(path: Path) -> tuple[Path, VideoFeatures | VideoError]:
        try:
            return path, read_features(path, bounds, extractor, progress)
        except VideoError as error:
            return path, error

    return NetworkThreads(at_once).map(read, paths)


def _sound_of(
    path: Path, bounds: MediaBounds, extractor: Extractor, progress: Progress, part: TimeRange | None, *, is_heard: bool
) -> Iterator[tuple[NDArray[np.float32], float]]:
    """Yield features (n, size) of n moments of sound, at first of none, and the loudest of their samples.

    What is quiet goes through the network as all else: 1.5 % of the dataset's videos have just what it says of silence.
    """
    size = sum(modality.size for modality in extractor.space.modalities[1:])
    yield np.zeros((0, size), np.float32), 0.0
    if not is_heard:
        return
    what, rate_hz = f"sound of {path.name}", extractor.space.rate_hz
    progress.begin(what, None, "s")
    sound = read_sound(path, bounds, part=part)
    for some in windows_of(sound, extractor.sound_samples, rate_hz, is_filled_up=False):
        yield extractor.of_sound(some), float(np.abs(some).max())
        progress.advance(what, len(some) / rate_hz)
