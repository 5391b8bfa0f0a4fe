"""A second of sound to the 128 numbers that YouTube-8M keeps of it: VGGish, then PCA.

In: windows of samples. Out: values before quantisation. Does not know videos.

Source: `vggish_slim.py` and `vggish_postprocess.py` of https://github.com/tensorflow/models (research/audioset/vggish).
The embedding is taken before its ReLU, as the dataset's was.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import AUDIO_SIZE
from tasks.features.arrays import read_arrays
from tasks.features.late_tensorflow import late_tensorflow
from tasks.features.log_mel import examples
from tasks.features.vggish_layers import BLOCKS, DENSE, EMBEDDING, read_layers
from tasks.weights.store import Weights

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
