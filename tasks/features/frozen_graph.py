"""A frozen graph of TensorFlow's from a stranger.

In: a file of weights, the names of two tensors. Out: a function from one to the other. Does not know what it means.

A graph is a program, which could also read and write files: one with any operation that a network for pictures has no
need of is refused before it is loaded.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.features.late_tensorflow import late_tensorflow
from tasks.features.refusal import refuse
from tasks.weights.store import Weights

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
