"""Settings: TOML, environment and options → the configs of the stages.

Every process of this project imports them first, so a fault of Python itself is worked around here.
"""

import ast
import sys
from functools import wraps
from threading import RLock
from typing import Any


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


if sys.version_info < (3, 12):
    _parse_one_at_a_time()
