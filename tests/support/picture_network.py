"""A small network for pictures in ONNX, written by hand: one convolution, and the means of its channels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.support.square_network import FLOAT, _field, _int, _node, _tensor, _value

SIDE, STRIDE, CHANNELS = 32, 8, 5
UINT8 = 2
FORMS = {"features": ["n", CHANNELS], "map": ["n", "a", "b", "c"]}


def kernels() -> NDArray[np.float32]:
    """The convolution's weights, (5, 3, 8, 8)."""
    return np.random.default_rng(5).standard_normal((CHANNELS, 3, STRIDE, STRIDE)).astype(np.float32)


def picture_network(
    *,
    sides: Sequence[int | str] = (SIDE, SIDE),
    batch: int | str = "n",
    colours_last: bool = False,
    takes_bytes: bool = False,
    outputs: Sequence[str] = ("features",),
    inputs: int = 1,
    external: str | None = None,
) -> bytes:
    """Return the network. Its outputs: `features` (n, 5); `map` (n, 5, h, w), or (n, h, w, 5) with colours last."""
    shape = (batch, *sides, 3) if colours_last else (batch, 3, *sides)
    nodes = [
        _node("Cast", ["picture"], "floats", to=FLOAT),
        _node("Transpose", ["floats"], "first", perm=[0, 3, 1, 2] if colours_last else [0, 1, 2, 3]),
        _node("Conv", ["first", "kernels"], "found", strides=[STRIDE, STRIDE]),
        _node("Transpose", ["found"], "map", perm=[0, 2, 3, 1] if colours_last else [0, 1, 2, 3]),
        _node("GlobalAveragePool", ["found"], "means"),
        _node("Flatten", ["means"], "features"),
    ]
    kind = UINT8 if takes_bytes else FLOAT
    taken = [_value("picture", shape, kind), *(_value(f"other {number}", [1]) for number in range(1, inputs))]
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"pictures"),
            _field(5, _tensor("kernels", kernels(), external)),
            *(_field(11, each) for each in taken),
            *(
                _field(12, _value(name, ["n", CHANNELS] if name == "features" else ["n", "a", "b", "c"]))
                for name in outputs
            ),
        ]
    )
    return _int(1, 8) + _field(7, graph) + _field(8, _int(2, 13))
