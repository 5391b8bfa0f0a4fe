"""One real stack for all tests of it: two servers behind a password, a worker for the CPU, two for made-up GPUs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.local_stack import LocalStack
from tests.support.square_network import square_network

LOST_AFTER_S = 6


@pytest.fixture(scope="package")
def local_stack(tmp_path_factory: pytest.TempPathFactory, with_tables: Callable[[Path], Path]) -> Iterator[LocalStack]:
    """A stack whose detector finds coloured squares, and which soon takes a silent run for lost."""
    folder = tmp_path_factory.mktemp("stack")
    weights = folder / "weights"
    weights.mkdir()
    (weights / "yolox_nano.onnx").write_bytes(square_network())
    stack = LocalStack(
        with_tables(folder / "home"),
        REELSIFT_WEIGHTS=str(weights),
        REELSIFT_POOL__LOST_AFTER_S=str(LOST_AFTER_S),
        REELSIFT_POOL__LOOK_EVERY_S="0.6",
        REELSIFT_POOL__BATCH_S="3600",  # as many batches as workers
    )
    try:
        stack.up("--host", "127.0.0.1", "--cpu-runs", "4", "--gpu-workers", "2")
        yield stack
    finally:
        stack.down()
    assert not processes_of(stack.home)


def processes_of(home: Path) -> list[str]:
    """Return the commands of all processes that have to do with a home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("REELSIFT_STACK") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
