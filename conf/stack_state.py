"""The local stack of a home, as the files that it leaves there tell: which processes it has, and its password.

Flows and commands ask here whether there is a server to talk to; `deployments/stack` starts and stops the processes.
"""

import os
import secrets
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import Field, ValidationError

from conf.home import Home
from tasks.contracts.errors import AccessError, StackError
from tasks.contracts.files import PRIVATE, write_text
from tasks.contracts.model import FrozenModel

STATE_NAME, PASSWORD_NAME = "state.json", "password"
PREFECT_SERVER, MLFLOW_SERVER = "prefect", "mlflow"
AUTH_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"  # USER:PASSWORD of the stack's one user
USER = "reelsift"
PASSWORD_BYTES = 24


@dataclass(frozen=True)
class Credentials:
    """The one user of the stack. Its password stays out of command lines, logs and files that others can read."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Return the user alone."""
        return f"Credentials(user={self.user!r})"

    @property
    def auth_string(self) -> str:
        """User and password as Prefect takes them."""
        return f"{self.user}:{self.password}"


class RunningPart(FrozenModel):
    """A process of the stack. Its number alone would not do: the system gives numbers out again."""

    name: str
    pid: int
    identity: str = Field(description="what tells the process from any other of its number, see `process_identity`")
    started_s: float = Field(description="seconds since the epoch, for people: a clock that is set moves it")
    log: Path
    port: int | None = Field(default=None, description="that it listens on")
    address: str | None = Field(default=None, description="of its pages, where it has any")
    client_url: str | None = Field(default=None, description="where clients on this machine reach it")

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            same = process_identity(self.pid) == self.identity
            return same and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    @property
    def has_its_port(self) -> bool:
        """Whether this process or one of its children listens on its port: another stack might."""
        with suppress(psutil.Error):
            root = psutil.Process(self.pid)
            return any(_listens(process, self.port) for process in [root, *root.children(recursive=True)])
        return False


def process_identity(pid: int) -> str:
    """Return what no other process has: the machine's start and the ticks since then, which no set clock moves.

    Raises:
        psutil.Error: there is no such process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux: there the kernel keeps the time that the clock had, and nothing moves it
        return f"{psutil.Process(pid).create_time():.6f}"
    return f"{boot}:{int(fields[19])}"  # `starttime`, the 22nd field: the 20th after the name


def age_s(pid: int) -> float:
    """Return for how many seconds a process has run, by no clock that anybody sets.

    Raises:
        psutil.Error: there is no such process.
    """
    boot, _, ticks = process_identity(pid).partition(":")
    if not ticks:
        return time.time() - float(boot)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK")


def _listens(process: psutil.Process, port: int | None) -> bool:
    with suppress(psutil.Error):
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in process.net_connections("inet")
        )
    return False


class StackState(FrozenModel):
    """What runs, and how it was asked for. Holds no password."""

    options: dict[str, bool | int | str | None]
    parts: tuple[RunningPart, ...] = ()

    def part(self, name: str) -> RunningPart | None:
        """Return the part of that name."""
        return next((part for part in self.parts if part.name == name), None)


def running_part(home: Home, name: str) -> RunningPart | None:
    """Return a server of a home's stack, if it lives and answers where it should; `reelsift status` shows damage."""
    try:
        state = read_state(home)
    except StackError:
        return None
    part = state.part(name) if state else None
    return part if part and part.is_alive and part.has_its_port else None


def home_credentials(home: Home, *, create: bool = False) -> Credentials | None:
    """Return the user and password that were made for a home, which only its owner can read.

    Raises:
        AccessError: others can read or write the file, or it holds no password.
    """
    path = home.stack / PASSWORD_NAME
    try:
        about = path.stat()
        user, _, password = path.read_text(encoding="ascii").strip().partition(":")
    except FileNotFoundError:
        return _new_credentials(home, path) if create else None
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"The stack's password cannot be read from {path}: {error}.") from error
    if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessError(
            f"Others can read the stack's password in {path}. Delete the file; `reelsift down`, then `reelsift up`, "
            "makes another one."
        )
    if not user or not password:
        raise AccessError(f"{path} holds no USER:PASSWORD. Delete it, and `reelsift up` makes another one.")
    return Credentials(user, password)


def credentials_in_force(home: Home) -> Credentials | None:
    """Return the user and password of a home's running stack: the home's own, or the environment's where it has those.

    Raises:
        StackError: what is noted of the stack, or its password, cannot be read.
    """
    state = read_state(home)
    if state is not None and state.options.get("login") == "home":
        return home_credentials(home)
    user, _, password = os.environ.get(AUTH_VARIABLE, "").partition(":")
    return Credentials(user, password) if user and password else None


def join_stack(home: Home) -> None:
    """Let runs of this process be seen at the Prefect server of the home's stack, where one runs.

    Raises:
        StackError: what is noted of the stack, or its password, cannot be read.
    """
    os.environ.update(stack_variables(home))


def stack_variables(home: Home) -> dict[str, str]:
    """Return what leads a client to the Prefect server of the home's stack; nothing where none runs.

    A password that the environment has already stays in force.

    Raises:
        StackError: what is noted of the stack, or its password, cannot be read.
    """
    server = running_part(home, PREFECT_SERVER)
    if server is None or not server.client_url:
        return {}
    found, credentials = {"PREFECT_API_URL": server.client_url}, credentials_in_force(home)
    if credentials and "PREFECT_API_AUTH_STRING" not in os.environ:
        found["PREFECT_API_AUTH_STRING"] = credentials.auth_string
    return found


def _new_credentials(home: Home, path: Path) -> Credentials | None:
    made = Credentials(USER, secrets.token_urlsafe(PASSWORD_BYTES))
    home.make_private(path.parent)
    # Created with its mode, so that there is no moment at which others could open it.
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(f"{made.auth_string}\n")
    except FileExistsError:  # made by another command a moment ago
        return home_credentials(home)
    except OSError as error:
        with suppress(OSError):
            path.unlink()  # an empty one would be taken for a damaged one
        raise OSError(error.errno, error.strerror, str(path)) from error
    return made


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
