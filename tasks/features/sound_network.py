"""A second of sound to YouTube-8M's 128 values: log-mel spectrogram, VGGish, then PCA."""

from collections.abc import Iterable, Iterator
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.contracts.features import AUDIO_SIZE
from tasks.features.picture_network import late_tensorflow
from tasks.video.sound import SAMPLE_RATE_HZ
from tasks.weights.store import Weights
from tasks.weights.untrusted import read_arrays, refuse

WINDOW, HOP = 400, 160  # samples: 25 ms, 10 ms
FFT = 512  # the next power of two
FRAMES = 96  # of 10 ms: what VGGish looks at
BANDS = 64
PRODUCT_ROWS = 14  # of 257 x 64 products each: below the 262,144 from which OpenBLAS takes threads
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
    return np.log(_in_bands(magnitudes) + LOG_OFFSET).astype(np.float32)


def _in_bands(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the product (..., 64) of magnitudes (..., 257) and `mel_matrix`, a few rows at a time.

    OpenBLAS would share larger products among threads, which wait for each other far longer than they work: 7 ms for a
    second of sound instead of .07, where others want the cores.
    """
    rows = magnitudes.reshape(-1, magnitudes.shape[-1])
    full = np.pad(rows, ((0, -len(rows) % PRODUCT_ROWS), (0, 0))).reshape(-1, PRODUCT_ROWS, rows.shape[1])
    return (full @ mel_matrix()).reshape(-1, BANDS)[: len(rows)].reshape(*magnitudes.shape[:-1], BANDS)


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


# Blocks of convolutions, each followed by a pooling that halves both sides.
BLOCKS = (("conv1",), ("conv2",), ("conv3/conv3_1", "conv3/conv3_2"), ("conv4/conv4_1", "conv4/conv4_2"))
DENSE = ("fc1/fc1_1", "fc1/fc1_2")
EMBEDDING = "fc2"
NAMES = (*(name for block in BLOCKS for name in block), *DENSE, EMBEDDING)
PREFIX = "vggish/"
KERNEL = (3, 3)
POOLED = (FRAMES // 2 ** len(BLOCKS)) * (BANDS // 2 ** len(BLOCKS))  # places that are left of a picture
FLOAT_BYTES = 4

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]  # weights and biases


def read_layers(checkpoint: Weights) -> dict[str, Layer]:
    """Read every layer.

    Raises:
        WeightsError: the file is no checkpoint, not one of VGGish, or is damaged.
    """
    tf = late_tensorflow()
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(str(checkpoint.path))
        shapes = reader.get_variable_to_shape_map()
        _check_chain(checkpoint, shapes)
        layers = {name: (_read(reader, name, "weights"), _read(reader, name, "biases")) for name in NAMES}
    except (tf.errors.OpError, ValueError, RuntimeError, KeyError, IndexError, OSError) as error:
        refuse(checkpoint, "are no checkpoint of VGGish", error)
    for name, (weights, biases) in layers.items():
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            refuse(checkpoint, f"hold {PREFIX}{name} with values that are not finite")
    return layers


def _read(reader: Any, name: str, part: str) -> NDArray[np.float32]:  # noqa: ANN401 - TensorFlow's own
    return np.asarray(reader.get_tensor(f"{PREFIX}{name}/{part}"), np.float32)


def _check_chain(checkpoint: Weights, shapes: dict[str, list[int]]) -> None:
    """Hold the shapes, before anything is read, to each other and to the size of the file."""
    missing = [full for name in NAMES for part in ("weights", "biases") if (full := _full(name, part)) not in shapes]
    if missing:
        refuse(checkpoint, f"are no checkpoint of VGGish: it has no {missing[0]}, nor {len(missing) - 1} others")
    width = 1
    for name in NAMES:
        weights, biases = tuple(shapes[_full(name, "weights")]), tuple(shapes[_full(name, "biases")])
        width *= POOLED if name == DENSE[0] else 1
        wanted = (width, AUDIO_SIZE if name == EMBEDDING else weights[-1])
        wanted = wanted if name in {*DENSE, EMBEDDING} else (*KERNEL, *wanted)
        if weights != wanted or biases != wanted[-1:]:
            refuse(checkpoint, f"do not fit VGGish: {name} must have shape {wanted}, got {weights}, biases {biases}")
        width = wanted[-1]
    size_bytes = FLOAT_BYTES * sum(prod(shapes[_full(name, "weights")]) for name in NAMES)
    if size_bytes > checkpoint.path.stat().st_size:
        refuse(checkpoint, f"promise {size_bytes:,} bytes of values, more than the file has")


def _full(name: str, part: str) -> str:
    return f"{PREFIX}{name}/{part}"


PCA_VECTORS, PCA_MEANS = "pca_eigen_vectors", "pca_means"


class SoundNetwork:
    """VGGish and its PCA, read and ready."""

    def __init__(self, checkpoint: Weights, pca: Weights) -> None:
        """Read the files.

        Raises:
            WeightsError: one is not what it should be.
        """
        arrays = read_arrays(pca, {PCA_VECTORS: (AUDIO_SIZE, AUDIO_SIZE), PCA_MEANS: (AUDIO_SIZE, 1)})
        self._vectors, self._means = arrays[PCA_VECTORS], arrays[PCA_MEANS][:, 0]
        tf = late_tensorflow()
        layers = read_layers(checkpoint)
        self._layers = {name: (tf.constant(kernel), tf.constant(bias)) for name, (kernel, bias) in layers.items()}

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embeddings (n, 128) of windows of samples (n, 15600), mono, 16 kHz, in [-1, 1]."""
        tf = late_tensorflow()
        flow: Any = tf.constant(examples(windows)[..., None])
        for block in BLOCKS:
            for name in block:
                kernel, bias = self._layers[name]
                flow = tf.nn.relu(tf.nn.conv2d(flow, kernel, strides=1, padding="SAME") + bias)
            flow = tf.nn.max_pool2d(flow, ksize=2, strides=2, padding="SAME")
        flow = tf.reshape(flow, (len(windows), -1))
        for name in DENSE:
            kernel, bias = self._layers[name]
            flow = tf.nn.relu(flow @ kernel + bias)
        kernel, bias = self._layers[EMBEDDING]
        return (flow @ kernel + bias).numpy()

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the projections (n, 128) of embeddings (n, 128)."""
        return ((embeddings - self._means) @ self._vectors.T).astype(np.float32)


LEAST_SAMPLES = EXAMPLE_SAMPLES // 2  # of a last second that counts
MOST_WINDOWS = 30  # at once: bounds memory where windows overlap


def windows_of(
    blocks: Iterable[NDArray[np.float32]],
    length: int = EXAMPLE_SAMPLES,
    rate_hz: float = 1.0,
    *,
    is_filled_up: bool = True,
) -> Iterator[NDArray[np.float32]]:
    """Yield windows (n, length), one for each moment k / rate_hz, as many as have come with a block.

    What is left over at the end counts if it is half of VGGish's window or longer. It is filled up with silence, or
    comes as it is, in shape (1, shorter).
    """
    held = np.zeros(0, np.float32)
    begin, moment = 0, 0  # the sample with which `held` begins; the next window
    ready = max(length, round(SAMPLE_RATE_HZ / rate_hz))  # samples with which a moment is over
    for block in blocks:
        held = np.concatenate([held, block])
        starts = list[int]()
        while (start := round(moment * SAMPLE_RATE_HZ / rate_hz)) + ready <= begin + len(held):
            starts.append(start - begin)
            moment += 1
        for first in range(0, len(starts), MOST_WINDOWS):
            yield np.stack([held[start : start + length] for start in starts[first : first + MOST_WINDOWS]])
        gone = min(max(start - begin, 0), len(held))
        held, begin = held[gone:], begin + gone
    while len(rest := held[max(0, round(moment * SAMPLE_RATE_HZ / rate_hz) - begin) :]) >= LEAST_SAMPLES:
        window = rest[:length]
        yield np.pad(window, (0, length - len(window)))[None] if is_filled_up else window[None]
        moment += 1


STATISTICS_SAMPLES = SAMPLE_RATE_HZ  # a second
STATISTICS_SIZE = 2 * BANDS


def band_statistics(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over time of each of the 64 log-mel bands, then the standard deviations: (n, 128).

    Args:
        samples: (n, any number from 400 on), mono, 16 kHz, in [-1, 1].
    """
    bands = log_mel(samples)
    return np.concatenate([bands.mean(axis=-2), bands.std(axis=-2)], axis=-1).astype(np.float32)
