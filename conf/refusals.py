"""Why a setting is refused, in words: its name, its value, where it came from, and what is allowed.

In: pydantic's error, the layers and the model of the settings. Out: one line. Does not read any file.
"""

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from conf.layers import Layer, origin_of

NEXT_STEP = "`reelsift config show` prints what is in force."


def refusal(error: ValidationError, layers: Sequence[Layer], model: type[BaseModel]) -> str:
    """Say all that is wrong in one line."""
    reasons = [_reason(detail, layers, model) for detail in error.errors(include_url=False)]
    return " ".join([*dict.fromkeys(reasons), NEXT_STEP])


def _reason(detail: Any, layers: Sequence[Layer], model: type[BaseModel]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    location = [str(key) for key in detail["loc"]]
    where = f"{'.'.join(location)} (from {_origin(location, layers)})"
    if detail["type"] == "extra_forbidden":
        return f"There is no setting {where}{_hint(location, model)}"
    return f"The setting {where} is {detail['input']!r}: {_lower_first(detail['msg'].removeprefix('Value error, '))}."


def _origin(location: Sequence[str], layers: Sequence[Layer]) -> str:
    """Find the layer; pydantic's location may go on into a list or a union, where no layer has a key."""
    for length in range(len(location), 0, -1):
        origin = origin_of(location[:length], layers)
        if origin != "built-in":
            return origin
    return "built-in"


def _hint(location: Sequence[str], model: type[BaseModel]) -> str:
    names = _names_beside(location, model)
    near = difflib.get_close_matches(location[-1], names, n=2)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {', '.join(names)}." if names else "."


def _names_beside(location: Sequence[str], model: type[BaseModel]) -> list[str]:
    for key in location[:-1]:
        field = model.model_fields.get(key)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return list(model.model_fields)


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
