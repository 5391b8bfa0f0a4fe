"""How functions that the interpreter calls are compiled, and kept compiled between runs."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numba import njit
from numba.core import config

SOURCES = ("compiled.py", "crc32c.py", "wire.py", "example.py", "sequence.py", "judge.py", "walker.py")

# numba's own annotations leave out what is used here.
_njit: Any = njit
_config: Any = config

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:  # integers are integers, of whatever width a machine keeps them in
    U32 = U64 = I64 = int
else:
    U32, U64, I64 = np.uint32, np.uint64, np.int64  # `I64` of a constant: else it is compiled for each value alone


def kernel(function: F) -> F:
    """Compile a function that is called from compiled code only, and allocates nothing.

    Without numba's reference counts: atomic additions on every slice and call took three quarters of the time.
    """
    return _njit(_nrt=False)(function)


def inlined(function: F) -> F:
    """Do as `kernel` does, and copy the function into each that calls it: twice as fast for the smallest ones."""
    return _njit(_nrt=False, forceinline=True)(function)


def entry_point(function: F) -> F:
    """Compile a function for the interpreter, from numba's cache on the disk where one can be kept."""
    try:
        return _njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder that could be written to: compile in every process
        return _njit(nogil=True)(function)


def source_revision() -> str:
    """Return a digest of all the code that is compiled.

    numba's cache notices changes to one file and to values that the function closes over. The code stands in several
    files, so entry points close over this; else an old cache would outlive a change.
    """
    digest = hashlib.sha256(f"boundscheck={_config.BOUNDSCHECK}".encode())
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()
