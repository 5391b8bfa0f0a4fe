"""A step before `mlflow server` that lets in one user: the one whom the environment names, with that password.

MLflow alone would keep the password of the first start, whatever a later one says.
"""

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.contracts.files import PRIVATE, sqlite_uri

USER_VARIABLE = "MLFLOW_AUTH_ADMIN_USERNAME"
PASSWORD_VARIABLE = "MLFLOW_AUTH_ADMIN_PASSWORD"  # noqa: S105 - a name
SETTINGS_NAME, USERS_NAME = "users.ini", "users.db"
# The password is in the environment, and in no file. Whoever is let in later may look. Deriving a key from a password
# takes most of the time of a request, so what was right is remembered: by the one worker, which hears of every change.
SETTINGS = """\
[mlflow]
database_uri = {users}
default_permission = READ
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 300
"""


def with_users(command: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Return the command of a server that lets in nobody but the user of its environment."""
    return (sys.executable, "-m", __name__, str(folder), *command)


def main(folder: Path, command: Sequence[str]) -> None:
    """Prepare what the server reads, and become it."""
    folder.mkdir(parents=True, exist_ok=True)
    users, settings = folder / USERS_NAME, folder / SETTINGS_NAME
    for stale in folder.glob(f"{USERS_NAME}*"):  # with SQLite's journals
        stale.unlink()
    users.touch(mode=PRIVATE)  # it will hold digests of passwords
    settings.write_text(SETTINGS.format(users=sqlite_uri(users).replace("%", "%%")), encoding="utf-8")
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(settings)
    os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secrets.token_hex(32)  # signs a form of MLflow's pages
    # S606: a command of the stack's own making, without a shell.
    os.execv(command[0], list(command))  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
