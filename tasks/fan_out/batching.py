"""Batches of about equal work for a pool, sized by the throughput of earlier runs, and the manifest of a run."""

import hashlib
import heapq
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue, ValidationError

from tasks.contracts.files import appearing, write_text
from tasks.contracts.media import DONE, BatchRequest, BatchRow, BatchVideo, DetectorRecord
from tasks.fan_out.config import PoolConfig


def split(expected_s: Sequence[float], *, workers: int, batch_s: float) -> list[list[int]]:
    """Group sources so that every worker gets some, and no batch is much over `batch_s` seconds of work.

    The longest goes first, to the batch that has least: Graham's rule, at most 4/3 of the best there is (R. L. Graham,
    Bounds on multiprocessing timing anomalies, 1969). The batch with most work comes first, as it ends last.

    Args:
        expected_s: seconds for each source.
        workers: how many there are to share the work.
        batch_s: how long a batch should be, so that what it costs to start one does not count.
    """
    if not expected_s:
        return []
    count = min(len(expected_s), max(workers, math.ceil(sum(expected_s) / batch_s)))
    groups: list[list[int]] = [[] for _ in range(count)]
    loads = [(0.0, 0, number) for number in range(count)]  # of two with as much work, the one with fewer videos is next
    for place in sorted(range(len(expected_s)), key=lambda place: (-expected_s[place], place)):
        load, size, number = heapq.heappop(loads)
        groups[number].append(place)
        heapq.heappush(loads, (load + expected_s[place], size + 1, number))
    work = {number: load for load, _, number in loads}
    return [sorted(groups[number]) for number in sorted(work, key=lambda number: (-work[number], number))]


def requests_of(
    videos: Sequence[BatchVideo],
    expected_s: Sequence[float],
    form: dict[str, JsonValue],
    *,
    workers: int,
    batch_s: float,
) -> Iterator[BatchRequest]:
    """Yield batches of about equal work, as `split` makes them; `form` says what is wanted of each video."""
    for group in split(expected_s, workers=workers, batch_s=batch_s):
        some = tuple(videos[place] for place in group)
        content = json.dumps([form, [video.model_dump() for video in some]], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        seconds = round(sum(expected_s[place] for place in group), 3)
        yield BatchRequest(id=digest, videos=some, form=form, expected_s=seconds)


MANIFEST_NAME = "manifest.parquet"
NUMBERS = {"seconds": pa.float64(), "video_s": pa.float64(), "place": pa.int64()}
SCHEMA = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in BatchRow.model_fields])


def write_manifest(folder: Path, rows: Sequence[BatchRow]) -> Path:
    """Write the rows atomically, and return where."""
    path = folder / MANIFEST_NAME
    with appearing(path) as temporary:
        pq.write_table(pa.Table.from_pylist([row.model_dump(mode="json") for row in rows], SCHEMA), temporary)
    return path


def read_manifest(path: Path) -> list[BatchRow]:
    """Read the rows again."""
    return [BatchRow.model_validate(row) for row in pq.read_table(path).to_pylist()]


def recalled(path: Path) -> dict[str, Any]:
    """Return all that is remembered."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(path: Path, name: str, value: object) -> None:
    """Remember a value under a name; of two that do so at once, one may be forgotten."""
    write_text(path, json.dumps(recalled(path) | {name: value}, indent=1) + "\n")


DETECTORS_NAME = "detectors.json"


def known_detector(folder: Path, name: str, speed: str) -> DetectorRecord | None:
    """Return what a detector was when it was last opened by a worker; None where none has opened it yet."""
    try:
        return DetectorRecord.model_validate(recalled(folder / DETECTORS_NAME).get(f"{name} {speed}"))
    except ValidationError:
        return None


def keep_detector(folder: Path, name: str, speed: str, record: DetectorRecord) -> None:
    """Remember what a detector is."""
    if known_detector(folder, name, speed) != record:
        remember(folder / DETECTORS_NAME, f"{name} {speed}", record.model_dump(mode="json"))


COSTS_NAME = "costs.json"
# A video of YouTube-8M lasts 120 to 500 s, 230 on average (https://research.google.com/youtube8m/).
USUAL_VIDEO_S = 230.0
USUAL_COST = 0.5  # seconds of work for a second of video: 30 frames a second at 60 of them a second
MAX_COST = 1e6
ENOUGH_S = 60.0  # seconds of video
OVERHEAD_S = 0.5  # of opening a video and writing its report


def expected_s(video_s: float | None, cost: float) -> float:
    """Return the seconds of work that a video is; one of unknown length counts as a usual one."""
    return OVERHEAD_S + (USUAL_VIDEO_S if video_s is None else video_s) * cost


def known_cost(folder: Path, work: str) -> float:
    """Return the cost that was last measured for this work, or a guess."""
    cost = recalled(folder / COSTS_NAME).get(work)
    return float(cost) if isinstance(cost, int | float) and 0 < cost < MAX_COST else USUAL_COST


def keep_cost(folder: Path, work: str, rows: Iterable[BatchRow]) -> None:
    """Remember how long the work took, where enough was done to tell: the first video of a process takes longer."""
    done = [(row.seconds, row.video_s) for row in rows if row.status == DONE and row.video_s]
    video_s = sum(lasted for _, lasted in done)
    if video_s >= ENOUGH_S:
        remember(folder / COSTS_NAME, work, round(sum(seconds for seconds, _ in done) / video_s, 5))


class RunState(StrEnum):
    """What is to be thought of a run."""

    WAITING = "waiting"  # nobody has taken it up
    WORKING = "working"
    ENDED = "ended"  # by itself, well or badly
    CANCELLED = "cancelled"  # somebody does not want it
    LOST = "lost"  # it was taken up, and its worker is gone


TAKEN_UP = {"PENDING", "RUNNING"}
ENDED_STATES = {"COMPLETED", "FAILED", "CRASHED"}
CANCELLED_STATES = {"CANCELLED", "CANCELLING"}


@dataclass
class Watch:
    """Looks after one run."""

    config: PoolConfig
    clock: Callable[[], float] = time.monotonic
    starts_slowly: bool = False  # on Kubernetes, an image is pulled before anything of the run can live
    _state: str = ""
    _heartbeat: str = ""
    _changed_s: float | None = None  # when it was last seen to live

    def judge(self, state: str, heartbeat: str) -> RunState:
        """Say what is to be thought of a run in `state` (a Prefect state's type) with this heartbeat."""
        if state in ENDED_STATES:
            return RunState.ENDED
        if state in CANCELLED_STATES:
            return RunState.CANCELLED
        if state not in TAKEN_UP:
            self._changed_s = None
            return RunState.WAITING
        now_s = self.clock()
        if self._changed_s is None or (state, heartbeat) != (self._state, self._heartbeat):
            self._state, self._heartbeat, self._changed_s = state, heartbeat, now_s
        is_starting = self.starts_slowly and state == "PENDING" and not heartbeat
        bound_s = self.config.start_within_s if is_starting else self.config.lost_after_s
        return RunState.LOST if now_s - self._changed_s > bound_s else RunState.WORKING
