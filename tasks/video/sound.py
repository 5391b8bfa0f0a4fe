"""The sound of a video, aligned with its pictures."""

import math
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from tasks.video.config import MediaBounds
from tasks.video.container import open_container, sound_of
from tasks.video.timeline import Timeline, packets_of, timeline_of

SAMPLE_RATE_HZ = 16_000
GAP_S = 0.1  # shorter ones are the rounding of time stamps; longer ones are sound that is missing or was broken
BLOCK_S = 30.0
MIXING = {"rematrix_maxval": "1.0"}  # as loud as one channel: two that say the same would else be cut off at 1

Samples = NDArray[np.float32]


def read_sound(path: Path, bounds: MediaBounds, *, block_s: float = BLOCK_S) -> Iterator[Samples]:
    """Yield the sound, mono at 16 kHz, in blocks of `block_s` seconds, the last one shorter.

    Nothing comes where there is no sound, or none that can be decoded. Sound that begins after the first picture, and
    gaps in it, are silence; what begins before it is left out, and so is what goes on after `bounds.longest_s`.

    Raises:
        VideoError: the file cannot be opened.
    """
    size = round(block_s * SAMPLE_RATE_HZ)
    kept: list[Samples] = []
    count = 0
    with open_container(path) as container:
        for samples in aligned_samples(container, timeline_of(path), bounds.longest_s):
            kept.append(samples[0])
            count += samples.shape[1]
            while count >= size:
                joined = np.concatenate(kept)
                yield joined[:size]
                kept, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(kept)


def aligned_samples(
    container: InputContainer,
    timeline: Timeline,
    longest_s: float,
    *,
    layout: str = "mono",
    rate_hz: int = SAMPLE_RATE_HZ,
) -> Iterator[Samples]:
    """Yield pieces of shape (channels, n), one after the other from the first picture on, without gaps or overlaps."""
    stream = sound_of(container)
    if stream is None:
        return
    place, left, latest_s = 0, round(longest_s * rate_hz), -math.inf
    for piece in _resampled(container, stream, timeline, layout, rate_hz):
        samples = _bounded(np.asarray(piece.to_ndarray(), np.float32))
        late = 0 if piece.time is None else round((piece.time - timeline.start_s) * rate_hz) - place
        is_telling = piece.time is not None and piece.time > latest_s  # else time stands still, as broken clocks do
        latest_s = latest_s if piece.time is None else piece.time
        if late < (-GAP_S * rate_hz if place else 0) and is_telling:
            samples = samples[:, -late:]  # of what is heard twice at once, where two recordings were put together
        elif late > (GAP_S * rate_hz if place else 0) and late < left:  # of a time beyond all bounds nothing is made
            yield from _silence(samples.shape[0], late, rate_hz)
            place, left = place + late, left - late
        samples = samples[:, :left]
        yield samples
        place, left = place + samples.shape[1], left - samples.shape[1]
        if left <= 0:
            return


def _bounded(samples: Samples) -> Samples:
    """Return samples within [-1, 1], zeros in the place of what is no number."""
    if not np.isfinite(np.vdot(samples, samples)):  # NaN or infinite, or so large that its square is
        samples = np.nan_to_num(samples)
    return np.minimum(np.maximum(samples, np.float32(-1)), np.float32(1))


def _silence(channels: int, count: int, rate_hz: int) -> Iterator[Samples]:
    """Yield zeros, a second at a time: a gap may be hours."""
    for start in range(0, count, rate_hz):
        yield np.zeros((channels, min(rate_hz, count - start)), np.float32)


def _resampled(
    container: InputContainer, stream: AudioStream, timeline: Timeline, layout: str, rate_hz: int
) -> Iterator[AudioFrame]:
    def fresh() -> av.AudioResampler:
        return av.AudioResampler(format="fltp", layout=layout, rate=rate_hz, options=MIXING)

    resampler = fresh()
    for frame in _decoded(container, stream, timeline):
        try:
            yield from resampler.resample(frame)
        except ValueError:  # the sound changes its form on the way
            yield from resampler.resample(None)
            resampler = fresh()
            yield from resampler.resample(frame)
        except FFmpegError:
            continue
    yield from resampler.resample(None)


def _decoded(container: InputContainer, stream: AudioStream, timeline: Timeline) -> Iterator[AudioFrame]:
    for packet in packets_of(container, stream, timeline):
        try:
            frames = stream.decode(packet)
        except (FFmpegError, MemoryError):  # what is broken is left out, and becomes a gap
            continue
        for frame in frames:
            frame.time_base = frame.time_base or stream.time_base
            yield frame
