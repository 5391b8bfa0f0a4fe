"""TensorFlow, imported when it is needed and not before: it takes five seconds and more.

In: nothing. Out: the module. Does not know what for.
"""

import importlib
import os
from importlib.util import find_spec
from typing import Any


def late_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow has no types
    """Import TensorFlow, without what it writes on stderr of its own build, and without it taking a whole GPU."""
    _triton_first()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors alone
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # PyTorch wants some of that memory, too
    # PLC0415: the commands that need no features of YouTube-8M do not wait for it.
    import tensorflow as tf  # noqa: PLC0415

    return tf


def _triton_first() -> None:
    """Load Triton's library, where it is: PyTorch does so sooner or later, and after TensorFlow that kills the process.

    Both bring LLVM; with TensorFlow 2.21 and Triton 3.7 the one that comes second must not be Triton.
    """
    if find_spec("triton"):
        importlib.import_module("triton._C.libtriton")
