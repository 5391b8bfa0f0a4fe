"""The settings and environment of a flow that runs now, whoever started it.

In: environment variables, among them `REELSIFT_CONFIG` (a TOML file). Out: settings, with Prefect and MLflow
pointed at their home. Does not know whether a person, a schedule or a worker started the run.
"""

import os
from pathlib import Path

from conf.environment import apply_environment
from conf.settings import Settings, load_settings

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
