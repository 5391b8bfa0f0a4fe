"""The processes of a stack: Prefect server, MLflow server and workers, each as a command with its environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conf.environment import CONFIG_VARIABLE, home_variables
from conf.home import Home
from conf.layers import config_file
from conf.stack_state import AUTH_VARIABLE, MLFLOW_SERVER, PREFECT_SERVER, Credentials
from deployments.stack.mlflow_start import PASSWORD_VARIABLE, USER_VARIABLE, prepared
from deployments.stack.options import LOOPBACK, StackOptions
from tasks.contracts.media import DEVICES_VARIABLE, WORKER_VARIABLE

STACK_VARIABLE = "REELSIFT_STACK"  # marks every process of a home's stack, and all that come of them

# Prefect's defaults are for a server far away. One that is near can be asked more often.
NEAR = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
    # Also ends the process of a run that is cancelled before it has said a word.
    "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
    # What the automation against zombies listens for; 30 s is the least that Prefect takes.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}


def stack_environment(
    home: Home, options: StackOptions, credentials: Credentials | None, *, config: Path | None = None
) -> dict[str, str]:
    """Return the environment of a process that is a client of both servers."""
    variables = {name: value for name, value in os.environ.items() if name != AUTH_VARIABLE}
    variables |= home_variables(home, quiet=False) | NEAR
    variables |= {
        STACK_VARIABLE: str(home.root),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PREFECT_API_URL": f"{options.url(options.prefect_port)}/api",
        "PREFECT_UI_URL": options.browser_url(options.prefect_port),
        "REELSIFT_TRACKING__URI": options.url(options.mlflow_port),
        "REELSIFT_TRACKING__UI_URL": options.browser_url(options.mlflow_port),
        # What a run prints is seen at once.
        "PYTHONUNBUFFERED": "1",
    }
    if config:
        variables[CONFIG_VARIABLE] = str(config_file(config))
    if credentials:
        variables |= {
            "PREFECT_API_AUTH_STRING": credentials.auth_string,
            "MLFLOW_TRACKING_USERNAME": credentials.user,
            "MLFLOW_TRACKING_PASSWORD": credentials.password,
        }
    return variables


@dataclass(frozen=True)
class StackPart:
    """A command, its environment, and where it will answer."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # it may hold a password
    port: int | None = None  # that must be free before it starts
    address: str | None = None  # of its pages
    client_url: str | None = None  # where clients on this machine reach it, if not there
    health_url: str | None = None  # answers 200 once it is ready; None: a worker, which its server knows
    pool: str | None = None  # that a worker takes its runs from


APP_NAME = "reelsift"  # the entry point of MLflow's server with the guard before it
LOOPBACK_NAMES = ("localhost", LOOPBACK, "::1")
SETTINGS = {
    # Processes for evaluations by language models; they take seconds to start, and nothing here asks for any.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
}


def mlflow_server(
    home: Home, options: StackOptions, credentials: Credentials | None, shared: Mapping[str, str]
) -> StackPart:
    """Return the server of the home's own runs and models; with credentials, nobody else is let in.

    New experiments keep their files in the home, under a `file://` address, so that commands which use the database
    without the server find them too. Where others can reach the server, they send their files through it instead.
    """
    port = options.mlflow_port
    files = home.models / "artifacts"
    command = server_command(
        host=options.host,
        port=port,
        backend_uri=home.default_tracking_uri,
        artifact_root=files.as_uri() if options.is_local else None,
        artifacts_destination=str(files),
        names=() if options.is_local else (options.client_host, options.browser_host),
    )
    return StackPart(
        name=MLFLOW_SERVER,
        command=prepared(command, home.root, home.default_tracking_uri, has_user=credentials is not None),
        environment={**shared, **SETTINGS, **options.guarded(port), **_mlflow_login(credentials)},
        port=port,
        address=options.browser_url(port),
        client_url=options.url(port),
        health_url=f"{options.url(port)}/health",
    )


