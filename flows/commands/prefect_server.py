"""The Prefect server that a command is told to use: whether one is named at all, and whether it answers."""

import os
from pathlib import Path

API_VARIABLE = "PREFECT_API_URL"
# Where Prefect looks for settings beside the environment, and what names the file's part that is its own.
SETTINGS_FILES = {".env": "PREFECT_", "prefect.toml": "", "pyproject.toml": "tool.prefect"}


def names_a_server() -> bool:
    """Say whether a server is named: by the environment, or where Prefect looks as well, the home's profile first.

    Prefect is asked, and so imported, only where there is anything for it to find.
    """
    if os.environ.get(API_VARIABLE):
        return True
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or Path(os.environ["PREFECT_HOME"]) / "profiles.toml")
    if not profiles.is_file() and not any(_has(Path(name), mark) for name, mark in SETTINGS_FILES.items()):
        return False
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


def _has(file: Path, mark: str) -> bool:
    try:
        return mark in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
