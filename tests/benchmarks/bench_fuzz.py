"""The fuzzing of the record reader, at ten times the numbers of the tests."""

import os
import subprocess
import sys
from collections.abc import Iterator

from tests.records import test_fuzz as tests

TIMES = 10


def rows() -> Iterator[tuple[str, str, str]]:
    """Run the file of tests, which says what failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", f"--timeout={tests.TIMEOUT_S * TIMES}", tests.__file__]
    variables = os.environ | {"REELSIFT_FUZZED": str(TIMES)}
    run = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    print(run.stdout if run.returncode else "", file=sys.stderr, end="")
    shards, of_frames = tests.SHARDS * TIMES, tests.SHARDS_OF_FRAMES * TIMES
    what = f"{shards:,} mutated shards of videos and {of_frames:,} of frames, {tests.PAYLOADS * TIMES:,} payloads"
    yield what, "all well" if run.returncode == 0 else "failed", "all well"
