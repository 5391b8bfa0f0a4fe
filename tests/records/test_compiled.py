"""Compiling: cached, never stale, and without anything heavy."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tasks.records.kernels
from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.records.filter import compile_kernels, filter_file
from tasks.records.kernels.compiled import SOURCES, entry_point
from tasks.records.kernels.judge import _hash_ids
from tasks.records.kernels.walker import gather, walk
from tests.records.framing import frame
from tests.records.shards import record

FOLDER = Path(tasks.records.kernels.__file__).parent


def test_the_revision_covers_all_that_is_compiled() -> None:
    compiled = {
        path.name for path in FOLDER.glob("*.py") if "from tasks.records.kernels.compiled import" in path.read_text()
    }
    assert set(SOURCES) == compiled | {"compiled.py"}


def test_a_function_is_compiled_even_where_no_cache_can_be_kept() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("def double(x): return 2 * x", "<nowhere>", "exec"), namespace)
    assert entry_point(namespace["double"])(21) == 42


def test_what_is_compiled_ahead_is_all_that_filtering_needs(tmp_path: Path) -> None:
    dispatchers: list[Any] = [walk, gather, _hash_ids]
    compile_kernels()
    compiled = [list(each.signatures) for each in dispatchers]
    path = tmp_path / "trainaa.tfrecord"
    path.write_bytes(b"".join(frame(record(name, [label])) for name, label in ((b"aaaa", 22), (b"bbbb", 1))))
    shard = PlannedShard(name=path.name, partition="video/train", md5="0" * 32)
    assert filter_file(shard, path, FilterConfig(label_ids=(22,), background=1)).table.num_rows == 2
    assert [list(each.signatures) for each in dispatchers] == compiled


FILTERING = """
import sys
from pathlib import Path
from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.records.parts import write_part
path = Path(sys.argv[1])
shard = PlannedShard(name=path.name, partition="video/train", md5="0" * 32)
assert write_part(path.parent, [shard], FilterConfig(label_ids=(22,)), lambda _: path).rows == 1
"""
LOOKING = "import tasks.records.parts, sys"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        pytest.param(FILTERING, {"pandas", "tensorflow", "google.protobuf", "torch"}, id="filtering"),
        pytest.param(LOOKING, {"numba", "pandas", "torch"}, id="looking at parts"),
    ],
)
def test_what_is_heavy_is_not_imported(code: str, unwanted: set[str], tmp_path: Path) -> None:
    path = tmp_path / "trainaa.tfrecord"
    path.write_bytes(frame(record(b"aaaa", [22])))
    code += f"\nprint(sorted(set(sys.modules) & {unwanted}))"
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
