"""Writers of a part that are killed before each of their changes to the disk; a process of its own.

A child writes a part and discards its shards in peace. Then one is killed by SIGKILL before its first change, another
before its second, and so on until one lives. After each death the part must be whole or absent, no shard may be gone
that is in no part, and a new child must leave byte for byte what came out in peace.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.records.filter import filter_file
from tasks.records.parts import find_part, missing_shards, write_part
from tests.records.framing import frames
from tests.records.shards import planned, record, shard_with

CHANGES = {"os.mkdir", "os.rename", "os.remove"}
CONFIG = FilterConfig(label_ids=(22,), background=1)
NAMES = ("trainaa", "trainab", "trainba")


def make_shards(folder: Path) -> list[PlannedShard]:
    payloads = [record(f"{n:02}ab".encode(), [22] if n % 3 else [4], seed=n) for n in range(9)]
    return [planned(shard_with(folder / f"{name}.tfrecord", frames(payloads))) for name in NAMES]


def die_before(change: int) -> None:
    """Let this process be killed just before its `change`-th change to the disk."""
    left = itertools.count(change - 1, -1)

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event in CHANGES and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def write(folder: Path, shards: list[PlannedShard], dies_before: int = 0) -> None:
    if dies_before:
        die_before(dies_before)
    write_part(folder / "store", shards, CONFIG, lambda shard: folder / shard.name, discard_shards=True)


def check_and_write(folder: Path, shards: list[PlannedShard]) -> None:
    """See that what a death left is enough to go on from; then write anew."""
    part = find_part(folder / "store", shards, CONFIG)
    missing = missing_shards(folder / "store", shards, CONFIG)
    assert missing == (tuple(shards) if part is None else ())
    assert all((folder / shard.name).is_file() for shard in missing)
    write(folder, shards)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file that is not called like what a killed writer may leave behind."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def status_of(work: Callable[[], object]) -> int:
    """Run `work` in a child, so that no library's threads are alive where the next is forked; return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - a forked child must not return into its parent's code
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def main() -> None:
    root = Path(sys.argv[1])
    shards = make_shards(root / "template")
    filter_file(shards[0], root / "template" / shards[0].name, CONFIG)  # loads compiled code once for all children
    shutil.copytree(root / "template", root / "peace")
    assert status_of(partial(write, root / "peace", shards)) == 0
    for killed in itertools.count():
        folder = root / f"killed-{killed}"
        shutil.copytree(root / "template", folder)
        status = status_of(partial(write, folder, shards, killed + 1))
        assert status in {0, -signal.SIGKILL}
        assert status_of(partial(check_and_write, folder, shards)) == 0, f"killed before change {killed + 1}"
        assert contents(folder) == contents(root / "peace"), f"killed before change {killed + 1}"
        if status == 0:
            print(killed)
            return


if __name__ == "__main__":
    main()
