"""Which revision of the code is running."""

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
GIT_TIMEOUT_S = 10


@cache
def code_revision() -> str:
    """Return `<version>+<commit>`, with `.dirty` where tracked files differ from it; the version alone elsewhere."""
    release = version("reelsift")
    if not (CHECKOUT / ".git").exists():
        return release
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return release
    return f"{release}+{commit}{'.dirty' if _git('status', '--porcelain', '--untracked-files=no') else ''}"


def _git(*arguments: str) -> str:
    """Return what git prints, or nothing where it is missing, slow or refuses the checkout."""
    command = ["git", "-C", str(CHECKOUT), *arguments]
    try:
        # S603, S607: fixed arguments; `git` is whichever the person who runs this has.
        run = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
