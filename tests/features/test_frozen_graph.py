"""Graphs as they were written in 2015."""

from pathlib import Path

import numpy as np

from tasks.contracts.media import WeightsRecord
from tasks.features.picture_network import INPUT, OUTPUT, FrozenGraph
from tasks.weights.store import Weights
from tests.support.late_tensorflow import tf

NORM = "conv/batchnorm"
SHIFTS = {"mean": 0.1, "variance": 1.5, "beta": 0.2, "gamma": 0.9}


def write_graph_of_2015(path: Path, kernel: np.ndarray) -> None:
    """Write a graph of the operations of Inception's, two of which TensorFlow no longer lets anybody add."""
    raw = tf.raw_ops
    with tf.Graph().as_default() as graph:
        picture = raw.DecodeJpeg(contents=tf.constant(b"", name="DecodeJpeg/contents"), channels=3, name="DecodeJpeg")
        flow = raw.ExpandDims(input=tf.cast(picture, tf.float32), axis=tf.constant(0))
        flow = (raw.ResizeBilinear(images=flow, size=tf.constant([8, 8])) - 128.0) * (1 / 128.0)
        flow = raw.Conv2D(input=flow, filter=tf.constant(kernel), strides=[1, 1, 1, 1], padding="SAME")
        shifts = [tf.constant(value, shape=(4,), name=name) for name, value in SHIFTS.items()]
        flow = raw.Relu(features=raw.CheckNumerics(tensor=tf.identity(flow, name=NORM), message="conv"))
        pooled = [
            raw.MaxPool(input=flow, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
            raw.AvgPool(value=flow, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
        ]
        joined = raw.Concat(concat_dim=tf.constant(3), values=pooled)
        raw.Reshape(tensor=joined, shape=tf.constant([1, -1]), name="pool_3/_reshape")
    definition = graph.as_graph_def()
    norm = next(node for node in definition.node if node.name == NORM)
    norm.op = "BatchNormWithGlobalNormalization"
    norm.input.extend(shift.op.name for shift in shifts)
    norm.attr["variance_epsilon"].f = 0.001
    norm.attr["scale_after_normalization"].b = True
    definition.versions.producer = 8
    path.write_bytes(definition.SerializeToString())


def test_a_graph_of_2015_still_runs(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    kernel = np.random.default_rng(0).standard_normal((1, 1, 3, 4)).astype(np.float32)
    write_graph_of_2015(path, kernel)
    record = WeightsRecord(name="inception-2015", file_name=path.name, sha256="0" * 64)
    grey = np.full((20, 30, 3), 192, np.uint8)
    found = FrozenGraph(Weights(path, record), INPUT, OUTPUT)(grey).reshape(4, 4, 2, 4)
    convolved = 0.5 * kernel[0, 0].sum(axis=0)
    expected = np.maximum(0, (convolved - 0.1) / np.sqrt(1.5 + 0.001) * 0.9 + 0.2)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-4, atol=1e-5)
