"""The layers of VGGish, from a checkpoint of TensorFlow 1.

In: a file of weights. Out: weights and biases of each layer, which fit each other. Does not run them.

The numbers of channels are those of the file: 64, 128, 256 and 512, then 4096 twice, in the published one.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import AUDIO_SIZE
from tasks.features.late_tensorflow import late_tensorflow
from tasks.features.log_mel import BANDS, FRAMES
from tasks.features.refusal import refuse
from tasks.weights.store import Weights

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
