"""One process of the stack, before it runs.

In: nothing. Out: frozen values. Does not start anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """A command, its environment, and where it will answer."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # it may hold a password
    port: int | None = None  # that must be free before it starts
    address: str | None = None  # of its pages
    client_url: str | None = None  # where clients on this machine reach it, if not there
    health_url: str | None = None  # answers 200 once it is ready; None: a worker, which its server knows
    pool: str | None = None  # that a worker takes its runs from
