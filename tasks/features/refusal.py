"""How a file of weights that cannot be used is told of.

In: a file, what is wrong with it, perhaps what a library said. Out: an error of one line. Does not read the file.
"""

from typing import NoReturn

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
