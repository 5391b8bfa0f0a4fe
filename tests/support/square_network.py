"""A YOLOX network in ONNX, small and written by hand, that finds squares of 32 pixels in pure colours.

Its output has the form of YOLOX's, (1, A, 85), with the grids of stride 8, 16 and 32; the two coarse ones are silent. A
red square is an apple, a green one a bottle, a blue one a cup; the score is how well the square fills the window around
a cell, known to the pixel. Source of the field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 128  # of the network's input, in pixels
SQUARE = 32  # side of a square, in pixels of the input
STRIDE = 8
CHANNELS = 85
COLOURS = {47: (2, "red"), 39: (1, "green"), 41: (0, "blue")}  # class id → its channel of BGR
FLOAT, INT64 = 1, 7
ATTRIBUTE_INT, ATTRIBUTE_INTS = 2, 7
EXTERNAL = 1


def square_network(
    *,
    side: int | None = SIDE,
    channels: int = CHANNELS,
    gain: float = 2.0,
    inputs: Sequence[str] = ("images",),
    clip: tuple[str, str] = ("Clip", ""),
    external: str | None = None,
) -> bytes:
    """Return the network; `side` None leaves the input's size open, `external` names a file for its weights."""
    names = ["every 8", "every 16", "every 32"]
    nodes = [
        _node("Conv", [inputs[0], "kernels", "biases"], "found", strides=[STRIDE] * 2, pads=[SQUARE // 2 - 4] * 4),
        _node(clip[0], ["found", "zero", "two"], names[0], domain=clip[1]),
        *(
            node
            for name, step in zip(names[1:], (2, 4), strict=True)
            for node in (
                _node("MaxPool", [names[0]], f"{name} loud", kernel_shape=[1, 1], strides=[step] * 2),
                _node("Mul", [f"{name} loud", "zero"], name),
            )
        ),
        *(
            node
            for name in names
            for node in (
                _node("Reshape", [name, "flat"], f"{name} flat"),
                _node("Transpose", [f"{name} flat"], f"{name} rows", perm=[0, 2, 1]),
            )
        ),
        _node("Concat", [f"{name} rows" for name in names], "output", axis=1),
    ]
    kernels, biases = _weights(channels, gain)
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"squares"),
            _field(5, _tensor("kernels", kernels, external)),
            _field(5, _tensor("biases", biases)),
            _field(5, _tensor("zero", np.array(0, np.float32))),
            _field(5, _tensor("two", np.array(2, np.float32))),
            _field(5, _tensor("flat", np.array([1, channels, -1], np.int64))),
            *(_field(11, _value(name, [1, 3, side or "height", side or "width"])) for name in inputs),
            _field(12, _value("output", [1, "anchors", channels])),
        ]
    )
    return _int(1, 8) + _field(7, graph) + _field(8, _int(2, 13))


def _weights(channels: int, gain: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A class scores gain * (mean of its colour less the others over the window) - 1."""
    kernels = np.zeros((channels, 3, SQUARE, SQUARE), np.float32)
    biases = np.zeros(channels, np.float32)
    biases[0:2], biases[2:4], biases[4] = 0.5, np.log(SQUARE / STRIDE), 1.0  # the cell's middle, a square's size, sure
    for class_id, (channel, _) in COLOURS.items():
        if 5 + class_id < channels:
            kernels[5 + class_id] = -gain / 255 / SQUARE**2
            kernels[5 + class_id, channel] *= -1
            biases[5 + class_id] = -1.0
    return kernels, biases


def _node(kind: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: int | list[int]) -> bytes:
    made = [_field(1, name.encode()) for name in inputs] + [_field(2, output.encode()), _field(4, kind.encode())]
    made += [_field(5, _attribute(name, value)) for name, value in attributes.items()]
    return b"".join(made) + (_field(7, domain.encode()) if domain else b"")


def _attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name.encode()) + _int(3, value) + _int(20, ATTRIBUTE_INT)
    return _field(1, name.encode()) + b"".join(_int(8, each) for each in value) + _int(20, ATTRIBUTE_INTS)


def _tensor(name: str, values: NDArray[np.float32] | NDArray[np.int64], external: str | None = None) -> bytes:
    kind = FLOAT if values.dtype == np.float32 else INT64
    made = b"".join(_int(1, side) for side in values.shape) + _int(2, kind) + _field(8, name.encode())
    if external is None:
        return made + _field(9, values.tobytes())
    location = _field(1, b"location") + _field(2, external.encode())
    return made + _field(13, location) + _int(14, EXTERNAL)


def _value(name: str, shape: Sequence[int | str], kind: int = FLOAT) -> bytes:
    sides = [_int(1, side) if isinstance(side, int) else _field(2, side.encode()) for side in shape]
    tensor = _int(1, kind) + _field(2, b"".join(_field(1, side) for side in sides))
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return bytes(made) + struct.pack("B", value)
