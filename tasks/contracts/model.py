"""The pydantic base of all contracts and configs, fields that they share, local hosts, and the revision of the code."""

import ipaddress
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tasks.contracts.errors import ConfigError
from tasks.contracts.text import inert, shown, without_secrets

Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Fields for what a person or a stranger wrote: cleaned when a value is made, so that no table has to think of it.
ShownAddress = Annotated[str, AfterValidator(lambda text: inert(without_secrets(text)))]
ShownLine = Annotated[str, AfterValidator(shown)]


class FrozenModel(BaseModel):
    """A value: immutable, compared by its fields, refusing fields that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


ModelT = TypeVar("ModelT", bound=BaseModel)


def checked(kind: type[ModelT], /, **values: Any) -> ModelT:  # noqa: ANN401 - fields of any kind
    """Return the value of these fields.

    Raises:
        ConfigError: one is not what it may be; the message names it.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "options"
        raise ConfigError(f"{where}: {first['msg']}, got {first['input']!r}.") from error


def first_fault(error: ValidationError) -> str:
    """Say what is wrong with a file of JSON, and where in it, in one line."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else fault["msg"]


def is_loopback(host: str) -> bool:
    """Say whether nobody but this machine can reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


CHECKOUT = Path(__file__).parents[2]
GIT_TIMEOUT_S = 10


@cache
def code_revision() -> str:
    """Return `<version>+<commit>`, with `.dirty` where tracked files differ from it; the version alone elsewhere."""
    release = version("reelsift")
    if not (CHECKOUT / ".git").exists():
        return release
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return release
    return f"{release}+{commit}{'.dirty' if _git('status', '--porcelain', '--untracked-files=no') else ''}"


def _git(*arguments: str) -> str:
    """Return what git prints, or nothing where it is missing, slow or refuses the checkout."""
    command = ["git", "-C", str(CHECKOUT), *arguments]
    try:
        # S603, S607: fixed arguments; `git` is whichever the person who runs this has.
        run = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
