"""What one run remembers for the next: a small JSON file of names and values.

In: a path. Out: what is remembered; nothing where the file is missing or damaged. Does not know what the values mean.
"""

import json
from pathlib import Path
from typing import Any

from tasks.contracts.files import write_text


def recalled(path: Path) -> dict[str, Any]:
    """Return all that is remembered."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(path: Path, name: str, value: object) -> None:
    """Remember a value under a name; of two that do so at once, one may be forgotten."""
    write_text(path, json.dumps(recalled(path) | {name: value}, indent=1) + "\n")
