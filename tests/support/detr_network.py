"""Networks of DETR's kind in ONNX, small and written by hand: each cell of a picture is a query.

One convolution gives a cell its logits, another its box; what goes in and comes out has the names and shapes of the
exports of D-FINE and RT-DETR (`finished`), of RF-DETR (`dets`, `labels`) or of transformers (`pred_boxes`, `logits`).
"""

from collections.abc import Sequence

import numpy as np

from tests.support.square_network import FLOAT, INT64, _field, _int, _node, _tensor, _value

SIDE, STRIDE = 64, 16
FINISHED = ("labels", "boxes", "scores")


def detr_network(
    *,
    outputs: Sequence[str] = ("pred_boxes", "logits"),
    classes: int = 80,
    batch: int | str = "n",
    sides: Sequence[int | str] = (SIDE, SIDE),
    first: int = 0,
    inputs: Sequence[str] = (),
    gain: float = 1.0,
    only_black: bool = False,
) -> bytes:
    """Return the network; `first` is added to the labels of a finished one, `inputs` are further ones.

    `only_black` fails on any other picture.
    """
    random = np.random.default_rng(7)
    for_logits = random.standard_normal((classes, 3, STRIDE, STRIDE)).astype(np.float32) * np.float32(gain / 8)
    for_boxes = random.standard_normal((4, 3, STRIDE, STRIDE)).astype(np.float32) / 16
    corners = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32)
    is_finished = tuple(outputs) == FINISHED
    boxes, logits = ("fractions", "said") if is_finished else outputs[:2]
    nodes = [
        _node("Conv", ["images", "for logits"], "logit maps", strides=[STRIDE, STRIDE]),
        _node("Conv", ["images", "for boxes"], "box maps", strides=[STRIDE, STRIDE]),
        _node("Reshape", ["logit maps", "flat logits"], "logit rows"),
        _node("Reshape", ["box maps", "flat boxes"], "box rows"),
        _node("Transpose", ["logit rows"], logits, perm=[0, 2, 1]),
        _node("Transpose", ["box rows"], "box columns", perm=[0, 2, 1]),
        _node("Sigmoid", ["box columns"], boxes),
    ]
    if is_finished:
        nodes += [
            _node("Sigmoid", ["said"], "sure"),
            _node("ReduceMax", ["sure"], "scores", axes=[2], keepdims=0),
            _node("ArgMax", ["said"], "best", axis=2, keepdims=0),
            _node("Add", ["best", "first"], "labels"),
            _node("Cast", ["orig_target_sizes"], "sizes", to=FLOAT),
            _node("Concat", ["sizes", "sizes"], "sides", axis=1),
            _node("Unsqueeze", ["sides", "one"], "scale"),
            _node("MatMul", ["fractions", "corners"], "corner fractions"),
            _node("Mul", ["corner fractions", "scale"], "boxes"),
        ]
    if only_black:  # times more than one, the shape of the logits is none
        nodes[:0] = [
            _node("ReduceMax", ["images"], "brightest", keepdims=0),
            _node("Mul", ["brightest", "levels"], "level"),
            _node("Cast", ["level"], "whole level", to=INT64),
            _node("Add", ["whole level", "one"], "times"),
            _node("Mul", ["logit shape", "times"], "flat logits"),
        ]
    taken = [_value("images", (batch, 3, *sides)), *(_value(name, [1]) for name in inputs)]
    taken += [_value("orig_target_sizes", (batch, 2), INT64)] if is_finished else []
    constants = {
        "for logits": for_logits,
        "for boxes": for_boxes,
        "corners": corners,
        "logit shape" if only_black else "flat logits": np.array([0, classes, -1], np.int64),
        "levels": np.array(255, np.float32),
        "flat boxes": np.array([0, 4, -1], np.int64),
        "first": np.array(first, np.int64),
        "one": np.array([1], np.int64),
    }
    kinds = {"labels": INT64} if is_finished else {}
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"queries"),
            *(_field(5, _tensor(name, values)) for name, values in constants.items()),
            *(_field(11, each) for each in taken),
            *(
                _field(
                    12,
                    _value(
                        name,
                        ["n", "q"] if name in {"labels", "scores"} and is_finished else ["n", "q", "c"],
                        kinds.get(name, FLOAT),
                    ),
                )
                for name in outputs
            ),
        ]
    )
    return _int(1, 8) + _field(7, graph) + _field(8, _int(2, 13))
