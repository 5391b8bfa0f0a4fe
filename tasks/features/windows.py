"""Sound cut into what VGGish hears of each second.

In: blocks of samples, of any length. Out: arrays of windows. Does not know what becomes of them.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.features.log_mel import EXAMPLE_SAMPLES
from tasks.video.sound import SAMPLE_RATE_HZ

LEAST_SAMPLES = EXAMPLE_SAMPLES // 2  # of a last second that counts


def windows_of(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Yield windows (n, 15600): the beginning of each of n seconds, as many as have come with a block.

    What is left over at the end counts as a second if it is half a window or longer, and is filled up with silence.
    """
    rest = np.zeros(0, np.float32)
    for block in blocks:
        samples = np.concatenate([rest, block])
        whole = len(samples) // SAMPLE_RATE_HZ * SAMPLE_RATE_HZ
        rest = samples[whole:]
        if whole:
            yield samples[:whole].reshape(-1, SAMPLE_RATE_HZ)[:, :EXAMPLE_SAMPLES]
    if len(rest) >= LEAST_SAMPLES:
        yield np.pad(rest[:EXAMPLE_SAMPLES], (0, max(0, EXAMPLE_SAMPLES - len(rest))))[None]
