"""The Prefect server as a part of the stack.

In: options, credentials and the environment that all parts share. Out: a `Part`. Does not start it.
"""

import sys
from collections.abc import Mapping

from conf.running_stack import AUTH_VARIABLE, PREFECT_SERVER, Credentials
from deployments.stack.options import StackOptions
from deployments.stack.part import Part

# A run whose parent was cancelled is cancelled within this many seconds, and its process ended soon after.
CANCELLATION_LOOP_S = 5
# Prefect's own command would start the server without the guard. Headers by which a proxy names its client are not
# read: whoever guesses passwords could name another one.
PROGRAM = (
    *(sys.executable, "-m", "uvicorn", "--factory", "conf.guarded_server:prefect_app"),
    *("--no-proxy-headers", "--log-level", "warning"),
)


def prefect_server(options: StackOptions, credentials: Credentials | None, shared: Mapping[str, str]) -> Part:
    """Return the server with its pages, its scheduler and its other services, on a database in the home."""
    port = options.prefect_port
    return Part(
        name=PREFECT_SERVER,
        command=(*PROGRAM, "--host", options.host, "--port", str(port)),
        environment={**shared, **_settings(options), **_password(credentials)},
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


def _password(credentials: Credentials | None) -> dict[str, str]:
    return {AUTH_VARIABLE: credentials.auth_string} if credentials else {}
