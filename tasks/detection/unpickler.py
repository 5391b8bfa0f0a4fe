"""A pickle of arrays from an untrusted source, interpreted without importing or calling anything that it names."""

import math
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import WeightsError

Value = Any  # whatever a stranger put into the file

NUMBER_TYPE = re.compile(r"[<>|=]?[fiub][1248]")
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
        if not (isinstance(code, str) and NUMBER_TYPE.fullmatch(code)):
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
        raise RefusedError("it holds an array whose shape is not valid")
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


LARGEST_FILE_BYTES = 1 << 30  # PointRend's larger checkpoint has 495 MB
MOST_INSTRUCTIONS = 1_000_000  # a checkpoint of 400 arrays has about 10,000
WHAT_TO_DO = "delete it, and fetch the real one with `reelsift weights fetch`."
MARK = object()

# Instructions that put their own argument on the stack.
TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
NUMBER_OPCODES = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"}
PUSHED = TEXTS | BYTES | NUMBER_OPCODES
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NO_MEANING = {"PROTO", "FRAME"}


def read_arrays(path: Path) -> Value:
    """Return what the pickle at `path` holds; arrays come as `PickledArray`.

    Raises:
        WeightsError: it asks for anything but arrays, is damaged, or is too large.
    """
    try:
        return _Reader(_content(path)).read()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): {WHAT_TO_DO}") from error
    except RefusedError as error:
        raise WeightsError(f"{path} is no checkpoint of arrays: {error}. None of it was run: {WHAT_TO_DO}") from error
    # A damaged file shows itself in many ways: no such instruction, a stack too short, an argument of another kind.
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        said = " ".join(str(error).split())[:80] or type(error).__name__
        raise WeightsError(f"{path} is no whole pickle of arrays ({said}): {WHAT_TO_DO}") from error


def _content(path: Path) -> bytes:
    size_bytes = path.stat().st_size
    if size_bytes > LARGEST_FILE_BYTES:
        raise RefusedError(f"it has {size_bytes:,} bytes, over {LARGEST_FILE_BYTES:,}")
    return path.read_bytes()


class _Reader:
    """The stack and the memory of one reading."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._stack: list[Value] = []
        self._memory: dict[int, Value] = {}
        self._bytes_left = len(content)  # that may yet be made of what is in memory already

    def read(self) -> Value:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._content)):
            if count == MOST_INSTRUCTIONS:
                raise RefusedError(f"it has over {MOST_INSTRUCTIONS:,} instructions")
            if opcode.name == "STOP":
                break
            self._follow(opcode.name, argument)
        return self._stack.pop()

    def _follow(self, name: str, argument: Value) -> None:  # noqa: C901, PLR0912 - a table of cases, each on its own
        stack = self._stack
        match name:
            case _ if name in PUSHED:
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
            case "MARK":
                stack.append(MARK)
            case "TUPLE" | "LIST":
                taken = self._pop_to_mark()
                stack.append(taken if name == "LIST" else tuple(taken))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(TUPLES[name])))
            case "DICT":
                taken = self._pop_to_mark()
                stack.append({})
                self._set(taken)
            case "SETITEM" | "SETITEMS":
                self._set(self._pop(2) if name == "SETITEM" else self._pop_to_mark())
            case "APPEND" | "APPENDS":
                self._extend(self._pop(1) if name == "APPEND" else self._pop_to_mark())
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self._memory[argument] = stack[-1]
            case "MEMOIZE":
                self._memory[len(self._memory)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self._memory[argument])
            case _:
                self._make(name, argument)

    def _make(self, name: str, argument: Value) -> None:
        """Follow an instruction that makes something by a name."""
        match name:
            case "GLOBAL":
                self._stack.append(named(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                self._stack.append(named(".".join(self._pop(2))))
            case "REDUCE":
                called, arguments = self._pop(2)
                if called == Name("_codecs.encode"):
                    self._spend(len(arguments[0]))
                self._stack.append(made_by(called, arguments))
            case "BUILD":
                self._build(*self._pop(1))
            case _ if name not in NO_MEANING:
                asked = f" with {described(argument)}" if isinstance(argument, str) else ""
                raise RefusedError(f"it holds the instruction {name}{asked}")

    def _build(self, state: Value) -> None:
        built = self._stack[-1]
        # An ordered dict of PyTorch has an attribute, which says nothing of the arrays.
        if type(built) is dict:
            return
        if not isinstance(built, PickledArray | PickledType):
            raise RefusedError(f"it sets the attributes of {described(built)}")
        # A pickle of Python 2 has texts for bytes.
        if isinstance(built, PickledArray) and isinstance(state[-1], str):
            self._spend(len(state[-1]))
            state = (*state[:-1], state[-1].encode("latin-1"))
        built.set_state(state)

    def _spend(self, size_bytes: int) -> None:
        """Count copies of texts: one text of the file can be named many times."""
        self._bytes_left -= size_bytes
        if self._bytes_left < 0:
            raise RefusedError("it makes more bytes than it has")

    def _set(self, items: list[Value]) -> None:
        keys, values = items[::2], items[1::2]
        # Texts only: a key of nested tuples could take for ever to hash.
        if not all(type(key) is str for key in keys):
            raise RefusedError("a key in it is no text")
        cast("dict[str, Value]", self._top(dict)).update(zip(keys, values, strict=True))

    def _extend(self, items: list[Value]) -> None:
        cast("list[Value]", self._top(list)).extend(items)

    def _top(self, kind: type) -> Value:
        if type(self._stack[-1]) is not kind:
            raise RefusedError(f"it fills a {type(self._stack[-1]).__name__} as if it were a {kind.__name__}")
        return self._stack[-1]

    def _pop(self, count: int) -> list[Value]:
        if count > len(self._stack):
            raise ValueError("it takes more than there is")
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def _pop_to_mark(self) -> list[Value]:
        place = len(self._stack) - 1
        while self._stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise ValueError("a mark is missing")
        taken = self._stack[place + 1 :]
        del self._stack[place:]
        return taken
