"""TensorFlow, imported when it is needed and not before: it takes five seconds and more.

In: nothing. Out: the module. Does not know what for.
"""

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

STDERR = 2
# Of its build and of a GPU that is not there, before any level of logging is obeyed: lines such as `I0000 00:00:17…`.
GREETINGS = re.compile(rb"WARNING: All log messages before absl|I\d{4} |To enable the following instructions")


def late_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow has no types
    """Import TensorFlow, without what it writes on stderr of its own build, and without it taking a whole GPU."""
    if "tensorflow" not in sys.modules:
        _pytorch_first()
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters is raised, too
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # PyTorch wants some of that memory, too
        with _without_greetings():
            importlib.import_module("tensorflow")
    # PLC0415: the commands that need no features of YouTube-8M do not wait for it.
    import tensorflow as tf  # noqa: PLC0415

    return tf


def _pytorch_first() -> None:
    """Load PyTorch and Triton's library before TensorFlow; a process that labels needs PyTorch anyway.

    After TensorFlow 2.21, PyTorch finds no CUDA ("Error loading CUDA libraries"), and Triton 3.7, which it loads sooner
    or later, ends the process: both bring an LLVM of their own.
    """
    importlib.import_module("torch")
    if find_spec("triton"):
        importlib.import_module("triton._C.libtriton")


@contextmanager
def _without_greetings() -> Iterator[None]:
    """Hold back what is written on stderr, also by C++ and other threads, and then pass on all but the greetings."""
    with tempfile.TemporaryFile() as held:
        kept = os.dup(STDERR)
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not GREETINGS.match(line):
                    os.write(STDERR, line)
