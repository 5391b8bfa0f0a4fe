"""A second of sound to the 128 numbers that YouTube-8M keeps of it: VGGish, then PCA.

In: windows of samples. Out: values before quantisation. Does not know videos.

Source: `vggish_slim.py` and `vggish_postprocess.py` of https://github.com/tensorflow/models (research/audioset/vggish).
The embedding is taken before its ReLU, as the dataset's was.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import AUDIO_SIZE
from tasks.contracts.errors import WeightsError
from tasks.features.arrays import read_arrays
from tasks.features.log_mel import BANDS, FRAMES, examples
from tasks.weights.store import Weights

# Blocks of convolutions, each followed by a pooling that halves both sides.
BLOCKS = (("conv1",), ("conv2",), ("conv3/conv3_1", "conv3/conv3_2"), ("conv4/conv4_1", "conv4/conv4_2"))
DENSE = ("fc1/fc1_1", "fc1/fc1_2")
EMBEDDING = "fc2"
PREFIX = "vggish/"
PCA_VECTORS, PCA_MEANS = "pca_eigen_vectors", "pca_means"

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]  # weights and biases


class SoundNetwork:
    """VGGish and its PCA, read and ready."""

    def __init__(self, checkpoint: Weights, pca: Weights) -> None:
        self._layers = _read_layers(checkpoint)
        arrays = read_arrays(pca, {PCA_VECTORS: (AUDIO_SIZE, AUDIO_SIZE), PCA_MEANS: (AUDIO_SIZE, 1)})
        self._vectors, self._means = arrays[PCA_VECTORS], arrays[PCA_MEANS][:, 0]

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embeddings (n, 128) of windows of samples (n, 15600), mono, 16 kHz."""
        import tensorflow as tf  # noqa: PLC0415 - five seconds that only those pay who need it

        flow: Any = tf.constant(examples(windows)[..., None])
        for block in BLOCKS:
            for name in block:
                weights, biases = self._layers[name]
                flow = tf.nn.relu(tf.nn.conv2d(flow, weights, strides=1, padding="SAME") + biases)
            flow = tf.nn.max_pool2d(flow, ksize=2, strides=2, padding="SAME")
        flow = tf.reshape(flow, (len(windows), -1))
        for name in DENSE:
            weights, biases = self._layers[name]
            flow = tf.nn.relu(flow @ weights + biases)
        weights, biases = self._layers[EMBEDDING]
        return (flow @ weights + biases).numpy()

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the projections (n, 128) of embeddings (n, 128)."""
        return ((embeddings - self._means) @ self._vectors.T).astype(np.float32)


def _read_layers(checkpoint: Weights) -> dict[str, Layer]:
    """Read every layer; each must follow upon the one before it.

    Raises:
        WeightsError: the file is no checkpoint, or not of VGGish.
    """
    import tensorflow as tf  # noqa: PLC0415 - five seconds that only those pay who need it

    names = [*(name for block in BLOCKS for name in block), *DENSE, EMBEDDING]
    try:
        reader = tf.train.load_checkpoint(str(checkpoint.path))
        layers = {name: _layer(reader, name) for name in names}
    except (tf.errors.OpError, ValueError, RuntimeError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"The weights {checkpoint.path} are no checkpoint of VGGish: {reason}") from error
    _check_chain(layers, names, checkpoint)
    return layers


def _layer(reader: Any, name: str) -> Layer:  # noqa: ANN401 - TensorFlow's own
    return reader.get_tensor(f"{PREFIX}{name}/weights"), reader.get_tensor(f"{PREFIX}{name}/biases")


def _check_chain(layers: dict[str, Layer], names: list[str], checkpoint: Weights) -> None:
    width = 1
    for name in names:
        weights, biases = layers[name]
        if name == DENSE[0]:  # after four poolings
            width *= (FRAMES // 2 ** len(BLOCKS)) * (BANDS // 2 ** len(BLOCKS))
        if weights.shape[-2] != width or biases.shape != weights.shape[-1:] or not np.isfinite(weights).all():
            raise WeightsError(
                f"The weights {checkpoint.path} do not fit VGGish: {name} must take {width} values, got weights of "
                f"shape {weights.shape} and biases of shape {biases.shape}."
            )
        width = weights.shape[-1]
    if width != AUDIO_SIZE:
        raise WeightsError(f"The weights {checkpoint.path} give embeddings of {width} values, not {AUDIO_SIZE}.")
