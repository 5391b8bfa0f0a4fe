"""A pickled checkpoint from a stranger, opened so that nothing in it can run.

In: a .pkl file in the format of detectron2's model zoo: {"model": {name: array}, "__author__": text}. Out: the arrays.
Does not know the network.

A pickle is a program whose calls name what they call. Here the only names that mean anything are those that arrays are
put together from, and each stands for something of ours that admits no more than arrays need.
"""

import pickle
from collections import OrderedDict
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import WeightsError

ARRAY_KINDS = "fiub"  # floats, signed and unsigned integers, booleans


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint by their names.

    Raises:
        WeightsError: the file asks for anything but arrays, is cut short, or is laid out otherwise.
    """
    try:
        with path.open("rb") as file:
            # S301: this unpickler admits arrays only. Checkpoints of Python 2 hold their bytes as latin1.
            found = _ArraysOnly(file, encoding="latin1").load()
    except WeightsError as error:
        raise WeightsError(f"The weights {path} are refused: {error}") from error
    except (pickle.UnpicklingError, EOFError, OSError, MemoryError, RecursionError) as error:
        raise _unreadable(path, error) from error
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, LookupError) as error:
        raise _unreadable(path, error) from error  # what a broken program makes the unpickler do
    return _arrays_of(found, path)


class _ArraysOnly(pickle.Unpickler):
    """An unpickler for which nothing has a name but what arrays are put together from."""

    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: ANN401 - the base class's own signature
        """Return what a name stands for here.

        Raises:
            WeightsError: it is no part of an array.
        """
        try:
            return ADMITTED[module_name, global_name]
        except KeyError:
            raise WeightsError(
                f"it asks for {module_name}.{global_name}, and a checkpoint may ask for arrays only. It may be "
                "malicious: delete it, and fetch the weights again from where you trust."
            ) from None

    def persistent_load(self, pid: Any) -> NoReturn:  # noqa: ANN401 - the base class's own signature
        """Refuse references to anything outside of the file."""
        raise WeightsError(f"it refers to something outside of itself ({str(pid)[:40]!r}).")


class _Kind:
    """What `numpy.ndarray` stands for: it can be named, and not called."""


class _Type:
    """A plain number's type, in the place of a `numpy.dtype`, whose own state can be set to do harm."""

    def __init__(self, name: object, align: object = False, copy: object = True) -> None:
        del align, copy
        if not isinstance(name, str) or np.dtype(name).kind not in ARRAY_KINDS:
            raise WeightsError(f"it holds values of the type {str(name)[:40]!r}, and only numbers are admitted.")
        self.dtype: np.dtype[Any] = np.dtype(name)

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - whatever a stranger wrote
        """Take the order of the bytes: all that the state of a plain type says."""
        if not isinstance(state, tuple) or len(state) < 5 or state[2:5] != (None, None, None):
            raise WeightsError("it holds values that are put together from others, and only numbers are admitted.")
        if state[1] not in {"<", ">", "=", "|"}:
            raise WeightsError(f"it holds numbers in the order {str(state[1])[:10]!r}.")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array in the making, in the place of a `numpy.ndarray`: made only once all of its state has been looked at."""

    array: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - whatever a stranger wrote
        """Take shape, type, order and bytes, which must agree."""
        _, shape, kind, is_fortran, content = state
        raw = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(kind, _Type) or not isinstance(raw, bytes) or not isinstance(shape, tuple):
            raise WeightsError("it holds an array that is not one of numbers.")
        if any(not isinstance(side, int) or side < 0 for side in shape):
            raise WeightsError(f"it holds an array of the shape {str(shape)[:60]}.")
        if prod(shape) * kind.dtype.itemsize != len(raw):
            raise WeightsError(f"it holds an array of the shape {str(shape)[:60]}, but {len(raw):,} bytes for it.")
        self.array = np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if is_fortran else "C")


def _started(kind: object, shape: object, code: object) -> _Array:
    """Start an array as NumPy's pickles do: with nothing in it, so that no size can be asked for."""
    if kind is not _Kind or shape != (0,) or code not in {"b", b"b"}:
        raise WeightsError("it starts an array in a way that NumPy does not.")
    return _Array()


def _scalar(kind: object, content: object) -> Any:  # noqa: ANN401 - a number of any type
    """Return one number."""
    raw = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(kind, _Type) or not isinstance(raw, bytes) or len(raw) != kind.dtype.itemsize:
        raise WeightsError("it holds a number that is none.")
    return np.frombuffer(raw, kind.dtype)[0]


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """Return the bytes that protocols before 3 write as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise WeightsError(f"it asks to encode something as {str(encoding)[:40]!r}.")
    return text.encode("latin1")


ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Kind,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _started,
    ("numpy._core.multiarray", "_reconstruct"): _started,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
}


def _arrays_of(found: object, path: Path) -> dict[str, NDArray[Any]]:
    model = found.get("model") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(model, dict) or "__author__" not in found:
        raise WeightsError(
            f"The weights {path} are laid out otherwise than PixelLib's: `model` and `__author__` must be in it."
        )
    arrays = {}
    for name, made in model.items():
        if not isinstance(name, str) or not isinstance(made, _Array) or made.array is None:
            raise WeightsError(f"The weights {path} hold {str(name)[:80]!r}, which is no array of numbers.")
        arrays[name] = made.array
    return arrays


def _unreadable(path: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return WeightsError(
        f"The weights {path} are no checkpoint that can be read: {reason}. Delete it and fetch it again."
    )
