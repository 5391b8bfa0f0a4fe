"""The eight bits through which every feature of YouTube-8M has gone.

In: floats. Out: bytes, and floats again. The means of the dataset are means of dequantised values, so features of a
new video take the same way. Does not know what the features are.

Source: `Dequantize` of https://github.com/google/youtube-8m (utils.py) and VGGish's `vggish_postprocess.py`.
"""

import numpy as np
from numpy.typing import NDArray

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
