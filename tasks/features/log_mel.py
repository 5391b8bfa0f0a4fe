"""Sound as VGGish sees it: the logarithm of a mel spectrogram.

In: mono samples at 16 kHz. Out: log-mel spectrograms. Does not know any network.

All of it is as in `mel_features.py` and `vggish_params.py` of https://github.com/tensorflow/models
(research/audioset/vggish): a periodic Hann window of 25 ms every 10 ms, magnitudes (not powers) of a Fourier transform
of 512 points, 64 triangular bands between 125 and 7500 Hz on HTK's mel scale, without the lowest bin.
"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.video.sound import SAMPLE_RATE_HZ

WINDOW, HOP = 400, 160  # samples: 25 ms, 10 ms
FFT = 512  # the next power of two
FRAMES = 96  # of 10 ms: what VGGish looks at
BANDS = 64
LOWEST_HZ, HIGHEST_HZ = 125.0, 7500.0
LOG_OFFSET = 0.01
EXAMPLE_SAMPLES = (FRAMES - 1) * HOP + WINDOW  # 15,600: .975 s
MEL_BREAK_HZ, MEL_Q = 700.0, 1127.0


def examples(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what VGGish looks at (n, 96, 64) of windows of samples (n, 15600), in [-1, 1].

    Raises:
        ValueError: the windows are of another shape.
    """
    if windows.ndim != 2 or windows.shape[1] != EXAMPLE_SAMPLES:
        msg = f"windows must have shape (n, {EXAMPLE_SAMPLES}), got {windows.shape}"
        raise ValueError(msg)
    return log_mel(windows)


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the spectrogram (..., 1 + (n - 400) // 160, 64) of samples (..., n)."""
    stretches = sliding_window_view(samples.astype(np.float64), WINDOW, axis=-1)[..., ::HOP, :]
    magnitudes = np.abs(np.fft.rfft(stretches * _hann(), FFT))
    return np.log(magnitudes @ mel_matrix() + LOG_OFFSET).astype(np.float32)


@cache
def mel_matrix() -> NDArray[np.float64]:
    """Return how much of each of 257 bins goes into each of 64 bands: (257, 64)."""
    bins_mel = _mel(np.linspace(0, SAMPLE_RATE_HZ / 2, FFT // 2 + 1))[:, None]
    edges_mel = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2)
    lower, centre, upper = edges_mel[:-2], edges_mel[1:-1], edges_mel[2:]
    rising, falling = (bins_mel - lower) / (centre - lower), (upper - bins_mel) / (upper - centre)
    matrix = np.maximum(0, np.minimum(rising, falling))
    matrix[0] = 0  # HTK leaves the direct current out
    return matrix


def _mel(frequency_hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return MEL_Q * np.log(1 + np.asarray(frequency_hz) / MEL_BREAK_HZ)


@cache
def _hann() -> NDArray[np.float64]:
    """Return the periodic window, which is not the symmetric one of `np.hanning`."""
    return 0.5 - 0.5 * np.cos(2 * np.pi / WINDOW * np.arange(WINDOW))
