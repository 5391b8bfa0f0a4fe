"""TensorFlow, imported when it is needed and not before: it takes five seconds and more.

In: nothing. Out: the module. Does not know what for.
"""

import os
from typing import Any


def late_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow has no types
    """Import TensorFlow, without what it writes on stderr of its own build, and without it taking a whole GPU."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors alone
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # PyTorch wants some of that memory, too
    # PLC0415: the commands that need no features of YouTube-8M do not wait for it.
    import tensorflow as tf  # noqa: PLC0415

    return tf
