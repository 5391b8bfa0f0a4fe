"""CRC-32C (Castagnoli) for compiled code, by the processor's own instruction where it has one.

The instruction takes 8 bytes a time, needs its last result to go on and takes three cycles for that; so three
streams run side by side and are joined by a table, which is 2.5 times as fast as one stream.
"""

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic
from numpy.typing import NDArray

from tasks.records.kernels.compiled import U32, U64, inlined, kernel

POLYNOMIAL = 0x82F63B78  # reflected
MASK_DELTA = 0xA282EAD8  # tensorflow/core/lib/hash/crc32c.h
STREAM_BYTES = 1536  # three of them nearly cover a record of 4.7 KB, so that they are joined once
SHORT_STREAM_BYTES = 512  # of what is shorter


def _byte_tables() -> NDArray[np.uint32]:
    """Return uint32 (8, 256): what a byte does to the checksum after 0 to 7 more bytes (slicing by eight)."""
    tables = np.zeros((8, 256), np.uint32)
    tables[0] = np.arange(256)
    for _ in range(8):
        tables[0] = np.where(tables[0] & 1, tables[0] >> 1 ^ POLYNOMIAL, tables[0] >> 1)
    for n in range(1, 8):
        tables[n] = tables[n - 1] >> 8 ^ tables[0][tables[n - 1] & 0xFF]
    return tables


def _shift_tables(zeros: int) -> NDArray[np.uint32]:
    """Return uint32 (4, 256): what each byte of a checksum becomes after so many zero bytes."""
    shifted = np.arange(256, dtype=np.uint32) << (np.arange(4, dtype=np.uint32)[:, None] * 8)
    for _ in range(zeros):
        shifted = shifted >> 8 ^ TABLES[0][shifted & 0xFF]
    return shifted


TABLES = _byte_tables()
SHIFTS, SHORT_SHIFTS = _shift_tables(STREAM_BYTES), _shift_tables(SHORT_STREAM_BYTES)


def _instruction(name: str, crc_bits: int, data_bits: int) -> Callable[[int, int], int]:
    """Make an LLVM intrinsic callable: (uint32 checksum, uint64 data) -> uint32 checksum."""
    crc_type, data_type = ir.IntType(crc_bits), ir.IntType(data_bits)

    def step(typingctx: Any, crc: Any, data: Any) -> Any:  # noqa: ANN401, ARG001  # numba's, which have no types
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401, ARG001
            kind = ir.FunctionType(crc_type, [crc_type, data_type])
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            wide = builder.zext(args[0], crc_type) if crc_bits > 32 else args[0]
            narrow = builder.trunc(args[1], data_type) if data_bits < 64 else args[1]
            result = builder.call(function, [wide, narrow])
            return builder.trunc(result, ir.IntType(32)) if crc_bits > 32 else result

        return types.uint32(types.uint32, types.uint64), codegen

    return intrinsic(step)  # type: ignore[return-value]


@kernel
def _portable_8(crc: int, word: int) -> int:
    word ^= U64(crc)
    return (
        TABLES[7][word & U64(0xFF)]
        ^ TABLES[6][word >> U64(8) & U64(0xFF)]
        ^ TABLES[5][word >> U64(16) & U64(0xFF)]
        ^ TABLES[4][word >> U64(24) & U64(0xFF)]
        ^ TABLES[3][word >> U64(32) & U64(0xFF)]
        ^ TABLES[2][word >> U64(40) & U64(0xFF)]
        ^ TABLES[1][word >> U64(48) & U64(0xFF)]
        ^ TABLES[0][word >> U64(56)]
    )


@kernel
def _portable_1(crc: int, byte: int) -> int:
    return U32(U32(crc) >> U32(8)) ^ TABLES[0][(U64(crc) ^ byte) & U64(0xFF)]


def _steps() -> tuple[str, Callable[[int, int], int], Callable[[int, int], int]]:
    """Choose once, by what numba compiles for: 8 bytes a step, and 1 byte a step."""
    options: Any = config
    features = get_host_cpu_features() if options.CPU_FEATURES is None else options.CPU_FEATURES
    machine = platform.machine().lower()
    if machine in {"x86_64", "amd64"} and "+sse4.2" in features.split(","):
        long, short = ("llvm.x86.sse42.crc32.64.64", 64, 64), ("llvm.x86.sse42.crc32.32.8", 32, 8)
        return "sse4.2", _instruction(*long), _instruction(*short)
    if machine in {"aarch64", "arm64"} and "+crc" in features.split(","):
        long, short = ("llvm.aarch64.crc32cx", 32, 64), ("llvm.aarch64.crc32cb", 32, 32)
        return "armv8-crc", _instruction(*long), _instruction(*short)
    return "portable", _portable_8, _portable_1


KIND, _step_8, _step_1 = _steps()


@kernel
def word_at(data: NDArray[np.uint8], at: int) -> int:
    """Return 8 bytes as a little-endian word; LLVM makes one load of it."""
    word = U64(0)
    for n in range(8):
        word |= U64(data[at + U64(n)]) << U64(8 * n)
    return word


@kernel
def _shift(crc: int, shifts: NDArray[np.uint32]) -> int:
    """Return the checksum as it is after as many zero bytes as the tables are for."""
    return (
        shifts[0][crc & U32(0xFF)]
        ^ shifts[1][crc >> U32(8) & U32(0xFF)]
        ^ shifts[2][crc >> U32(16) & U32(0xFF)]
        ^ shifts[3][crc >> U32(24)]
    )


@inlined
def _three_streams(data: NDArray[np.uint8], at: int, crc: int, size: int, shifts: NDArray[np.uint32]) -> int:
    """Return the checksum as it is after three streams of `size` bytes each; `shifts` are for so many zero bytes."""
    second, third, stream = U32(0), U32(0), U64(size)
    for n in range(0, size, 8):
        here = at + U64(n)
        crc = _step_8(crc, word_at(data, here))
        second = _step_8(second, word_at(data, here + stream))
        third = _step_8(third, word_at(data, here + stream * U64(2)))
    return _shift(_shift(crc, shifts) ^ second, shifts) ^ third


@kernel
def crc32c(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Return the CRC-32C of `data[start:end]` as uint32; the caller has checked the bounds."""
    crc = U32(0xFFFFFFFF)
    at, stop = U64(start), U64(end)
    while stop - at >= U64(3 * STREAM_BYTES):
        crc = _three_streams(data, at, crc, STREAM_BYTES, SHIFTS)
        at += U64(3 * STREAM_BYTES)
    while stop - at >= U64(3 * SHORT_STREAM_BYTES):
        crc = _three_streams(data, at, crc, SHORT_STREAM_BYTES, SHORT_SHIFTS)
        at += U64(3 * SHORT_STREAM_BYTES)
    while stop - at >= U64(8):
        crc = _step_8(crc, word_at(data, at))
        at += U64(8)
    while at < stop:
        crc = _step_1(crc, U64(data[at]))
        at += U64(1)
    return crc ^ U32(0xFFFFFFFF)


@kernel
def masked(crc: int) -> int:
    """Return the checksum as a TFRecord file holds it."""
    return U32((U32(crc) >> U32(15) | U32(crc) << U32(17)) + U32(MASK_DELTA))
