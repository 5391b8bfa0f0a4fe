"""What every way of reading the registry answers."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RegisteredVersion:
    """A model version as the registry holds it, with the aliases that point to it in the order of the alphabet."""

    name: str
    version: int
    run_id: str
    created_ms: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
