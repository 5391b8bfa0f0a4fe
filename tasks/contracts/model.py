"""The pydantic base of all contracts and configs, and whether a host is this machine."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from tasks.contracts.text import inert, shown, without_secrets

# Fields for what a person or a stranger wrote: cleaned when a value is made, so that no table has to think of it.
ShownAddress = Annotated[str, AfterValidator(lambda text: inert(without_secrets(text)))]
ShownLine = Annotated[str, AfterValidator(shown)]


class FrozenModel(BaseModel):
    """A value: immutable, compared by its fields, refusing fields that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def is_loopback(host: str) -> bool:
    """Say whether nobody but this machine can reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
