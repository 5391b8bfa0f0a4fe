"""The mean over a window of predictions: scores that no longer flicker.

In: scores (T, L). Out: smoothed scores (T, L). Does not know what the columns are.
"""

import numpy as np
from numpy.typing import NDArray

COLUMNS_A_BLOCK = 128  # bounds the memory of the sums in float64


def smoothed(scores: NDArray[np.float32], window: int, *, centred: bool = False) -> NDArray[np.float32]:
    """Return, for each moment, the mean of the scores over a window of moments.

    Args:
        scores: (T, L) in [0, 1].
        window: predictions in the mean, K. Causal: the last K, the moment's own among them, and at the beginning as
            many as there are. 1: the scores as they are.
        centred: (K - 1) // 2 moments back and K // 2 ahead; at both ends as many as there are.
    """
    if window == 1 or not len(scores):
        return scores
    first, last = _bounds(len(scores), window, centred=centred)
    counts = (last - first)[:, None]
    means = np.empty_like(scores)
    for column in range(0, scores.shape[1], COLUMNS_A_BLOCK):
        block = slice(column, column + COLUMNS_A_BLOCK)
        sums = np.zeros((len(scores) + 1, scores[:, block].shape[1]))
        np.cumsum(scores[:, block], axis=0, dtype=np.float64, out=sums[1:])
        means[:, block] = (sums[last] - sums[first]) / counts
    return np.clip(means, 0, 1, out=means)  # the difference of two sums may miss a bound by a rounding


def _bounds(moments: int, window: int, *, centred: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each window's first moment and the one after its last."""
    places = np.arange(moments)
    ahead = window // 2 if centred else 0
    return np.maximum(places - (window - 1 - ahead), 0), np.minimum(places + ahead + 1, moments)
