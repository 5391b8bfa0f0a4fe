"""The Compose file: of the right form, and what must not be in it is found where it is put."""

import importlib
import importlib.util
import json
import os
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from pyarrow import fs

from conf.settings import load_settings
from deployments.stack.plan import CANCELLATION_LOOP_S, NEAR
from deployments.worker import parsed
from tasks.contracts.files import sqlite_uri
from tests.support.compose_file import COMPOSE_FILE, ROOT, complaints, services, variables_of_example
from tests.support.mlflow_servers import free_port, running
from tests.support.real_settings import unreal
from tests.support.s3_server import S3Server

TEXT = COMPOSE_FILE.read_text(encoding="utf-8")
AUTH_FILE = ROOT / "deployments" / "containers" / "mlflow-auth.ini"
MLFLOW_USERS = "postgresql+psycopg2://mlflow@postgres:5432/mlflow_auth"
WORKERS = ("worker-cpu", "worker-gpu-0", "worker-gpu-1")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """The services, filled in from the example."""
    return services(TEXT, variables_of_example())


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The Compose specification's schema, as check-jsonschema ships it."""
    vendored = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    return Draft202012Validator(json.loads(vendored.read_text(encoding="utf-8")))


def test_the_file_is_of_the_form_that_compose_specifies(schema: Draft202012Validator) -> None:
    schema.validate(yaml.safe_load(TEXT))
    broken = yaml.safe_load(TEXT.replace("    ports:", "    portz:"))
    assert any("portz" in error.message for error in schema.iter_errors(broken))


def test_nothing_is_wrong_with_it() -> None:
    assert list(complaints(TEXT)) == []


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        pytest.param(":v1.8.0", ":latest", "objects: the image .*:latest.* has no version", id="image-without-version"),
        pytest.param("127.0.0.1:${MLFLOW", "0.0.0.0:${MLFLOW", "mlflow: port 0.0.0.0:.* is open", id="open-port"),
        pytest.param('"127.0.0.1:${PREFECT_PORT:-4200}:4200"', '"4200:4200"', "prefect: port 4200", id="port-of-all"),
        pytest.param(
            "MLFLOW_TRACKING_PASSWORD: ${LOGIN_PASSWORD}",
            "MLFLOW_TRACKING_PASSWORD: hunter2",
            "worker-cpu: MLFLOW_TRACKING_PASSWORD holds a password",
            id="password",
        ),
        pytest.param(
            ":${REDIS_PASSWORD}@redis", ":hunter2@redis", "prefect: PREFECT_SERVER_DOCKET_URL holds", id="url"
        ),
        pytest.param("PASSWORD:?is", "PASSWROD:?is", "PREFECT_DATABASE_PASSWROD is not in env.example", id="unasked"),
        pytest.param('    restart: "no"', "    restart: always", "waits for the end of prefect-migrate", id="endless"),
        pytest.param('["redis:/data"]', '["rediz:/data"]', "redis: there is no volume rediz", id="volume"),
        pytest.param(
            '    healthcheck:\n      test: ["CMD", "wget"',
            '    x-healthcheck:\n      test: ["CMD", "wget"',
            "buckets: waits for the health of objects",
            id="no-health-check",
        ),
    ],
)
def test_what_must_not_be_is_found(good: str, bad: str, told: str) -> None:
    assert good in TEXT
    assert re.search(told, "\n".join(complaints(TEXT.replace(good, bad))))


@pytest.mark.parametrize("missing", [name for name in variables_of_example() if name != "LOGIN_USER"])
def test_nothing_starts_without_its_passwords(missing: str) -> None:
    with pytest.raises(LookupError, match=f"{missing} is missing, see env.example"):
        services(TEXT, {**variables_of_example(), missing: ""})


def test_every_variable_is_one_that_somebody_reads(stack: dict[str, Any]) -> None:
    # These two are not reelsift's image: their variables are theirs.
    ours = [service for service in stack.values() if service["image"].startswith("reelsift:")]
    assert len(ours) == len(stack) - len(("postgres", "redis", "objects"))
    assert unreal(name for service in ours for name in service.get("environment", {})) == []
    assert unreal(["PREFECT_SERVER_API_AUTHSTRING", "MLFLOW_SERVER_ALLOWED_HOST"]) != []


def test_prefect_finds_the_modules_that_it_is_told_of(stack: dict[str, Any]) -> None:
    environment = stack["prefect"]["environment"]
    for variable, needed in {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "Publisher",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "Cache",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "CausalOrdering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "ConcurrencyLeaseStorage",
    }.items():
        assert hasattr(importlib.import_module(environment[variable]), needed)


