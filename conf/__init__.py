"""Settings: TOML, environment and options → the configs of the stages.

Every process of this project imports them first, so a fault of Python itself is worked around here.
"""

import ast
import atexit
import gc
import os
import sys
from functools import wraps
from threading import RLock
from typing import Any

GARBAGE_THRESHOLDS = (20_000, 50, 50)


def collect_rarely() -> None:
    """Let Python look for garbage in cycles less often, and not at all once the process is at its end.

    Importing Prefect, torch or MLflow makes a million objects that stay. To look through them again and again, as by
    default after each 700 more, took a seventh of the start of every process; to look through them when it ends, up to
    half a second more, though all its memory goes at once.
    """
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    atexit.register(_leave_garbage)


def _leave_garbage() -> None:
    """Have nothing looked at any more, unless DuckDB is there, which prints what of it was not freed."""
    (gc.unfreeze if "duckdb" in sys.modules else gc.freeze)()


def _parse_one_at_a_time() -> None:
    """Let `ast.parse` wait for its turn on Python 3.11, which counts the depth of recursion for all threads together.

    Of two that parse at once, one gets `SystemError: AST constructor recursion depth mismatch`
    (https://github.com/python/cpython/issues/106905; Python 3.12 is free of it). pydantic and attrs parse whenever
    they make a class whose fields have `dict` or `list` as default: a flow that imports its stages beside Prefect's
    threads failed with it now and then.
    """
    parse, lock = ast.parse, RLock()

    @wraps(parse)
    def parse_alone(*arguments: Any, **options: Any) -> ast.AST:  # noqa: ANN401 - whatever `ast.parse` takes
        with lock:
            return parse(*arguments, **options)

    ast.parse = parse_alone


# OpenMP's threads wait for each other's share asleep, unless somebody has said otherwise. By itself they spin: where
# the cores have other work as well, a training took seven times the processor's seconds, and as much longer.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when PyTorch is imported

if sys.version_info < (3, 12):
    _parse_one_at_a_time()
