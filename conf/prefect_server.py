"""The Prefect server that a command was given: whether one is named at all, and whether it answers.

What would end a run after minutes of retries is looked at before: the server, its database, the home's disk.
"""

import errno
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from conf.environment import DATABASE_VARIABLES
from conf.home import Home
from tasks.contracts.errors import ConfigError, DiskSpaceError, ServerError
from tasks.contracts.text import without_secrets

ANSWER_S = 5.0
TRIAL_BYTES = 4 << 20  # the tables of Prefect's database alone take one and a half
POSTGRES_PORT = 5432
API_VARIABLE = "PREFECT_API_URL"
# Where Prefect looks for settings beside the environment, and what names the file's part that is its own.
SETTINGS_FILES = {".env": "PREFECT_", "prefect.toml": "", "pyproject.toml": "tool.prefect"}


def names_a_server() -> bool:
    """Say whether a server is named: by the environment, or where Prefect looks as well, the home's profile first.

    Prefect is asked, and so imported, only where there is anything for it to find.
    """
    if os.environ.get(API_VARIABLE):
        return True
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or Path(os.environ["PREFECT_HOME"]) / "profiles.toml")
    if not profiles.is_file() and not any(_has(Path(name), mark) for name, mark in SETTINGS_FILES.items()):
        return False
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


def _has(file: Path, mark: str) -> bool:
    try:
        return mark in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def check_named_server() -> None:
    """See that the server that the environment names answers, and lets us in.

    Raises:
        ServerError: it does not.
    """
    import httpx

    url = os.environ[API_VARIABLE].rstrip("/")
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    named = f"{API_VARIABLE} names {without_secrets(url)}"
    try:
        answer = httpx.get(
            f"{url}/admin/version", auth=(user, password) if user else None, headers=key_header(), timeout=ANSWER_S
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        why = str(error) or type(error).__name__
        raise ServerError(
            f"{named}, where no Prefect server answers ({why}). Start it, or unset the variable."
        ) from error
    if answer.status_code in {401, 403}:
        raise ServerError(
            f"{named}, which does not let us in ({answer.status_code}): set PREFECT_API_AUTH_STRING=USER:PASSWORD."
        )
    if answer.is_error or not answer.headers.get("content-type", "").startswith("application/json"):
        raise ServerError(
            f"{named}, where something answers that is no Prefect server ({answer.status_code}). "
            "The address ends with /api, as a rule."
        )


def check_database() -> None:
    """See that the database server that the environment names for Prefect can be reached.

    Raises:
        ServerError: it cannot.
    """
    name = next((name for name in DATABASE_VARIABLES if os.environ.get(name)), None)
    if name is None:
        return
    address = urlsplit(os.environ[name])
    if not address.scheme.startswith("postgres"):
        return
    try:
        host, port = address.hostname or "localhost", address.port or POSTGRES_PORT
        with socket.create_connection((host, port), timeout=ANSWER_S):
            pass
    except (OSError, ValueError) as error:
        raise ServerError(
            f"{name} names a database that does not answer: {without_secrets(os.environ[name])} ({error}). "
            "Start it, or unset the variable."
        ) from error


def check_home(home: Home) -> None:
    """See that a home can be written to, by as much as a run's own record takes.

    Raises:
        DiskSpaceError: its disk is full.
        ConfigError: it cannot be written to for another reason.
    """
    trial = home.prefect / f".{os.getpid()}.trial.tmp"
    try:
        home.prefect.mkdir(parents=True, exist_ok=True)
        try:
            trial.write_bytes(bytes(TRIAL_BYTES))
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        raise (DiskSpaceError if is_full else ConfigError)(
            f"Nothing can be written in {home.root}: {error.strerror}. "
            + ("Free some space" if is_full else "Make it writable")
            + ", or name another folder in REELSIFT_HOME."
        ) from error


def key_header() -> dict[str, str]:
    """Return the header that shows the key of the environment, where there is one and no user and password."""
    key = os.environ.get("PREFECT_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key and not os.environ.get("PREFECT_API_AUTH_STRING") else {}
