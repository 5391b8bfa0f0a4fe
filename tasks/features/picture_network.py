"""A frame to the 1,024 numbers that YouTube-8M keeps of it: Inception, then PCA with whitening.

In: RGB frames. Out: values before quantisation. Does not know videos.

Source: `feature_extractor.py` of https://github.com/google/youtube-8m (feature_extractor): the graph of 2015, frame by
frame into `DecodeJpeg:0` as uint8, out of `pool_3/_reshape:0`; `(x - mean) @ vectors / sqrt(values + 1e-4)`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import RGB_SIZE
from tasks.contracts.errors import WeightsError
from tasks.features.arrays import read_array
from tasks.weights.store import Weights

INPUT, OUTPUT = "DecodeJpeg:0", "pool_3/_reshape:0"
ACTIVATIONS = 2048
WHITENING = 1e-4  # added to each eigenvalue


class PictureNetwork:
    """Inception and its PCA, read and ready."""

    def __init__(self, graph: Weights, mean: Weights, values: Weights, vectors: Weights) -> None:
        self._session = _session(graph)
        self._mean = read_array(mean, (ACTIVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTIVATIONS, 1))[:RGB_SIZE, 0]
        self._projection = read_array(vectors, (ACTIVATIONS, ACTIVATIONS)).T[:, :RGB_SIZE]
        self._scale = np.sqrt(kept + WHITENING)
        if not np.isfinite(self._scale).all():
            raise WeightsError(f"The weights {values.path} hold eigenvalues below -{WHITENING}. Fetch them again.")

    def activations(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the activations (n, 2048) of RGB frames uint8 (H, W, 3), one after the other as the dataset's were."""
        made = [np.ravel(self._session.run(OUTPUT, {INPUT: image})) for image in images]
        return np.asarray(made, np.float32).reshape(len(images), -1)

    def project(self, activations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the whitened projections (n, 1024) of activations (n, 2048)."""
        if activations.shape[1:] != (ACTIVATIONS,):
            raise WeightsError(f"The graph gives activations of shape {activations.shape[1:]}, not ({ACTIVATIONS},).")
        return ((activations - self._mean) @ self._projection / self._scale).astype(np.float32)


def _session(graph: Weights) -> Any:  # noqa: ANN401 - a session of TensorFlow's, which is imported late
    """Read the graph and open a session on it.

    Raises:
        WeightsError: the file is no graph, or has not the two tensors.
    """
    import tensorflow as tf  # noqa: PLC0415 - five seconds that only those pay who need it
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - comes with it

    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(graph.path.read_bytes())
        loaded = tf.Graph()
        with loaded.as_default():
            tf.import_graph_def(definition, name="")
        for name in (INPUT, OUTPUT):
            loaded.get_tensor_by_name(name)
    except (DecodeError, OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"The weights {graph.path} are not the Inception graph of 2015 (with {INPUT} and {OUTPUT}): {reason}"
        ) from error
    return tf.compat.v1.Session(graph=loaded)
