"""A step before `mlflow server`: it makes the database whole, and lets in the user that the environment names, if any.

MLflow alone would keep the password of the first start, whatever a later one says, and could not go on where a killed
one had broken off.
"""

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.contracts.files import PRIVATE, sqlite_uri
from tasks.tracking.store import tracking_store

USER_VARIABLE = "MLFLOW_AUTH_ADMIN_USERNAME"
PASSWORD_VARIABLE = "MLFLOW_AUTH_ADMIN_PASSWORD"  # noqa: S105 - a name
ONE_USER, ANYBODY = "one-user", "anybody"
SETTINGS_NAME, USERS_NAME = "users.ini", "users.db"
# The password is in the environment, and in no file. A user with access may look. Deriving a key from a password
# takes most of the time of a request, so what was right is remembered: by the one worker, which hears of every change.
SETTINGS = """\
[mlflow]
database_uri = {users}
default_permission = READ
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 300
"""


def prepared(command: Sequence[str], home: Path, uri: str, *, has_user: bool) -> tuple[str, ...]:
    """Return the command of the server of a home's database at `uri`, with this step before it."""
    return (sys.executable, "-m", __name__, str(home), uri, ONE_USER if has_user else ANYBODY, *command)


def main(home: Path, uri: str, who: str, command: Sequence[str]) -> None:
    """Prepare what the server reads, and become it."""
    store = tracking_store(home, uri)
    if not store.has_tables:
        from tasks.tracking.client import make_tables  # noqa: PLC0415 - MLflow takes seconds

        make_tables(store)
    if who == ONE_USER:
        _let_in_one_user(store.folder)
    # S606: a command of the stack's own making, without a shell.
    os.execv(command[0], list(command))  # noqa: S606


def _let_in_one_user(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    users, settings = folder / USERS_NAME, folder / SETTINGS_NAME
    for stale in folder.glob(f"{USERS_NAME}*"):  # with SQLite's journals
        stale.unlink()
    users.touch(mode=PRIVATE)  # it will hold digests of passwords
    settings.write_text(SETTINGS.format(users=sqlite_uri(users).replace("%", "%%")), encoding="utf-8")
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(settings)
    os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secrets.token_hex(32)  # signs a form of MLflow's pages


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
