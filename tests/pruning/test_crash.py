"""A pruning that is killed at any moment leaves nothing half visible; one beside builds takes nothing from them."""

import string
import subprocess
import sys
import threading
from pathlib import Path

from tasks.contracts.errors import DatasetError
from tasks.datasets.catalogue import list_datasets, open_dataset
from tasks.datasets.load import load_videos
from tasks.datasets.manifest import verify
from tests.pruning.conftest import PrunedHome

CHECKOUT = Path(__file__).parents[2]
BUILDS = 10  # of each of two publishers


def test_killed_before_any_change_to_the_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.pruning.killed_pruner", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    # At least: a lock; a version's name, its two files and its folder; another lock and two parts; two leftovers.
    assert int(done.stdout) >= 10


def test_prunings_beside_builds_and_readers(pruned: PrunedHome) -> None:
    """Each build's version is old at once, so that the next makes it prey; what `latest` means is never taken."""
    failures, loaded, ended = list[BaseException](), list[int](), threading.Event()

    def build(letters: str, slug: str) -> None:
        try:
            for letter in letters[:BUILDS]:
                made = pruned.publish(letter, days_ago=90, slug=slug)
                assert not verify(open_dataset(pruned.folders.root, f"{slug}/{made.id}"))
        except BaseException as error:  # noqa: BLE001 - a thread has nobody else to tell
            failures.append(error)

    def read() -> None:
        while not ended.is_set():
            try:
                loaded.append(len(load_videos(open_dataset(pruned.folders.root, "latest"), "train")))
            except DatasetError:
                continue  # it went, or was not there yet: said in words
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
                return

    letters = string.ascii_lowercase
    builders = [
        threading.Thread(target=build, args=arguments) for arguments in ((letters, "cooking"), (letters[13:], "food"))
    ]
    reader = threading.Thread(target=read)
    for thread in (*builders, reader):
        thread.start()
    gone = 0
    while any(builder.is_alive() for builder in builders):
        gone += sum(not outcome.spared for outcome in pruned.prune())
    ended.set()
    reader.join()
    gone += sum(not outcome.spared for outcome in pruned.prune())
    assert not failures
    assert gone >= 2 * (BUILDS - 1)
    assert set(loaded) == {6}
    left = list_datasets(pruned.folders.root)
    assert sorted(entry.slug for entry in left) == ["cooking", "food"]
    assert not any(verify(open_dataset(pruned.folders.root, entry.id)) for entry in left)
