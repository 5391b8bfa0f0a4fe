"""A publisher that is killed at any moment leaves a whole version or none."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.contracts.datasets import DatasetManifest
from tests.datasets.made import Folders, contents, make_parts

CHECKOUT = Path(__file__).parents[2]


def run(scenario: str, folder: Path) -> int:
    """Run a scenario of `killed_publisher.py` and return the number that it prints."""
    command = [sys.executable, "-m", "tests.datasets.killed_publisher", scenario, str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("scenario", ["first", "repair"])
def test_killed_before_any_change_to_the_disk(tmp_path: Path, scenario: str) -> None:
    # At least: lock, folder, three links, four modes, manifest, rename, two pointers and their renames.
    assert run(scenario, tmp_path) >= 15


def test_processes_at_once(tmp_path: Path) -> None:
    assert run("together", tmp_path) == 0


def test_threads_at_once(folders: Folders) -> None:
    versions = [make_parts(folders.store, letters) for letters in ("a", "ab", "abd")]
    published: list[DatasetManifest] = []
    threads = [
        threading.Thread(target=lambda parts=parts: published.append(folders.publish(parts)))
        for parts in (*versions, *versions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({manifest.id for manifest in published}) == 3
    assert not [name for name in contents(folders.root) if name.endswith(".tmp")]
    assert all((folders.folder(manifest) / "manifest.json").is_file() for manifest in published)
