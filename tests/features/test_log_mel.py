"""The log-mel spectrogram beside TensorFlow's own."""

import numpy as np

from tasks.features.sound_network import (
    BANDS,
    EXAMPLE_SAMPLES,
    FFT,
    FRAMES,
    HIGHEST_HZ,
    HOP,
    LOG_OFFSET,
    LOWEST_HZ,
    SAMPLE_RATE_HZ,
    WINDOW,
    examples,
    log_mel,
)
from tests.support.late_tensorflow import tf


def by_tensorflow(samples: np.ndarray) -> np.ndarray:
    """The same spectrogram by `tf.signal`, whose Hann window is periodic and whose mel scale is HTK's."""
    spectrum = tf.signal.stft(samples, WINDOW, HOP, FFT, window_fn=tf.signal.hann_window)
    bands = tf.signal.linear_to_mel_weight_matrix(BANDS, FFT // 2 + 1, SAMPLE_RATE_HZ, LOWEST_HZ, HIGHEST_HZ)
    return tf.math.log(tf.abs(spectrum) @ bands + LOG_OFFSET).numpy()


def test_it_is_what_tensorflow_computes() -> None:
    times_s = np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(0).standard_normal(times_s.size) * 0.05
    samples = (0.5 * np.sin(2 * np.pi * 440 * times_s * (1 + times_s / 3)) + noise).astype(np.float32)
    ours = log_mel(samples)
    assert ours.shape == (1 + (samples.size - WINDOW) // HOP, BANDS)
    np.testing.assert_allclose(ours, by_tensorflow(samples), atol=2e-4)


def test_silence_is_the_offset_alone() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(WINDOW, np.float32)), np.log(LOG_OFFSET), rtol=1e-6)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    samples = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ).astype(np.float32)
    mel = 1127 * np.log1p(np.array([LOWEST_HZ, 1000, HIGHEST_HZ]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * (BANDS + 1) - 1
    assert abs(int(log_mel(samples).mean(axis=0).argmax()) - expected) <= 1


def test_an_example_is_what_vggish_looks_at() -> None:
    assert examples(np.zeros((2, EXAMPLE_SAMPLES), np.float32)).shape == (2, FRAMES, BANDS)
