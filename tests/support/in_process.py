"""Commands run in the process of the tests, from the words of a line to its exit code: for what they refuse.

To start the installed command takes half a second to two, and a dozen refusals of one kind differ in one message.
"""

import os
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest

from reelsift import cli


def run_here(
    *words: object, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a line as the console script does, in the home's folder; return the code, and what came on both streams."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REELSIFT_", "PREFECT_"))}
    variables = {**inherited, "REELSIFT_HOME": str(home), "COLUMNS": "160", **environment}
    # Commands set variables as well: all are as before afterwards, whatever happens.
    with patch.dict(os.environ, variables, clear=True), monkeypatch.context() as patched:
        patched.chdir(home.parent)
        patched.setattr("sys.argv", ["reelsift", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.run()
    out, errors = capfd.readouterr()
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(list(map(str, words)), ended.value.code, out, errors)
