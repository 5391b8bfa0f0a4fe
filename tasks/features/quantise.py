"""The eight bits through which every feature of YouTube-8M has gone.

In: floats. Out: bytes, and floats again. The means of the dataset are means of dequantised values, so features of a
new video take the same way. Does not know what the features are.

Source: `Dequantize` of https://github.com/google/youtube-8m (utils.py) and `quantize` of its feature extractor.
"""

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = -2.0, 2.0
RANGE = HIGHEST - LOWEST


def quantise(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clip to [-2, 2] and round to the nearest of 256 steps, halves to even; any shape."""
    return np.rint((np.clip(values, LOWEST, HIGHEST) - LOWEST) * (255.0 / RANGE)).astype(np.uint8)


def quantise_sound(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """As `quantise`, but cut off instead of rounded, as VGGish's own postprocessor does."""
    return ((np.clip(values, LOWEST, HIGHEST) - LOWEST) * (255.0 / RANGE)).astype(np.uint8)


def dequantise(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `q * 4/255 + 4/512 - 2`; any shape."""
    return (codes.astype(np.float32) * (RANGE / 255.0) + (RANGE / 512.0 + LOWEST)).astype(np.float32)
