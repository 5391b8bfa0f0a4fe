"""Matrices read from untrusted files, and the error for weights that cannot be used."""

import tokenize
import zipfile
import zlib
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import WeightsError
from tasks.weights.store import Weights

LONGEST_CAUSE = 160  # characters of a library's own words


def refuse(weights: Weights, what: str, cause: Exception | None = None) -> NoReturn:
    """Say what is wrong with a file; `what` goes on after the file's name.

    Raises:
        WeightsError: always.
    """
    words = " ".join(str(cause).split()).rstrip(". ")[:LONGEST_CAUSE] if cause else ""
    raise WeightsError(
        f"The weights {weights.record.name} ({weights.path}) {what}{f': {words}' if words else ''}. Delete that file, "
        f"and `reelsift weights fetch {weights.record.name}`."
    ) from cause


LARGEST_MEMBER_BYTES = 64 << 20  # of a .npz, unpacked; VGGish's largest has 65 KB
DAMAGED = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),  # the last two of zipfile: unknown, encrypted
)

Shape = tuple[int, ...]


def read_array(weights: Weights, shape: Shape) -> NDArray[np.float32]:
    """Read the array of a .npy file.

    Raises:
        WeightsError: it is no array, or not one of finite floats of that shape.
    """
    try:
        # Mapped, so that a header which promises more than the file holds is refused before memory is taken.
        array = np.lib.format.open_memmap(weights.path, mode="r")
        return _checked(weights, "an array", array, shape)
    except DAMAGED as error:
        refuse(weights, "are no arrays of NumPy's", error)


def read_arrays(weights: Weights, shapes: dict[str, Shape]) -> dict[str, NDArray[np.float32]]:
    """Read the arrays of those names from a .npz file; others are not looked at.

    Raises:
        WeightsError: it lacks one, or has one that is not of finite floats of that shape.
    """
    try:
        with zipfile.ZipFile(weights.path) as archive:
            missing = [name for name in shapes if f"{name}.npy" not in archive.namelist()]
            if missing:
                refuse(weights, f"hold no {', '.join(missing)}")
            return {name: _checked(weights, name, _member(weights, archive, name), shapes[name]) for name in shapes}
    except DAMAGED as error:
        refuse(weights, "are no arrays of NumPy's", error)


def _member(weights: Weights, archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    size_bytes = archive.getinfo(f"{name}.npy").file_size
    if size_bytes > LARGEST_MEMBER_BYTES:
        refuse(weights, f"hold {name} of {size_bytes:,} bytes, over {LARGEST_MEMBER_BYTES:,}")
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _checked(weights: Weights, name: str, array: NDArray[np.generic], shape: Shape) -> NDArray[np.float32]:
    if array.shape != shape or array.dtype.kind != "f":
        refuse(weights, f"hold {name} that must have shape {shape} of floats, got {array.shape} of {array.dtype}")
    floats = np.array(array, np.float32)
    if not np.isfinite(floats).all():
        refuse(weights, f"hold {name} with values that are not finite")
    return floats
