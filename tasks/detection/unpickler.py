"""A stranger's pickle, read without running any of it: only arrays come out.

In: the path of a checkpoint. Out: dicts, lists, tuples, texts, numbers and arrays. Does not know networks.

Python's own unpickler has no part in this: `pickletools` cuts the file into instructions, and those few that hold
arrays are followed here. Nothing that the file names is imported or called, and what it asks for beyond arrays is
refused by name. What is made is never larger than the file, nor are there more instructions than a checkpoint needs
many times over.
"""

import pickletools
from pathlib import Path
from typing import cast

from tasks.contracts.errors import WeightsError
from tasks.detection.unpickler_arrays import (
    Name,
    PickledArray,
    PickledType,
    RefusedError,
    Value,
    described,
    made_by,
    named,
)

LARGEST_FILE_BYTES = 1 << 30  # PointRend's larger checkpoint has 495 MB
MOST_INSTRUCTIONS = 1_000_000  # a checkpoint of 400 arrays has about 10,000
WHAT_TO_DO = "delete it, and fetch the real one with `reelsift weights fetch`."
MARK = object()

# Instructions that put their own argument on the stack.
TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
NUMBERS = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"}
PUSHED = TEXTS | BYTES | NUMBERS
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
