"""The signals that end a command, where Python would lose the error that they raise."""

import signal
import subprocess
import sys
import time

import pytest

SIGNALLED = """
import os, signal, sys, time, weakref
from reelsift.signals import catch_signals, leave
from tasks.contracts.progress import EndedError

def signalled(*_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

class Thing:
    pass

class Finalised:
    def __del__(self):
        signalled()

catch_signals()
try:
    {steps}
    time.sleep(6)
except EndedError:
    print("unwound", flush=True)
sys.exit(leave() or 0)
"""

IN_A_CALLBACK = "thing = Thing(); reference = weakref.ref(thing, signalled); del thing"
IN_A_FINALISER = "finalised = Finalised(); del finalised"
IMPORTING = "signal.raise_signal(signal.SIGINT); print('imported')"  # half-way, a lock of the import system is taken
IN_AN_IMPORT = f'exec(compile("{IMPORTING}", "<frozen importlib._bootstrap>", "exec"))'


@pytest.mark.parametrize(
    ("steps", "said"),
    [(IN_A_CALLBACK, "unwound\n"), (IN_A_FINALISER, "unwound\n"), (IN_AN_IMPORT, "imported\nunwound\n")],
    ids=["callback", "finaliser", "import"],
)
def test_a_signal_is_not_lost_where_python_drops_errors(steps: str, said: str) -> None:
    began = time.monotonic()
    code = SIGNALLED.replace("{steps}", steps)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (128 + signal.SIGINT, said)
    assert run.stderr == "Interrupted. What was finished is kept: the same command goes on from there.\n"
    assert time.monotonic() - began < 6
