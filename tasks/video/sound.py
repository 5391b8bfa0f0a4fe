"""The sound of a video, as VGGish and others take it: mono, 16 kHz.

In: a path. Out: blocks of float32 samples in [-1, 1]; sample 0 is time 0 of the video. Does not keep them.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from tasks.video.config import MediaBounds
from tasks.video.container import open_container

SAMPLE_RATE_HZ = 16_000


def read_sound(path: Path, bounds: MediaBounds, *, block_s: float = 30.0) -> Iterator[NDArray[np.float32]]:
    """Yield the sound in blocks of `block_s` seconds, the last one shorter; nothing where there is none.

    Raises:
        VideoError: the file cannot be opened.
    """
    size = round(block_s * SAMPLE_RATE_HZ)
    kept: list[NDArray[np.float32]] = []
    count, left = 0, round(bounds.longest_s * SAMPLE_RATE_HZ)
    for samples in _samples(path):
        kept.append(samples[:left])
        count, left = count + len(kept[-1]), left - len(kept[-1])
        while count >= size:
            joined = np.concatenate(kept)
            yield joined[:size]
            kept, count = [joined[size:]], count - size
        if left <= 0:
            break
    if count:
        yield np.concatenate(kept)


def _samples(path: Path) -> Iterator[NDArray[np.float32]]:
    with open_container(path) as container:
        if not container.streams.audio:
            return
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        is_first = True
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
                pieces = [piece for frame in frames for piece in resampler.resample(frame)]
            except FFmpegError:  # what is broken is left out
                continue
            for piece in pieces:
                samples = piece.to_ndarray().reshape(-1).clip(-1, 1)
                if is_first and frames and frames[0].time:
                    yield np.zeros(max(0, round(frames[0].time * SAMPLE_RATE_HZ)), np.float32)
                is_first = False
                yield samples
