"""Which unmatched records of a shard to keep, so that every machine keeps the same.

In: a shard's bytes and where the ids of the candidates are. Out: the candidates chosen. Does not know why they did
not match.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tasks.records.compiled import U64, entry_point, kernel, source_revision
from tasks.records.example import ID, START, STOP, Ints
from tasks.records.wire import Bytes

# FNV-1a of 64 bits over the salt and the id, then the finalizer of MurmurHash3, as FNV alone mixes short texts badly.
FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
SALT = b"reelsift background 1"


def choose(data: Bytes, features: Ints, count: int) -> NDArray[np.intp]:
    """Return which of the records whose features are given have the `count` smallest hashes, in order of the file."""
    hashes = np.empty(len(features), np.uint64)
    _hash_ids(data, features, hashes)
    return np.sort(np.argsort(hashes, kind="stable")[:count])


@kernel
def _mixed(value: int) -> int:
    value = (value ^ (value >> U64(33))) * U64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> U64(33))) * U64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> U64(33))


@kernel
def _hash_all(data: Bytes, features: Ints, hashes: NDArray[np.uint64]) -> None:
    for n in range(len(features)):
        value = U64(FNV_BASIS)
        for byte in SALT:
            value = (value ^ U64(byte)) * U64(FNV_PRIME)
        for at in range(features[n, ID, START], features[n, ID, STOP]):
            value = (value ^ U64(data[at])) * U64(FNV_PRIME)
        hashes[n] = _mixed(value)


def _compile(revision: str) -> Callable[[Bytes, Ints, NDArray[np.uint64]], None]:
    def hash_ids(data: Bytes, features: Ints, hashes: NDArray[np.uint64]) -> None:
        _ = revision
        _hash_all(data, features, hashes)

    return entry_point(hash_ids)


_hash_ids = _compile(source_revision())
