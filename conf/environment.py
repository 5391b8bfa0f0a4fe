"""The environment that Prefect and MLflow read when imported, and the settings of a running flow."""

import os
import shutil
import sys
from pathlib import Path

from conf.home import Home
from conf.settings import Settings, load_settings

# Starting the server's database takes 15 s on two busy cores; Prefect gives up after 20 s by itself.
SERVER_STARTUP_S = 180
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
DATABASE_VARIABLES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")


def apply_environment(home: Home, *, quiet: bool = True) -> None:
    """Point Prefect and MLflow at `home` and switch their telemetry off.

    A variable that is set already wins, so a person's own server and profile are respected.
    """
    variables = home_variables(home, quiet=quiet)
    if os.environ.get("PREFECT_HOME", variables["PREFECT_HOME"]) != variables["PREFECT_HOME"]:
        variables.pop(DATABASE_VARIABLES[0], None)  # Prefect's database lies in that person's home, too
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    spare_loopback_proxies()
    home.make_results()
    _find_own_commands()


def spare_home_of_matplotlib(home: Home) -> None:
    """Let Matplotlib keep its list of fonts in the home; a person's own configuration of it stays in force."""
    folders = (Path("~/.config/matplotlib"), Path("~/.cache/matplotlib"), Path("~/.matplotlib"))
    if "matplotlib" not in sys.modules and not any(folder.expanduser().exists() for folder in folders):
        os.environ.setdefault("MPLCONFIGDIR", str(home.root / "matplotlib"))


def spare_loopback_proxies(*hosts: str) -> None:
    """Keep what this machine says to itself, or to `hosts`, away from the proxies that the environment names.

    Said in the environment, for every library and child process goes by it. Without proxies nothing is said: on macOS,
    a list of exceptions alone would hide the proxies of the system's settings.
    """
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXY_VARIABLES):
        return
    for name in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES)):
        # Desktops write `socks://`, which they mean as version 5, and which no library knows.
        if os.environ.get(name, "").startswith("socks://"):
            os.environ[name] = f"socks5://{os.environ[name].removeprefix('socks://')}"
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""  # libraries look in this order, too
    exceptions = [each.strip() for each in given.split(",") if each.strip()]
    if "*" not in exceptions:
        exceptions += [host for host in (*LOOPBACK_NAMES, *hosts) if host not in exceptions]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(exceptions)


def home_variables(home: Home, *, quiet: bool) -> dict[str, str]:
    """Return what a process of this home must find in its environment."""
    return {
        "REELSIFT_HOME": str(home.root),
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_LOCAL_STORAGE_PATH": str(home.results),
        **_database_variables(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(SERVER_STARTUP_S),
        # In a terminal there is a progress bar and, for an expected error, one line. The run's log goes to
        # Prefect's database all the same.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL" if quiet else "DEBUG",
        # Names of files may hold what Prefect would turn into pictures.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "conf.console_log.PlainConsoleHandler",
        # `models compare` shows its figures by a task that belongs to no flow.
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }


def _database_variables(home: Home) -> dict[str, str]:
    """Return where a Prefect server keeps its database, unless the environment names one."""
    if any(name in os.environ for name in DATABASE_VARIABLES):
        return {}
    return {DATABASE_VARIABLES[0]: home.prefect_database_uri}


def _find_own_commands() -> None:
    """Let child processes find the commands installed beside this Python (`prefect`, `mlflow`, `git`)."""
    beside = str(Path(sys.executable).parent)
    if shutil.which("prefect") is None:
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])


CONFIG_VARIABLE = "REELSIFT_CONFIG"


def running_settings() -> Settings:
    """Load the settings that are in force in this process.

    Raises:
        ConfigError: something in them is refused.
    """
    config = os.environ.get(CONFIG_VARIABLE)
    settings = load_settings(Path(config) if config else None)
    apply_environment(settings.paths)
    return settings
