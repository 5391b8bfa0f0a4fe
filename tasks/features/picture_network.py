"""A frame to the 1,024 numbers that YouTube-8M keeps of it: Inception, then PCA with whitening.

In: RGB frames. Out: values before quantisation. Does not know videos.

Source: `feature_extractor.py` of https://github.com/google/youtube-8m (feature_extractor): the graph of 2015, frame by
frame into `DecodeJpeg:0` as uint8, out of `pool_3/_reshape:0`; `(x - mean) @ vectors / sqrt(values + 1e-4)`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import RGB_SIZE
from tasks.features.arrays import read_array
from tasks.features.frozen_graph import FrozenGraph
from tasks.features.refusal import refuse
from tasks.weights.store import Weights

INPUT, OUTPUT = "DecodeJpeg:0", "pool_3/_reshape:0"
ACTIVATIONS = 2048
WHITENING = 1e-4  # added to each eigenvalue


class PictureNetwork:
    """Inception and its PCA, read and ready."""

    def __init__(self, graph: Weights, mean: Weights, values: Weights, vectors: Weights) -> None:
        """Read the files.

        Raises:
            WeightsError: one is not what it should be.
        """
        self._mean = read_array(mean, (ACTIVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTIVATIONS, 1))[:RGB_SIZE, 0]
        if (kept < 0).any():
            refuse(values, f"hold variances below 0, the least {kept.min():g}")
        scale = np.sqrt(kept + np.float32(WHITENING))
        components = read_array(vectors, (ACTIVATIONS, ACTIVATIONS)).T[:, :RGB_SIZE]
        self._projection = np.ascontiguousarray(components / scale)
        self._graph = FrozenGraph(graph, INPUT, OUTPUT)
        self._weights = graph

    def activations(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the activations (n, 2048) of RGB frames uint8 (H, W, 3), one after the other as the dataset's were.

        Raises:
            WeightsError: the graph gives others.
        """
        made = [np.ravel(self._graph(image)) for image in images]
        wrong = next((each.shape for each in made if each.shape != (ACTIVATIONS,)), None)
        if wrong:
            refuse(self._weights, f"give activations of shape {wrong}, not ({ACTIVATIONS},)")
        return np.asarray(made, np.float32).reshape(len(images), ACTIVATIONS)

    def project(self, activations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the whitened projections (n, 1024) of activations (n, 2048)."""
        return ((activations - self._mean) @ self._projection).astype(np.float32)
