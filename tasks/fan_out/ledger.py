"""The ledger of one batch: request, results and heartbeat.

    <batch>.json              what is wanted
    <batch>.<run>.rows.jsonl  a line for each video, as it is done; each run that works on the batch has its own file
    <batch>.<run>.heartbeat       a number that grows as long as the run lives
    <batch>.<run>.at          the place of the video that the run is at

A reader of a heartbeat compares it with what it was by its own clock, as the clocks of machines differ.
"""

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.errors import BatchError
from tasks.contracts.files import PRIVATE, write_text
from tasks.contracts.media import FAILED, BatchRequest, BatchRow

PULSE_S = 2.0


@dataclass(frozen=True)
class Ledger:
    """The files of one batch in a folder."""

    folder: Path
    batch: str

    @property
    def request_path(self) -> Path:
        """Where it is written what is wanted."""
        return self.folder / f"{self.batch}.json"

    def rows(self) -> dict[int, BatchRow]:
        """Return what is known of each place; of two runs that met the same video, what went well counts."""
        found: dict[int, BatchRow] = {}
        for path in self._row_files():
            for row in _read_rows(path):
                known = found.get(row.place)
                if known is None or known.status == FAILED:
                    found[row.place] = row
        return found

    def lines(self) -> int:
        """Return about how many rows there are, without reading them: two runs may have met the same video."""
        return sum(_line_count(path) for path in self._row_files())

    def heartbeat(self, run: str) -> str:
        """Return the beat of a run; empty where it has none yet."""
        return _read_text(self._path(run, "heartbeat"))

    def at(self, run: str) -> int | None:
        """Return the place of the video that a run was at when it was last heard of."""
        text = _read_text(self._path(run, "at"))
        return int(text) if text.isdecimal() else None

    def begin(self, run: str, place: int) -> None:
        """Note which video is worked on, in case that it ends the process."""
        write_text(self._path(run, "at"), str(place))

    def add(self, run: str, row: BatchRow) -> None:
        """Add a row, on the disk before this returns."""
        with self._path(run, "rows.jsonl").open("ab") as file:
            file.write(row.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def beating(self, run: str, at_most_s: float = math.inf) -> Iterator[None]:
        """Let others see that a run lives, as long as the block lasts, or for `at_most_s`."""
        ended = threading.Event()

        def beat() -> None:
            count, until_s = 0, time.monotonic() + at_most_s
            while not ended.is_set() and time.monotonic() < until_s:
                with suppress(
                    OSError
                ):  # a share that is away for a moment comes back; for longer, the run counts as lost
                    write_text(self._path(run, "heartbeat"), str(count))
                count += 1
                ended.wait(PULSE_S)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _row_files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.batch}.*.rows.jsonl"))

    def _path(self, run: str, kind: str) -> Path:
        return self.folder / f"{self.batch}.{run}.{kind}"


def write_request(folder: Path, request: BatchRequest) -> Ledger:
    """Write down what is wanted of a batch, and return its ledger; sources may hold passwords."""
    ledger = Ledger(folder, request.id)
    write_text(ledger.request_path, request.model_dump_json(indent=1) + "\n", mode=PRIVATE)
    return ledger


def open_request(path: Path) -> tuple[BatchRequest, Ledger]:
    """Read what is wanted of a batch.

    Raises:
        BatchError: the file is not there, or is not one.
    """
    try:
        request = BatchRequest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BatchError(
            f"The batch {path} cannot be read: {error.strerror}. Every worker of a pool needs the same REELSIFT_HOME: "
            "a folder that all of their machines share."
        ) from error
    except ValidationError as error:
        raise BatchError(f"{path} is not a batch of videos: start detect-objects, which makes them.") from error
    if path.name != f"{request.id}.json":
        raise BatchError(f"{path} holds the batch {request.id}: a batch is never renamed.")
    return request, Ledger(path.parent, request.id)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _line_count(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def _read_rows(path: Path) -> Iterator[BatchRow]:
    with suppress(OSError):
        for line in path.read_bytes().split(b"\n"):
            with suppress(ValidationError):  # cut off by a kill
                yield BatchRow.model_validate_json(line)
