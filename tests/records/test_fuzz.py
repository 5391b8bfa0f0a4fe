"""Mutated shards: no crash, no hang, no read out of bounds, every outcome a reason; `bench_fuzz` has ten times more."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.records.kernels.judge import Verdict
from tests.records.framing import frames, judge_frames, judge_shard
from tests.records.fuzz import Mutator, fuzzed, guarded
from tests.records.oracle import expected, expected_frames

TIMES = int(os.environ.get("REELSIFT_FUZZED", "1"))  # `bench_fuzz` sets it
SHARDS, SHARDS_OF_FRAMES, SEEDS = 10_000 * TIMES, 2_000 * TIMES, 2
PAYLOADS, PAYLOADS_OF_FRAMES = 20_000 * TIMES, 4_000 * TIMES
TIMEOUT_S = 240 * TIMES
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


def test_the_guard_stops_a_read_past_the_end(tmp_path: Path) -> None:
    """Else the fuzzing below would prove nothing."""
    probe = guarded("-c", PROBE, cache=tmp_path)
    _, errors = probe.communicate(timeout=TIMEOUT_S)
    assert probe.returncode == -signal.SIGSEGV or "IndexError" in errors


def test_mutated_shards_are_judged_record_by_record(tmp_path: Path) -> None:
    seen = fuzzed(SHARDS, SHARDS_OF_FRAMES, SEEDS, tmp_path, TIMEOUT_S)
    assert set(+seen) == {verdict.name for verdict in Verdict}, "the mutations should meet every verdict"


def test_mutated_payloads_of_frames_mean_what_they_mean_to_protobuf(parse_sequence: Callable[[bytes], Any]) -> None:
    mutator = Mutator(seed=100, of_frames=True)
    payloads = [mutator.payload() for _ in range(PAYLOADS_OF_FRAMES)]
    for payload, record in zip(payloads, judge_frames(frames(payloads), room_for=PAYLOADS_OF_FRAMES), strict=True):
        assert (record.verdict, record.values) == expected_frames(payload, parse_sequence), payload.hex()


def test_mutated_payloads_mean_what_they_mean_to_protobuf(parse_entries: Callable[[bytes], Any]) -> None:
    mutator = Mutator(seed=100)
    payloads = [mutator.payload() for _ in range(PAYLOADS)]
    for payload, record in zip(payloads, judge_shard(frames(payloads), room_for=PAYLOADS), strict=True):
        assert (record.verdict, record.values) == expected(payload, parse_entries), payload.hex()
