"""A writer that is killed before any of its changes to the disk loses no row and no shard."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_killed_before_any_change_to_the_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.records.killed_writer", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    # At least: two folders, two renames, two clean-ups, three shards.
    assert int(done.stdout) >= 9
