"""Matrices from files of a stranger.

In: a .npy or .npz file of weights. Out: float32 arrays of the shape that is wanted, finite. No pickle is opened, and no
more memory is taken than the file has bytes for. Does not know what they are for.
"""

import tokenize
import zipfile
import zlib
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import WeightsError
from tasks.weights.store import Weights

LARGEST_MEMBER_BYTES = 64 << 20  # of a .npz, unpacked; VGGish's largest has 65 KB
BROKEN = (OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, SyntaxError, tokenize.TokenError)
BROKEN_ZIP = (*BROKEN, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
LONGEST_CAUSE = 200  # characters of a library's own words

Shape = tuple[int | None, ...]  # None is any size


def refuse(weights: Weights, what: str, cause: Exception | None = None) -> NoReturn:
    """Say in one line what is wrong with a file of weights.

    Raises:
        WeightsError: always.
    """
    reason = f": {' '.join(str(cause).split())[:LONGEST_CAUSE].rstrip('. ')}" if cause and str(cause) else ""
    raise WeightsError(
        f"The weights {weights.record.name} in {weights.path} {what}{reason}. Delete that file, and "
        f"`reelsift weights fetch {weights.record.name}`."
    ) from cause


def read_array(weights: Weights, shape: Shape) -> NDArray[np.float32]:
    """Read an array of the given shape from a .npy file.

    Raises:
        WeightsError: it is no such array.
    """
    try:
        # Mapped, so that a header which promises more than the file holds is refused before memory is taken.
        array = np.load(weights.path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            refuse(weights, "are an archive, not one array")
        return _checked(weights, array, shape, "an array")
    except BROKEN as error:
        refuse(weights, "cannot be read as a NumPy array without pickles", error)


def read_arrays(weights: Weights, shapes: dict[str, Shape]) -> dict[str, NDArray[np.float32]]:
    """Read the arrays of those names and shapes from a .npz file.

    Raises:
        WeightsError: it lacks one, or has one of another shape.
    """
    try:
        with zipfile.ZipFile(weights.path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            missing = [name for name in shapes if f"{name}.npy" not in sizes]
            if missing:
                refuse(weights, f"hold no {', '.join(missing)}; there are {', '.join(sizes) or 'none'}")
            return {name: _member(weights, archive, name, shape) for name, shape in shapes.items()}
    except BROKEN_ZIP as error:
        refuse(weights, "cannot be read as NumPy arrays without pickles", error)


def _member(weights: Weights, archive: zipfile.ZipFile, name: str, shape: Shape) -> NDArray[np.float32]:
    size_bytes = archive.getinfo(f"{name}.npy").file_size
    if size_bytes > LARGEST_MEMBER_BYTES:
        refuse(weights, f"say that {name} has {size_bytes:,} bytes, over {LARGEST_MEMBER_BYTES:,}")
    with archive.open(f"{name}.npy") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    return _checked(weights, array, shape, name)


def _checked(weights: Weights, array: NDArray[np.generic], shape: Shape, name: str) -> NDArray[np.float32]:
    wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
    fits = array.ndim == len(shape) and all(want in {None, have} for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        refuse(weights, f"hold {name} of shape {array.shape}, and {wanted} is wanted")
    if array.dtype.kind != "f":
        refuse(weights, f"hold {name} of {array.dtype}, and floats are wanted")
    floats = np.array(array, np.float32)
    if not np.isfinite(floats).all():
        refuse(weights, f"hold {name} with values that are no finite numbers")
    return floats
