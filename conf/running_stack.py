"""The local stack of a home, as the file that it leaves there tells.

In: a home. Out: which processes the stack has, where they answer, and whether they still live. Neither starts nor stops
any: that is the business of `deployments/stack`; flows and commands ask here whether there is a server to talk to.
"""

from pathlib import Path

import psutil
from pydantic import Field, ValidationError

from conf.home import Home
from tasks.contracts.errors import StackError
from tasks.contracts.files import write_text
from tasks.contracts.model import FrozenModel

STATE_NAME = "state.json"
PREFECT_SERVER, MLFLOW_SERVER = "prefect", "mlflow"
AUTH_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"  # USER:PASSWORD of the stack's one user


class RunningPart(FrozenModel):
    """A process of the stack. Its number alone would not do: the system gives numbers out again."""

    name: str
    pid: int
    started_s: float = Field(description="seconds since the epoch, as the system has it")
    log: Path
    address: str | None = Field(default=None, description="of its pages, where it has any")
    client_url: str | None = Field(default=None, description="where clients on this machine reach it, if not there")

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started_s and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


class StackState(FrozenModel):
    """What runs, and how it was asked for. Holds no password."""

    options: dict[str, str | int | None]
    parts: tuple[RunningPart, ...] = ()

    def part(self, name: str) -> RunningPart | None:
        """Return the part of that name."""
        return next((part for part in self.parts if part.name == name), None)


def running_part(home: Home, name: str) -> RunningPart | None:
    """Return a part of a home's stack, if it lives; of a damaged note, `reelsift status` tells."""
    try:
        state = read_state(home)
    except StackError:
        return None
    part = state.part(name) if state else None
    return part if part and part.is_alive else None


def read_state(home: Home) -> StackState | None:
    """Return what is noted of the stack; None where nothing is.

    Raises:
        StackError: the file is damaged.
    """
    path = home.stack / STATE_NAME
    try:
        return StackState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StackError(
            f"{path} cannot be read, so nobody knows what runs: `reelsift down` stops whatever belongs to this home."
        ) from error


def write_state(home: Home, state: StackState) -> None:
    """Note what runs."""
    write_text(home.stack / STATE_NAME, state.model_dump_json(indent=1) + "\n")


def forget_state(home: Home) -> None:
    """Note that nothing runs."""
    (home.stack / STATE_NAME).unlink(missing_ok=True)
