"""Scripts as a person would run them in Python: in a process of their own, with an empty folder for $HOME."""

import os
import subprocess
import sys
from pathlib import Path

OF_THE_PERSON = ("REELSIFT_", "PREFECT_", "XDG_", "MLFLOW_", "MPL")  # what could lead libraries to another place


def run_script(code: str, home: Path, user: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run code that must succeed, in the folder that holds `user`, which is made; `home` is reelsift's."""
    user.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_PERSON)}
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=user.parent,
        env=clean | {"HOME": str(user), "REELSIFT_HOME": str(home)},
    )
    assert run.returncode == 0, run.stderr
    return run
