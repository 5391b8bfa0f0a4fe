"""Prunings that are killed; a process of its own, run by `test_crash.py`.

A child prunes in peace, to learn what should be left. Then one is killed by SIGKILL before its first change to the
disk, another before its second, and so on until one lives. After each death every version must be whole or absent, and
a publisher and a new pruning must leave byte for byte what was left in peace.
"""

import itertools
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

from tasks.datasets.catalogue import list_datasets, open_dataset
from tasks.datasets.folders import alone
from tasks.datasets.manifest import verify
from tasks.tracking.store import tracking_store
from tests.datasets.killed_publisher import die_before, end, fresh, start
from tests.datasets.made import contents
from tests.pruning.conftest import PrunedHome, age


def home_in(folder: Path) -> PrunedHome:
    return PrunedHome(folder, tracking_store(folder))


def prepare(template: Path) -> None:
    """An old version, the newest, a part of none and leftovers; copies have files for links, which is as good."""
    home = home_in(template)
    for letters in ("a", "b"):
        home.publish(letters)
    home.part("d")
    (home.folders.root / ".ds.1-2.tmp").mkdir()
    (home.root / "shards").mkdir()
    (home.root / "shards" / ".x.1-2.tmp").write_bytes(b"begun")


def aged_copy(template: Path, name: str) -> Path:
    """Copying reads the parts, so all is made old afterwards; `b` is the newest."""
    folder = fresh(template, name)
    age(folder, 90)
    age((folder / "datasets" / "latest").resolve(), 70)
    return folder


def prune(folder: Path, dies_before: int = 0) -> None:
    pruning = home_in(folder).pruning()
    plan = pruning.plan()
    if dies_before:
        die_before(dies_before)
    outcomes = list(pruning.carry_out(plan))
    assert not [each.spared for each in outcomes if each.spared]


def recover(folder: Path) -> None:
    """Find every version that is left whole; begin to publish, which clears away what a death left; prune anew."""
    home = home_in(folder)
    versions = list_datasets(home.folders.root)
    assert not any(verify(open_dataset(home.folders.root, version.id)) for version in versions)
    with alone(home.folders.root):
        pass
    prune(folder)


def main(folder: Path) -> None:
    template = folder / "template"
    assert end(start(partial(prepare, template))) == 0
    peace = aged_copy(template, "peace")
    assert end(start(partial(prune, peace))) == 0
    assert end(start(partial(recover, peace))) == 0
    assert not [name for name in contents(peace) if name.endswith(".tmp") or "aaaa" in name or "dddd" in name]
    for change in itertools.count(1):
        killed = aged_copy(template, f"killed-{change}")
        status = end(start(partial(prune, killed, change)))
        if status == 0:
            print(change - 1)
            return
        assert status == signal.SIGKILL
        assert end(start(partial(recover, killed))) == 0
        assert contents(killed) == contents(peace), f"killed before change {change}"
        shutil.rmtree(killed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
