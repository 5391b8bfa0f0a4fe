"""What every process of the stack finds in its environment.

In: a home, options, credentials. Out: variables. Does not know which process gets them.
"""

import os
import sys
from pathlib import Path

from conf.environment import home_variables
from conf.home import Home
from conf.layers import config_file
from conf.running import CONFIG_VARIABLE
from conf.running_stack import AUTH_VARIABLE, Credentials
from deployments.stack.options import StackOptions

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
