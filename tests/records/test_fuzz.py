"""100,000 mutated shards: no crash, no hang, no read out of bounds, every outcome a reason."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.records.kernels.judge import Verdict
from tests.records.framing import frames, judge_frames, judge_shard
from tests.records.fuzz import Mutator
from tests.records.oracle import expected, expected_frames

ROOT = Path(__file__).parents[2]
SHARDS, SHARDS_OF_FRAMES, SEEDS, TIMEOUT_S = 100_000, 10_000, 2, 240  # bench_frames has 100,000 of frames
PROBE = """
import numpy as np
from tests.records.fuzz import GuardedBuffer
from tasks.records.kernels.crc32c import crc32c
from tasks.records.kernels.compiled import entry_point
data = GuardedBuffer().holding(b"x" * 64)
@entry_point
def past_the_end(data):
    return crc32c(data, 0, data.size + 8)
past_the_end(data)
"""


def start(*arguments: str, cache: Path) -> subprocess.Popen[str]:
    # Not optimised: that would take longer than it saves.
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache), "NUMBA_OPT": "0"}
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_guard_stops_a_read_past_the_end(tmp_path: Path) -> None:
    """Else the fuzzing below would prove nothing."""
    probe = start("-c", PROBE, cache=tmp_path)
    _, errors = probe.communicate(timeout=TIMEOUT_S)
    assert probe.returncode == -signal.SIGSEGV or "IndexError" in errors


def test_mutated_shards_are_judged_record_by_record(tmp_path: Path) -> None:
    run = start(
        "-m",
        "tests.records.fuzz",
        str(SHARDS // SEEDS),
        str(SHARDS_OF_FRAMES // SEEDS),
        *map(str, range(SEEDS)),
        cache=tmp_path,
    )
    output, errors = run.communicate(timeout=TIMEOUT_S)
    assert run.returncode == 0, errors
    result = json.loads(output)
    assert result["shards"] == SHARDS + SHARDS_OF_FRAMES
    seen = Counter(result["verdicts"])
    assert set(+seen) == {verdict.name for verdict in Verdict}, "the mutations should meet every verdict"


def test_mutated_payloads_of_frames_mean_what_they_mean_to_protobuf(parse_sequence: Callable[[bytes], Any]) -> None:
    mutator = Mutator(seed=100, of_frames=True)
    payloads = [mutator.payload() for _ in range(4_000)]
    for payload, record in zip(payloads, judge_frames(frames(payloads)), strict=True):
        assert (record.verdict, record.values) == expected_frames(payload, parse_sequence), payload.hex()


def test_mutated_payloads_mean_what_they_mean_to_protobuf(parse_entries: Callable[[bytes], Any]) -> None:
    mutator = Mutator(seed=100)
    payloads = [mutator.payload() for _ in range(20_000)]
    for payload, record in zip(payloads, judge_shard(frames(payloads)), strict=True):
        assert (record.verdict, record.values) == expected(payload, parse_entries), payload.hex()
