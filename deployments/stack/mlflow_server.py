"""The MLflow server as a part of the stack.

In: a home, options, credentials and the environment that all parts share. Out: a `Part`. Does not start it.

Without the password it answers `/health` (with `OK`), `server-info` (which kind of store it has) and the files that its
pages consist of; all else is 401. The guard before it refuses a Host or an Origin that is not its own with 403, with
the password as well: MLflow alone would let the pages of any server on this machine read what they like.
"""

import sys
from collections.abc import Mapping, Sequence

from conf.home import Home
from conf.running_stack import MLFLOW_SERVER, Credentials
from deployments.stack.mlflow_users import PASSWORD_VARIABLE, USER_VARIABLE, with_users
from deployments.stack.options import LOOPBACK, StackOptions
from deployments.stack.part import Part

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
) -> Part:
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
    return Part(
        name=MLFLOW_SERVER,
        command=with_users(command, home.models) if credentials else command,
        environment={**shared, **SETTINGS, **options.guarded(port), **_password(credentials)},
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


def _password(credentials: Credentials | None) -> dict[str, str]:
    return {USER_VARIABLE: credentials.user, PASSWORD_VARIABLE: credentials.password} if credentials else {}
