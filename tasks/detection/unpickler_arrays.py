"""What a pickle of arrays may ask for, made by hand: no function of the file's choice is called.

In: names and arguments, as a pickle has them. Out: arrays, backed by the bytes of the file. Does not know how a pickle
is read. The forms are those that NumPy 1 and 2 write in pickle protocols 2 to 5 (`numpy.ndarray.__reduce_ex__`).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Value = Any  # whatever a stranger put into the file

NUMBERS = re.compile(r"[<>|=]?[fiub][1248]")
# Tuples, not sets: what a file gives may take for ever to hash.
ENCODINGS = ("latin1", "latin-1")
BYTE_ORDERS = ("<", ">", "|", "=")
MOST_CHARACTERS = 80  # of the file, in a message
MOST_SIDES = 8
LONGEST_SIDE = 1 << 32


class RefusedError(Exception):
    """A pickle asks for what is no array; the message goes on after `it is no checkpoint of arrays:`."""


def described(value: Value) -> str:
    """Say what a value is, for a message: of the file's own making, it may be endless, or itself be in itself."""
    return repr(value[:MOST_CHARACTERS]) if isinstance(value, str) else f"a {type(value).__name__}"


@dataclass(frozen=True)
class Name:
    """Something that a pickle names, `module.name`: a word, and no more."""

    text: str


class PickledType:
    """The type of an array's elements: numbers only."""

    def __init__(self, *arguments: Value) -> None:
        code = arguments[0]
        if not (isinstance(code, str) and NUMBERS.fullmatch(code)):
            raise RefusedError(f"it holds an array of {described(code)}, and only numbers are let in")
        self.dtype = np.dtype(code)

    def set_state(self, state: Value) -> None:
        """Take (version, byte order, …)."""
        if state[1] not in BYTE_ORDERS:
            raise RefusedError(f"it holds an array in the byte order {described(state[1])}")
        self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """An array, which is None until its state has come; read-only, as its bytes are the file's."""

    def __init__(self, *arguments: Value) -> None:
        if arguments[0] != Name("numpy.ndarray"):
            raise RefusedError(f"it holds an array of the kind {described(arguments[0])}")
        self.array: NDArray[Any] | None = None

    def set_state(self, state: Value) -> None:
        """Take (version, shape, type, is in Fortran's order, bytes)."""
        _, shape, kind, is_fortran, raw = state
        self.array = array_of(raw, kind, shape, "F" if is_fortran is True else "C")


def array_of(raw: Value, kind: Value, shape: Value, order: Literal["C", "F"]) -> NDArray[Any]:
    """Return an array over `raw`, which must have just as many bytes as the shape needs."""
    if not isinstance(kind, PickledType):
        raise RefusedError(f"it holds an array of {described(kind)}, and only numbers are let in")
    if not (isinstance(raw, bytes | bytearray) and isinstance(shape, tuple)):
        raise RefusedError(f"it holds an array made of {described(raw)}, and only bytes are let in")
    if len(shape) > MOST_SIDES or not all(type(side) is int and 0 <= side <= LONGEST_SIDE for side in shape):
        raise RefusedError("it holds an array of a shape that is none")
    needed_bytes = math.prod(shape) * kind.dtype.itemsize
    if needed_bytes != len(raw):
        raise RefusedError(f"it holds an array of the shape {shape}, {needed_bytes:,} bytes, with {len(raw):,} bytes")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order)


def _scalar(kind: Value, raw: Value) -> Value:
    return array_of(raw, kind, (), "C")[()]


def _from_buffer(raw: Value, kind: Value, shape: Value, order: Value) -> PickledArray:
    """Protocol 5 names the bytes outright."""
    made = PickledArray(Name("numpy.ndarray"))
    made.set_state((1, shape, kind, order == "F", raw))
    return made


def _encode(text: Value, encoding: Value) -> bytes:
    """Protocol 2 has no bytes: they come as a text in Latin-1."""
    if not isinstance(text, str) or encoding not in ENCODINGS:
        raise RefusedError(f"it encodes {described(text)} in {described(encoding)}")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """Protocols 0 to 2 have this for no bytes at all."""
    return b""


def _ordered_dict() -> dict[str, Any]:
    return {}


MADE: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "numpy.dtype": PickledType,
    **{
        f"numpy.{core}.{name}": made
        for core in ("core", "_core")  # of NumPy 1 and of NumPy 2
        for name, made in (
            ("multiarray._reconstruct", PickledArray),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
ADMITTED = {*MADE, "numpy.ndarray"}


def named(text: str) -> Name:
    """Return a name that a pickle asks for.

    Raises:
        RefusedError: it is none that arrays need.
    """
    if text not in ADMITTED:
        raise RefusedError(f"it asks for {described(text)}")
    return Name(text)


def made_by(name: Value, arguments: Value) -> Value:
    """Return what calling `name` stands for; nothing but the functions above is called."""
    if not (isinstance(name, Name) and name.text in MADE and isinstance(arguments, tuple)):
        raise RefusedError(f"it calls {described(name)}")
    return MADE[name.text](*arguments)
