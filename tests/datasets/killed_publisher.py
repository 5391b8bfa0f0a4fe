"""Publishers that are killed, or that run at once; a process of its own, run by `test_crash.py`.

A child publishes in peace, to learn what should come out. Then one is killed by SIGKILL before its first change to the
disk, another before its second, and so on until one lives. After each death the version must be whole or absent, and a
new child must leave byte for byte what came out in peace.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from tasks.contracts.datasets import Part
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.manifest import verify
from tests.datasets.made import Folders, contents, make_parts

CHANGES = {"os.mkdir", "os.link", "os.chmod", "os.rename", "os.symlink", "os.remove", "os.rmdir"}
PARTS = TypeAdapter(list[Part])
PUBLISHERS = 6
DAMAGED = "part-train-0000.parquet"


def prepare(scenario: str, template: Path) -> None:
    """Make what is there before the publisher that will be killed: nothing, or another version and a damaged one."""
    folders = Folders(template / "store", template / "datasets")
    parts = make_parts(folders.store)
    (template / "parts.json").write_bytes(PARTS.dump_json(parts))
    if scenario == "repair":
        damaged = folders.folder(folders.publish(parts)) / DAMAGED
        damaged.unlink()
        folders.publish(make_parts(folders.store, "d"))


def die_before(change: int) -> None:
    """Let this process be killed just before its `change`-th change to the disk."""
    left = itertools.count(change - 1, -1)

    def count(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and bool(set(str(arguments[1])) & set("wax+"))
        if (event in CHANGES or writes) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def publish(folder: Path, dies_before: int = 0) -> None:
    parts = PARTS.validate_json((folder / "parts.json").read_bytes())
    if dies_before:
        die_before(dies_before)
    Folders(folder / "store", folder / "datasets").publish(parts)


def check_and_publish(folder: Path) -> None:
    """Let a reader find what a death left whole, but for the damage that was there before; then publish anew."""
    root = folder / "datasets"
    if (root / "latest").exists():
        assert {problem.file for problem in verify(open_dataset(root, "latest"))} <= {DAMAGED}
    publish(folder)


def start(work: Callable[[], object]) -> int:
    """Run `work` in a child, so that no library's threads are alive where the next is forked; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - a forked child must not return into its parent's code
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def end(child: int) -> int:
    return os.waitpid(child, 0)[1]


def fresh(template: Path, name: str) -> Path:
    return Path(shutil.copytree(template, template.with_name(name), symlinks=True))


def kill_at_every_change(template: Path, peaceful: dict[str, bytes | str]) -> int:
    for change in itertools.count(1):
        folder = fresh(template, f"killed-{change}")
        status = end(start(partial(publish, folder, change)))
        if status == 0:
            return change - 1
        assert status == signal.SIGKILL
        assert end(start(partial(check_and_publish, folder))) == 0
        assert contents(folder / "datasets") == peaceful, f"killed before change {change}"
        shutil.rmtree(folder)
    raise AssertionError


def publish_at_once(template: Path, peaceful: dict[str, bytes | str]) -> int:
    folder = fresh(template, "together")
    children = [start(partial(publish, folder)) for _ in range(PUBLISHERS)]
    assert [end(child) for child in children] == [0] * PUBLISHERS
    assert contents(folder / "datasets") == peaceful
    return 0


def main(scenario: str, folder: Path) -> None:
    template = folder / "template"
    assert end(start(partial(prepare, scenario, template))) == 0
    peace = fresh(template, "peace")
    assert end(start(partial(publish, peace))) == 0
    run = publish_at_once if scenario == "together" else kill_at_every_change
    print(run(template, contents(peace / "datasets")))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