@pytest.mark.parametrize("worker", WORKERS)
def test_a_workers_settings_are_accepted(stack: dict[str, Any], worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack[worker]["environment"].items():
        if name.startswith("REELSIFT_"):
            monkeypatch.setenv(name, value)
    assert load_settings().tracking_uri == "http://mlflow:5000"


def test_every_command_has_the_options_that_it_is_given(stack: dict[str, Any]) -> None:
    from prefect.cli._app import _app

    commands = [service["command"] for service in stack.values() if service.get("command", [""])[0] == "prefect"]
    assert len(commands) == 2
    for command in commands:
        _app.parse_args(command[1:], print_error=False, exit_on_error=False)
    assert importlib.util.find_spec(stack["deploy"]["command"][-1])
    for worker in WORKERS:
        assert stack[worker]["command"][:3] == ["python", "-m", "deployments.worker"]
        options = parsed(stack[worker]["command"][3:])
        assert (options.with_healthcheck, options.keep_foreign) == (True, False)


@pytest.mark.parametrize(
    ("name", "port", "health"),
    [
        pytest.param("prefect", "4200", "/api/health", id="prefect"),
        pytest.param("mlflow", "5000", "/health", id="mlflow"),
    ],
)
def test_a_server_answers_to_its_own_names_alone(
    stack: dict[str, Any],
    name: str,
    port: str,
    health: str,
    tmp_path: Path,
    prefect_database: Path,
    migrated_database: Path,
) -> None:
    """The very command of the file on a port of this machine, with SQLite in place of PostgreSQL and no Redis."""
    service, free = stack[name], str(free_port())
    swapped = {"0.0.0.0": "127.0.0.1", port: free}
    command = [swapped.get(word, word) for word in service["command"]]
    command = [sys.executable, *command[1:]] if command[0] == "python" else [sys.executable, "-m", *command]
    for database in (prefect_database, migrated_database):
        shutil.copy(database, tmp_path)
    users = tmp_path / "auth.ini"
    users.write_text(AUTH_FILE.read_text().replace(MLFLOW_USERS, sqlite_uri(tmp_path / "users.db")), encoding="utf-8")
    here = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/prefect.db",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "true",
        "PREFECT_HOME": str(tmp_path),
        "MLFLOW_BACKEND_STORE_URI": sqlite_uri(tmp_path / "mlflow.db"),
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path),
        "MLFLOW_AUTH_CONFIG_PATH": str(users),
    }
    given = {key: value for key, value in service["environment"].items() if "redis" not in value}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_"))}
    url = f"http://127.0.0.1:{free}{health}"
    with running(command, {**inherited, **given, **here}, tmp_path, url):
        for host, status in [(f"{name}:{port}", 200), (f"localhost:{port}", 200), (f"evil.example:{port}", 403)]:
            assert httpx.get(url, headers={"Host": host}).status_code == status, host
        foreign = {"Host": f"localhost:{port}", "Origin": "http://evil.example"}
        assert httpx.get(url, headers=foreign).status_code == 403


def test_servers_and_workers_are_set_as_by_reelsift_up(stack: dict[str, Any]) -> None:
    for worker in WORKERS:
        assert NEAR.items() <= stack[worker]["environment"].items()
    loop = stack["prefect-services"]["environment"]["PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS"]
    assert loop == str(CANCELLATION_LOOP_S)


def test_workers_reach_no_database(stack: dict[str, Any]) -> None:
    databases = {network for name in ("postgres", "redis") for network in stack[name]["networks"]}
    assert databases == {"data"}
    assert all(stack[worker]["networks"] == ["work"] for worker in WORKERS)


def test_a_worker_has_one_gpu_and_no_other_has_it() -> None:
    everything = services(TEXT, variables_of_example())
    devices = [
        each for worker in WORKERS[1:] for each in everything[worker]["deploy"]["resources"]["reservations"]["devices"]
    ]
    assert [(device["driver"], device["capabilities"]) for device in devices] == [("nvidia", ["gpu"])] * 2
    assert [device["device_ids"] for device in devices] == [["0"], ["1"]]
    assert all(everything[worker]["environment"]["CUDA_VISIBLE_DEVICES"] == "0" for worker in WORKERS[1:])
    assert everything["worker-cpu"]["environment"]["CUDA_VISIBLE_DEVICES"] == ""


def test_the_images_are_of_this_version(stack: dict[str, Any]) -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    ours = {service["image"] for service in stack.values() if "build" in service}
    assert ours == {f"reelsift:{version[1]}-cpu", f"reelsift:{version[1]}-gpu"}


def test_the_buckets_are_made_once(stack: dict[str, Any], s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very program of the file, on a real S3 where others have buckets too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    program = compile(stack["buckets"]["command"][-1], "buckets", "exec")
    for _ in ("made", "there already"):
        exec(program, {})
    made = {each.path for each in s3_server.filesystem().get_file_info(fs.FileSelector(""))}
    artifacts = stack["mlflow"]["environment"]["MLFLOW_ARTIFACTS_DESTINATION"]
    used = {artifacts, stack["worker-cpu"]["environment"]["REELSIFT_STORAGE"]}
    assert {address.removeprefix("s3://").split("/")[0] for address in used} <= made
