"""The stack, taken down.

In: a home. Out: no process of its stack. Workers go first, with the runs that they have, so that the server hears how
these ended; what bears the stack's mark goes at last, whoever its parents were.
"""

from contextlib import closing, suppress
from dataclasses import dataclass

from conf.home import Home
from conf.running_stack import (
    MLFLOW_SERVER,
    PREFECT_SERVER,
    StackState,
    credentials_in_force,
    forget_state,
    read_state,
)
from deployments.stack.lock import alone
from deployments.stack.prefect_api import PrefectApi
from deployments.stack.processes import marked, stop, trees
from deployments.stack.upkeep import note_known
from flows.commands.private_server import leftover_servers
from tasks.contracts.errors import StackError

WORKERS_PATIENCE_S = 8.0
SERVERS_PATIENCE_S = 5.0
SERVERS = (MLFLOW_SERVER, PREFECT_SERVER)


@dataclass(frozen=True)
class Downed:
    """What a call of `take_down` did."""

    parts: tuple[str, ...]  # that lived
    processes: int  # that were ended, the parts' own and those that came of them
    killed: int  # of these, that did not end when they were asked to


def take_down(home: Home) -> Downed:
    """End every process of the stack; nothing happens where there is none.

    Raises:
        StackError: somebody else is at it, or a process cannot be ended.
    """
    with alone(home):
        state = _known(home)
        living = [part for part in state.parts if part.is_alive]
        _note_known(home, state)
        workers = trees(part for part in living if part.name not in SERVERS)
        servers = trees(part for part in living if part.name in SERVERS)
        killed = stop(workers, WORKERS_PATIENCE_S) + stop(servers, SERVERS_PATIENCE_S)
        left = [*marked(home.root), *leftover_servers(home)]
        killed += stop(left, SERVERS_PATIENCE_S)
        forget_state(home)
    return Downed(tuple(part.name for part in living), len(workers) + len(servers) + len(left), killed)


def _note_known(home: Home, state: StackState) -> None:
    """Remember what people made on the server, if only they could: `up` switches off what is added from now on."""
    server = state.part(PREFECT_SERVER)
    with suppress(StackError):
        credentials = credentials_in_force(home)
        if credentials and server and server.client_url and server.is_alive and server.has_its_port:
            with closing(PrefectApi(server.client_url, credentials)) as api:
                note_known(api, home)


def _known(home: Home) -> StackState:
    """Return what is noted; a damaged note is none, as the mark tells what must go."""
    try:
        return read_state(home) or StackState(options={})
    except StackError:
        return StackState(options={})
