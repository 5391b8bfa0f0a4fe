"""Mutated shards through the walker, each right before a page that nobody may touch.

`python -m tests.records.fuzz COUNT FRAMES SEED...`, with NUMBA_BOUNDSCHECK=1 in its environment: an index out of bounds
raises, and a read by address past the end of a shard kills the process. In: how many shards of whole videos and of
frames for each seed, and the seeds. Out: one JSON object with the number of shards and of each verdict. What a shard
means is another test's affair; here every outcome is a reason.
"""

import ctypes
import json
import mmap
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from tasks.records.kernels.example import COUNT, FRAME_ROWS, ID, LABELS, START, STOP, VIDEO_ROWS, Ints
from tasks.records.kernels.judge import Rules, Verdict
from tasks.records.kernels.walker import MIN_FRAME_BYTES, OFFSET, VERDICT, gather, new_tables, walk
from tests.records.framing import (
    AUDIO_BYTES,
    AUDIO_FLOATS,
    RGB_BYTES,
    RGB_FLOATS,
    frame,
    gathered_frames,
    masked_crc,
    small_rules,
)
from tests.records.odd_examples import OddExamples, OddSequences

ROOT = Path(__file__).parents[2]
PAGE = mmap.PAGESIZE
LARGEST = 4 * PAGE  # bytes of a mutated shard
SEEDS = 400  # payloads that the mutations start from
WELL = (Verdict.MATCH, Verdict.NO_MATCH, Verdict.EXCLUDED)
NASTY = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def guarded(*arguments: str, cache: Path) -> subprocess.Popen[str]:
    """Start Python on code whose indices are checked."""
    # Not optimised: that would take longer than it saves.
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache), "NUMBA_OPT": "0"}
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def fuzzed(shards: int, shards_of_frames: int, seeds: int, cache: Path, timeout_s: float) -> Counter[str]:
    """Mutate so many shards in all, in a process of their own; return how many records met each verdict."""
    counts = (str(count // seeds) for count in (shards, shards_of_frames))
    run = guarded("-m", __name__, *counts, *map(str, range(seeds)), cache=cache)
    output, errors = run.communicate(timeout=timeout_s)
    assert run.returncode == 0, errors
    result = json.loads(output)
    assert result["shards"] == shards + shards_of_frames
    return Counter(result["verdicts"])


class GuardedBuffer:
    """Memory whose end is the end of what may be read."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, LARGEST + PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._array = np.frombuffer(self._memory, np.uint8)
        address = self._array.ctypes.data + LARGEST
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def holding(self, content: bytes) -> NDArray[np.uint8]:
        """Put `content` right before the guarded page."""
        data = self._array[LARGEST - len(content) : LARGEST]
        data[:] = np.frombuffer(content, np.uint8)
        return data


class Mutator:
    """An endless source of shards that are nearly right."""

    def __init__(self, seed: int, *, of_frames: bool = False) -> None:
        self.rng, self.of_frames = Random(seed), of_frames
        videos = OddExamples(seed=seed, rgb_floats=RGB_FLOATS, audio_floats=AUDIO_FLOATS)
        make = OddSequences(seed, RGB_BYTES, AUDIO_BYTES).sequence if of_frames else videos.example
        self.payloads = [payload for payload in (make() for _ in range(SEEDS)) if len(payload) < PAGE]
        self.mutations = (self._flip, self._cut, self._insert, self._delete, self._splice, self._number, self._swell)

    def shard(self) -> bytes:
        """Return a shard whose payloads were mutated inside right checksums, or whose bytes were mutated after."""
        payloads = self.rng.choices(self.payloads, k=self.rng.choice((1, 1, 2, 3)))
        if self.rng.random() < 0.6:
            payloads = [self._mutated(payload) for payload in payloads]
            return b"".join(map(frame, payloads))[:LARGEST]
        content = self._mutated(b"".join(map(frame, payloads)))
        return (self._with_length(content) if self.rng.random() < 0.3 else content)[:LARGEST]

    def payload(self) -> bytes:
        """Return one mutated payload."""
        return self._mutated(self.rng.choice(self.payloads))

    def _mutated(self, content: bytes) -> bytes:
        for _ in range(self.rng.choice((1, 1, 2, 5))):
            content = self.rng.choice(self.mutations)(bytearray(content))
        return content

    def _at(self, content: bytearray) -> int:
        return self.rng.randrange(len(content) + 1)

    def _flip(self, content: bytearray) -> bytes:
        if content:
            content[self._at(content) % len(content)] ^= 1 << self.rng.randrange(8)
        return bytes(content)

    def _cut(self, content: bytearray) -> bytes:
        return bytes(content[: self._at(content)])

    def _insert(self, content: bytearray) -> bytes:
        at = self._at(content)
        return bytes(content[:at]) + self.rng.randbytes(self.rng.randrange(1, 12)) + bytes(content[at:])

    def _delete(self, content: bytearray) -> bytes:
        at = self._at(content)
        del content[at : at + self.rng.randrange(1, 12)]
        return bytes(content)

    def _splice(self, content: bytearray) -> bytes:
        other = self.rng.choice(self.payloads)
        return bytes(content[: self._at(content)]) + other[self.rng.randrange(len(other) + 1) :]

    def _number(self, content: bytearray) -> bytes:
        """Write a number on the edge of its type over some bytes, as a varint or as it is."""
        value, at = self.rng.choice(NASTY), self._at(content)
        written = struct.pack("<Q", value) if self.rng.random() < 0.3 else _varint(value)
        content[at : at + len(written)] = written
        return bytes(content)

    def _swell(self, content: bytearray) -> bytes:
        """Let one byte, perhaps a length, say a little more or less than it should."""
        if content:
            at = self._at(content) % len(content)
            content[at] = (content[at] + self.rng.choice((-2, -1, 1, 2, 64))) % 256
        return bytes(content)

    def _with_length(self, content: bytes) -> bytes:
        """Give the first frame a length of our choosing, and the right checksum of that length."""
        length = struct.pack("<Q", self.rng.choice((*NASTY, len(content), max(0, len(content) - 16))))
        return length + masked_crc(length) + content[12:]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def check(
    data: NDArray[np.uint8], rules: Rules, tables: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> Counter[Verdict]:
    """Walk over a shard and gather what is well in it; say what was found."""
    heads, features = tables
    counts = np.zeros(len(Verdict), np.int64)
    count, end = walk(data, data.size, 0, counts, heads, features, rules)
    assert 0 <= count <= len(data) // MIN_FRAME_BYTES + 1
    assert end == len(data)
    assert (np.diff(heads[:count, OFFSET]) >= MIN_FRAME_BYTES).all()
    verdicts = heads[:count, VERDICT]
    assert (np.bincount(verdicts, minlength=len(Verdict)) == counts).all()
    for n in np.flatnonzero(np.isin(verdicts, WELL)):
        if features.shape[1] == FRAME_ROWS:
            _, _, rgb, audio, _ = gathered_frames(data, features[n : n + 1])
            assert len(rgb) // RGB_BYTES == len(audio) // AUDIO_BYTES > 0
        else:
            _gather_one(data, features[n : n + 1])
    return Counter(map(Verdict, verdicts.tolist()))


def _gather_one(data: NDArray[np.uint8], features: Ints) -> None:
    ids = np.empty(features[0, ID, STOP] - features[0, ID, START], np.uint8)
    labels = np.empty(features[0, LABELS, COUNT] * 8, np.uint8)
    rgb, audio = np.empty((1, RGB_FLOATS * 4), np.uint8), np.empty((1, AUDIO_FLOATS * 4), np.uint8)
    gather(data, features, ids, labels, rgb, audio)
    assert np.isfinite(rgb.view(np.float32)).all()
    assert np.isfinite(audio.view(np.float32)).all()


def main() -> None:
    count, of_frames, *seeds = map(int, sys.argv[1:])
    buffer, seen = GuardedBuffer(), Counter[Verdict]()
    checked, unchecked = small_rules(), small_rules(check_crc=False)
    for shards, rows in ((count, VIDEO_ROWS), (of_frames, FRAME_ROWS)):
        tables = new_tables(LARGEST // MIN_FRAME_BYTES + 1, rows)
        for mutator in (Mutator(seed, of_frames=rows == FRAME_ROWS) for seed in seeds):
            for number in range(shards):
                seen += check(buffer.holding(mutator.shard()), unchecked if number % 8 == 0 else checked, tables)
    total = (count + of_frames) * len(seeds)
    print(json.dumps({"shards": total, "verdicts": {verdict.name: seen[verdict] for verdict in Verdict}}))


if __name__ == "__main__":
    main()
