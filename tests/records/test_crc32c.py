"""The checksum, against Google's."""

import os
import subprocess
import sys

import google_crc32c
import numpy as np
import pytest

from tasks.records.kernels import crc32c as module
from tests.records.framing import masked_crc

DATA = np.random.default_rng(0).integers(0, 256, 8000, dtype=np.uint8)
RANGES = [(0, 0), (0, 1), (3, 10), (5, 13), (1, 1536), (1, 1537), (7, 1551), (2, 4702), (0, 8000)]
RANGES += [(0, 4607), (1, 4608), (1, 4609), (5, 6148), (5, 6149)]  # three long streams, then three short ones


@pytest.mark.parametrize(("start", "end"), RANGES, ids=str)
def test_it_is_that_of_google(start: int, end: int) -> None:
    assert module.crc32c(DATA, start, end) == google_crc32c.value(DATA[start:end].tobytes())


def test_it_is_masked_as_in_a_tfrecord_file() -> None:
    content = DATA.tobytes()
    masked = module.masked(module.crc32c(DATA, 0, DATA.size))
    assert int(masked).to_bytes(4, "little") == masked_crc(content)


def test_a_processor_without_the_instruction_gets_the_same_from_tables() -> None:
    code = (
        "import numpy as np, google_crc32c\n"
        "from tasks.records.kernels.crc32c import KIND, crc32c\n"
        "data = np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8)\n"
        "sizes = (0, 7, 8, 1535, 1536, 4607, 4608, 5000)\n"
        "same = [crc32c(data, 0, n) == google_crc32c.value(data[:n].tobytes()) for n in sizes]\n"
        "print(KIND, all(same))"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["portable", "True"]
