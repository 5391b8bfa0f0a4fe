"""How MLflow's server would be started; `tests/classifier` starts it so and asks it."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import pytest

from conf.home import Home
from conf.stack_state import Credentials
from deployments.stack.mlflow_start import prepared
from deployments.stack.options import StackOptions
from deployments.stack.plan import StackPart, mlflow_server
from tasks.tracking.store import tracking_store

PUBLIC = StackOptions(host="0.0.0.0", public_name="models.example", mlflow_port=5001)
PASSWORD = "with ten words: and more"


def argument(part: StackPart, name: str) -> str | None:
    return part.command[part.command.index(name) + 1] if name in part.command else None


def allows(patterns: str | None, value: str) -> bool:
    """Decide as `mlflow.server.security_utils.is_allowed_host_header` does."""
    return any(fnmatch(value, each) if "*" in each else value == each for each in (patterns or "").split(","))


def test_on_loopback_files_are_where_commands_without_the_server_look(tmp_path: Path) -> None:
    part = mlflow_server(Home(tmp_path), StackOptions(mlflow_port=5001), None, {"A": "1"})
    store = tracking_store(tmp_path)
    assert argument(part, "--backend-store-uri") == store.uri
    assert argument(part, "--default-artifact-root") == store.artifact_root
    assert argument(part, "--host") == "127.0.0.1"
    assert (part.port, part.health_url) == (5001, "http://127.0.0.1:5001/health")
    assert argument(part, "--app-name") == "reelsift"
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" not in part.environment
    assert part.environment["A"] == "1"
    assert part.environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert list(tmp_path.iterdir()) == []


def test_where_others_reach_it_files_go_through_it_and_nobody_sees_the_password(tmp_path: Path) -> None:
    part = mlflow_server(Home(tmp_path), PUBLIC, Credentials("ann", PASSWORD), {})
    assert argument(part, "--default-artifact-root") is None
    assert argument(part, "--artifacts-destination") == str(tmp_path / "mlflow" / "artifacts")
    assert argument(part, "--app-name") == "reelsift"
    assert PASSWORD not in f"{part.command} {part!r}"
    assert part.environment["MLFLOW_AUTH_ADMIN_PASSWORD"] == PASSWORD


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("models.example:5001", True),
        ("models.example", True),
        ("127.0.0.1:15001", True),
        ("[::1]:5001", True),
        ("[::1]", True),
        ("evil.example:5001", False),
        ("models.example.evil:5001", False),
        ("192.168.0.7:5001", False),
    ],
)
def test_the_names_that_it_goes_by(host: str, allowed: bool, tmp_path: Path) -> None:
    part = mlflow_server(Home(tmp_path), PUBLIC, Credentials("ann", PASSWORD), {})
    assert allows(argument(part, "--allowed-hosts"), host) == allowed
    if "127." not in host and "::" not in host:  # those, MLflow always allows
        assert allows(argument(part, "--cors-allowed-origins"), f"https://{host}") == allowed


def test_the_step_before_becomes_the_server_with_users_of_its_own(tmp_path: Path, migrated_database: Path) -> None:
    home = tmp_path / "50% of it"
    folder = home / "mlflow"
    folder.mkdir(parents=True)
    shutil.copy(migrated_database, folder)
    (folder / "users.db").write_text("of an earlier password")
    show = "import os; print(os.getpid(), len(os.environ['MLFLOW_FLASK_SERVER_SECRET_KEY']))"
    command = prepared((sys.executable, "-c", show), home, tracking_store(home).uri, has_user=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.communicate()[0].split()
    assert said == [str(process.pid), "64"]
    assert (folder / "users.db").read_bytes() == b""
    assert (folder / "users.db").stat().st_mode & 0o777 == 0o600
    config = ConfigParser()  # as MLflow reads it
    config.read(folder / "users.ini")
    assert config["mlflow"]["database_uri"] == f"sqlite:///{folder}/users.db"
