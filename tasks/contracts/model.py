"""The base of everything that is handed on or configured: frozen, complete, nothing unknown.

In: nothing. Out: `FrozenModel`. Does not know what is built upon it.
"""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A value: immutable, compared by its fields, refusing fields that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
