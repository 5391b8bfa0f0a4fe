"""The table of weights: `conf/weights.toml`.

In: the file. Out: what is known of each file of weights, by name. Does not look for the files.
"""

import tomllib
from functools import cache
from pathlib import Path

from tasks.weights.config import WeightsEntry

TABLE = Path(__file__).with_name("weights.toml")


@cache
def load_weights_table() -> dict[str, WeightsEntry]:
    """Return the entries of the shipped table, in its order."""
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: WeightsEntry.model_validate(entry) for name, entry in entries.items()}
