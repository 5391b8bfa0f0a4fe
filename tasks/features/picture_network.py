"""A frame to YouTube-8M's 1,024 values: Inception, then PCA with whitening; TensorFlow is imported on first use."""

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.features import RGB_SIZE
from tasks.weights.store import Weights
from tasks.weights.untrusted import read_array, refuse

STDERR = 2
# Of its build and of a GPU that is not there, before any level of logging is obeyed: lines such as `I0000 00:00:17…`.
GREETINGS = re.compile(rb"WARNING: All log messages before absl|I\d{4} |To enable the following instructions")


def late_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow has no types
    """Import TensorFlow, without what it writes on stderr of its own build, and without it taking a whole GPU."""
    if "tensorflow" not in sys.modules:
        _pytorch_first()
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters is raised, too
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # PyTorch wants some of that memory, too
        with _without_greetings():
            importlib.import_module("tensorflow")
    # PLC0415: the commands that need no features of YouTube-8M do not wait for it.
    import tensorflow as tf  # noqa: PLC0415

    return tf


def _pytorch_first() -> None:
    """Load PyTorch and Triton's library before TensorFlow; a process that labels needs PyTorch anyway.

    After TensorFlow 2.21, PyTorch finds no CUDA ("Error loading CUDA libraries"), and Triton 3.7, which it loads sooner
    or later, ends the process: both bring an LLVM of their own.
    """
    importlib.import_module("torch")
    if find_spec("triton"):
        importlib.import_module("triton._C.libtriton")


@contextmanager
def _without_greetings() -> Iterator[None]:
    """Hold back what is written on stderr, also by C++ and other threads, and then pass on all but the greetings."""
    with tempfile.TemporaryFile() as held:
        kept = os.dup(STDERR)
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not GREETINGS.match(line):
                    os.write(STDERR, line)


# Those of the graph of 2015, and their successors in graphs of later versions.
OPERATIONS = """
    Add AddN AddV2 AvgPool BatchNormWithGlobalNormalization BiasAdd Cast CheckNumerics Concat ConcatV2 Const Conv2D
    DecodeJpeg DepthwiseConv2dNative ExpandDims FusedBatchNorm FusedBatchNormV3 Identity LRN MatMul MaxPool Mean Mul
    NoOp Pack Placeholder RealDiv Relu Relu6 Reshape ResizeBilinear Rsqrt Shape Softmax Squeeze StridedSlice Sub
"""


class FrozenGraph:
    """A graph in a session of its own."""

    def __init__(self, weights: Weights, source: str, target: str) -> None:
        """Read the graph.

        Raises:
            WeightsError: the file is no graph, has operations that are not admitted, or lacks one of the two tensors.
        """
        tf = late_tensorflow()
        # PLC0415: it comes with TensorFlow, and is as late.
        from google.protobuf.message import DecodeError  # noqa: PLC0415

        self._weights, self._source, self._target = weights, source, target
        definition = tf.compat.v1.GraphDef()
        try:
            definition.ParseFromString(weights.path.read_bytes())
            _check_operations(weights, definition)
            graph = tf.Graph()
            with graph.as_default():
                tf.graph_util.import_graph_def(definition, name="")
            for name in (source, target):
                graph.get_tensor_by_name(name)
        except (DecodeError, OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            refuse(weights, f"are no graph of TensorFlow's with {source} and {target}", error)
        self._session, self._failure = tf.compat.v1.Session(graph=graph), tf.errors.OpError

    def __call__(self, value: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return what the graph makes of a value.

        Raises:
            WeightsError: it cannot be run on it.
        """
        try:
            return self._session.run(self._target, {self._source: value})
        except (ValueError, TypeError, self._failure) as error:
            refuse(self._weights, f"cannot be run on {value.dtype} of shape {value.shape}", error)


def _check_operations(weights: Weights, definition: object) -> None:
    others = sorted({node.op for node in getattr(definition, "node", ())} - set(OPERATIONS.split()))
    functions = getattr(getattr(definition, "library", None), "function", ())
    if others or functions:
        named = ", ".join([*others, *(each.signature.name for each in functions)][:5])
        refuse(weights, f"hold operations that a network for pictures has no need of ({named})")


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
