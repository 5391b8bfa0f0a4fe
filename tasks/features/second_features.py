"""The features of a video, second by second.

In: a file and an extractor. Out: `VideoFeatures`. Memory is bounded but for the features themselves, 4.6 kB a second.
Does not know models.

The dataset's videos were cut at 360 s; here the whole video is read, as labels over time are wanted of all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import AUDIO_SIZE
from tasks.contracts.media import MediaFacts
from tasks.contracts.progress import Progress, Silent
from tasks.features.extractor import FeatureExtractor
from tasks.features.log_mel import EXAMPLE_SAMPLES, SAMPLE_RATE_HZ
from tasks.video.config import MediaBounds
from tasks.video.frames import FrameReader, open_frames
from tasks.video.sound import read_sound

RATE_HZ = 1.0  # frames and windows of sound a second
BATCH = 32  # frames or windows at a time
INAUDIBLE = 1e-4  # of full scale: -80 dB


@dataclass(frozen=True)
class VideoFeatures:
    """T seconds of a video, in the feature space of YouTube-8M."""

    times_s: NDArray[np.float64]  # (T,)
    rgb: NDArray[np.float32]  # (T, 1024)
    audio: NDArray[np.float32]  # (T, 128); zeros where there is no sound
    has_sound: NDArray[np.bool_]  # (T,)
    facts: MediaFacts
    frames_read: int
    corrupt_frames: int

    @property
    def is_silent(self) -> bool:
        """Whether no second has any sound: its audio features are zeros, which the models have hardly seen."""
        return not self.has_sound.any()

    def per_second(self) -> NDArray[np.float32]:
        """Return the features (T, 1152) of each second: the picture, then the sound."""
        return np.concatenate([self.rgb, self.audio], axis=1)

    def mean(self) -> NDArray[np.float32]:
        """Return the features (1, 1152) of the video: the means over its seconds, of the sound over those with any."""
        audio = self.audio[self.has_sound].mean(axis=0) if not self.is_silent else np.zeros(AUDIO_SIZE)
        return np.concatenate([self.rgb.mean(axis=0), audio])[None].astype(np.float32)


def read_features(
    path: Path, bounds: MediaBounds, extractor: FeatureExtractor, progress: Progress | None = None
) -> VideoFeatures:
    """Compute the features of every second of a video.

    Raises:
        VideoError: the file is no video or picture, is broken or is out of bounds.
    """
    progress = progress or Silent()
    with open_frames(path, bounds, rate_hz=RATE_HZ) as reader:
        times_s, rgb = _of_frames(reader, extractor, progress, f"features of {path.name}")
    audio, has_sound = _of_sound(path, bounds, extractor, len(times_s))
    return VideoFeatures(
        times_s=times_s,
        rgb=rgb,
        audio=audio,
        has_sound=has_sound,
        facts=reader.facts,
        frames_read=reader.frames_read,
        corrupt_frames=reader.corrupt_frames,
    )


def _of_frames(
    reader: FrameReader, extractor: FeatureExtractor, progress: Progress, what: str
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    progress.begin(what, reader.facts.duration_s, "s")
    times_s: list[float] = []
    features: list[NDArray[np.float32]] = []
    frames = iter(reader)
    while batch := list(islice(frames, BATCH)):
        times_s += [frame.time_s for frame in batch]
        features.append(extractor.of_frames([frame.image for frame in batch]))
        progress.advance(what, len(batch) / RATE_HZ)
    return np.asarray(times_s, np.float64), np.concatenate(features)


def _of_sound(
    path: Path, bounds: MediaBounds, extractor: FeatureExtractor, seconds: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the features (T, 128) of the sound, and in which seconds there is any."""
    audio, has_sound = np.zeros((seconds, AUDIO_SIZE), np.float32), np.zeros(seconds, np.bool_)
    windows = islice(_windows(path, bounds), seconds)
    start = 0
    while batch := list(islice(windows, BATCH)):
        stop = start + len(batch)
        heard = np.abs(batch).max(axis=1) > INAUDIBLE
        if heard.any():
            audio[start:stop][heard] = extractor.of_sound(np.stack(batch)[heard])
        has_sound[start:stop] = heard
        start = stop
    return audio, has_sound


def _windows(path: Path, bounds: MediaBounds) -> Iterator[NDArray[np.float32]]:
    """Yield what VGGish hears of each second: .975 s (15600 samples) from its beginning on, whole ones alone."""
    kept = np.zeros(0, np.float32)
    for block in read_sound(path, bounds):
        kept = np.concatenate([kept, block])
        while len(kept) >= SAMPLE_RATE_HZ:
            yield kept[:EXAMPLE_SAMPLES]
            kept = kept[SAMPLE_RATE_HZ:]
    if len(kept) >= EXAMPLE_SAMPLES:
        yield kept[:EXAMPLE_SAMPLES]