def server_command(
    *,
    host: str,
    port: int,
    backend_uri: str,
    artifact_root: str | None,
    artifacts_destination: str,
    names: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return `mlflow server` with its arguments; one worker starts fastest and takes the least memory.

    `artifact_root` is where new experiments keep their files; with None clients send them to the server, which keeps
    them at `artifacts_destination`. By `names`, and those of loopback, it may be called, at whatever port: that may be
    another one beyond a tunnel or a proxy, and it is the name that tells a rebound DNS entry.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--app-name", APP_NAME, "--uvicorn-opts=--no-proxy-headers"]
    command += ["--backend-store-uri", backend_uri, "--artifacts-destination", artifacts_destination]
    if artifact_root:
        command += ["--default-artifact-root", artifact_root]
    hosts = [pattern for name in [*LOOPBACK_NAMES, *names] for pattern in _at_any_port(name)]
    command += ["--allowed-hosts", ",".join(dict.fromkeys(hosts))]
    if names:  # without any, MLflow's default: loopback alone
        own = [pattern for name in names for pattern in _at_any_port(name)]
        origins = [f"{scheme}://{pattern}" for pattern in own for scheme in ("http", "https")]
        command += ["--cors-allowed-origins", ",".join(dict.fromkeys(origins))]
    return tuple(command)


def _at_any_port(name: str) -> tuple[str, str]:
    """Return the patterns, as `fnmatch` has them, of a host's name with and without a port."""
    if ":" in name:  # an address of version 6; a bracket begins a set of characters unless it is in one
        return f"[{name}]", f"[[]{name}]:*"
    return name, f"{name}:*"


def _mlflow_login(credentials: Credentials | None) -> dict[str, str]:
    return {USER_VARIABLE: credentials.user, PASSWORD_VARIABLE: credentials.password} if credentials else {}


# A run whose parent was cancelled is cancelled within this many seconds, and its process ended soon after.
CANCELLATION_LOOP_S = 5
# Prefect's own command would start the server without the guard. Headers by which a proxy names its client are not
# read: someone who guesses passwords could name another one.
PROGRAM = (
    *(sys.executable, "-m", "uvicorn", "--factory", "conf.guarded_server:prefect_app"),
    *("--no-proxy-headers", "--log-level", "warning"),
)


def prefect_server(options: StackOptions, credentials: Credentials | None, shared: Mapping[str, str]) -> StackPart:
    """Return the server with its pages, its scheduler and its other services, on a database in the home."""
    port = options.prefect_port
    return StackPart(
        name=PREFECT_SERVER,
        command=(*PROGRAM, "--host", options.host, "--port", str(port)),
        environment={**shared, **_settings(options), **_prefect_password(credentials)},
        port=port,
        address=options.browser_url(port),
        client_url=f"{options.url(port)}/api",
        health_url=f"{options.url(port)}/api/health",
    )


def _settings(options: StackOptions) -> dict[str, str]:
    port = options.prefect_port
    return {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_UI_API_URL": f"{options.browser_url(port)}/api",
        "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": str(CANCELLATION_LOOP_S),
        **options.guarded(port),
        # A page of another site must not start runs in a browser that can reach this server.
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(options.origins(port)),
    }


def _prefect_password(credentials: Credentials | None) -> dict[str, str]:
    return {AUTH_VARIABLE: credentials.auth_string} if credentials else {}


CPU_POOL, GPU_POOL = "cpu", "gpu"
NVIDIA_TIMEOUT_S = 20


def workers(options: StackOptions, shared: Mapping[str, str], devices: Sequence[str]) -> list[StackPart]:
    """Return the workers; `devices` are the GPUs of the machine, by what `CUDA_VISIBLE_DEVICES` calls them."""
    keep = options.keep_foreign
    cpu = _worker("cpu-0", CPU_POOL, options.cpu_runs, {**shared, DEVICES_VARIABLE: ""}, keep_foreign=keep)
    chosen = enumerate(_chosen(options, devices))
    return [cpu, *(_gpu_worker(number, device, shared, keep_foreign=keep) for number, device in chosen)]


def _chosen(options: StackOptions, devices: Sequence[str]) -> list[str | None]:
    """Return a device for each GPU worker: more workers than devices are a rehearsal, with made-up numbers."""
    if options.gpu_workers is None:
        return list(devices) or [None]
    return [devices[number] if number < len(devices) else str(number) for number in range(options.gpu_workers)]


def _gpu_worker(number: int, device: str | None, shared: Mapping[str, str], *, keep_foreign: bool) -> StackPart:
    own = {} if device is None else {DEVICES_VARIABLE: device}
    return _worker(f"gpu-{number}", GPU_POOL, 1, {**shared, **own}, keep_foreign=keep_foreign)


def _worker(name: str, pool: str, runs: int, environment: Mapping[str, str], *, keep_foreign: bool) -> StackPart:
    command = (sys.executable, "-m", "deployments.worker", "--pool", pool, "--name", name, "--limit", str(runs))
    return StackPart(
        name=name,
        command=(*command, "--keep-foreign") if keep_foreign else command,
        environment={**environment, WORKER_VARIABLE: name},
        pool=pool,
    )


def visible_devices() -> list[str]:
    """Return the GPUs of this machine: those of `CUDA_VISIBLE_DEVICES`, else all that the driver lists."""
    if DEVICES_VARIABLE in os.environ:
        return [device.strip() for device in os.environ[DEVICES_VARIABLE].split(",") if device.strip()]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=index", "--format=csv,noheader"]
    try:
        # S603: a fixed question to the driver's own command.
        run = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_TIMEOUT_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return run.stdout.split()


@dataclass(frozen=True)
class StackPlan:
    """What is to run."""

    home: Home
    options: StackOptions
    credentials: Credentials | None
    environment: dict[str, str]  # of a client of both servers
    servers: tuple[StackPart, ...]
    workers: tuple[StackPart, ...]

    @property
    def parts(self) -> tuple[StackPart, ...]:
        """Everything, in the order in which it starts."""
        return self.servers + self.workers

    @property
    def api_url(self) -> str:
        """Where the Prefect server answers its clients on this machine."""
        return self.environment["PREFECT_API_URL"]

    def log(self, part: StackPart) -> Path:
        """Return the file that takes what a part prints."""
        return self.home.stack / f"{part.name}.log"


def plan_stack(
    home: Home,
    options: StackOptions,
    credentials: Credentials | None,
    *,
    config: Path | None = None,
    paths: Mapping[str, str] | None = None,
) -> StackPlan:
    """Say which processes a stack consists of on this machine; `paths` are variables that its runs must find."""
    shared = stack_environment(home, options, credentials, config=config) | dict(paths or {})
    return StackPlan(
        home=home,
        options=options,
        credentials=credentials,
        environment=shared,
        servers=(prefect_server(options, credentials, shared), mlflow_server(home, options, credentials, shared)),
        workers=tuple(workers(options, shared, visible_devices())),
    )
