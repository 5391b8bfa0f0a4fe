"""Detection over a pool: what is there already, batches of the rest, and the account of all.

    sources ─► there already? ─► row
                 └► expected work ─► batches ─► runs of detect-batch on the pool `gpu` ─► rows ─► manifest.parquet

In: a form, its sources, the settings. Out: a row for each source, in order, and where their manifest lies.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from pydantic import JsonValue

from conf.forms import DetectObjectsForm
from conf.settings import Settings
from flows.video_request import detect_options, workplace_of
from tasks.contracts.batches import BatchRequest, BatchRow, BatchVideo
from tasks.contracts.errors import BatchError
from tasks.contracts.outcomes import FAILED
from tasks.dispatch_batches import Dispatcher
from tasks.fan_out.detectors import known_detector
from tasks.fan_out.manifest import write_manifest
from tasks.fan_out.pace import expected_s, keep_pace, known_pace
from tasks.fan_out.split import split
from tasks.per_video.known import known_outcome
from tasks.per_video.lasting import lasting_s
from tasks.pool_capacity import capacity, pool_of
from tasks.pool_progress import PoolProgress
from tasks.video.sources import absolute

DEPLOYMENT = "detect-batch/detect-batch"


def detected_on_pool(
    form: DetectObjectsForm, sources: Sequence[str], settings: Settings
) -> tuple[list[BatchRow], Path]:
    """See every source through on the pool, and write the manifest.

    Raises:
        BatchError: no deployment works on batches, or nothing could be done at all.
    """
    folder = settings.paths.batches / str(flow_run.id)
    with get_client(sync_client=True) as client:
        pool = pool_of(client, DEPLOYMENT)
        workers = max(1, capacity(client, pool))
    rows = _there_already(form, sources, settings)
    with PoolProgress("videos", len(sources), key="detected-videos") as progress:
        progress.advance("videos", len(rows))
        requests = list(_requests(form, sources, {row.place for row in rows}, settings, workers))
        dispatcher = Dispatcher(folder, DEPLOYMENT, pool, settings.pool, progress)
        fresh = dispatcher.run(requests) if requests else []
    keep_pace(settings.paths.batches, _work(form), fresh)
    rows = sorted([*rows, *fresh], key=lambda row: row.place)
    manifest = write_manifest(folder, rows)
    if dispatcher.failures and all(row.status == FAILED for row in rows):
        raise BatchError(f"Nothing could be done on the pool {pool!r}: {dispatcher.failures[0]}")
    return rows, manifest


def _there_already(form: DetectObjectsForm, sources: Sequence[str], settings: Settings) -> list[BatchRow]:
    """Return the rows of those that the workers' detector has looked at before, with the same options."""
    record = known_detector(settings.paths.batches, form.detector, form.speed)
    if record is None or form.again:
        return []
    workplace, options = workplace_of(form, settings), detect_options(form, settings)
    known = ((place, known_outcome(source, record, options, workplace)) for place, source in enumerate(sources))
    return [
        BatchRow.of(outcome, place=place, detector=f"{record.name} on {record.device}")
        for place, outcome in known
        if outcome
    ]


def _requests(
    form: DetectObjectsForm, sources: Sequence[str], known: set[int], settings: Settings, workers: int
) -> Iterator[BatchRequest]:
    """Split what is left into batches of about equal work."""
    left = [
        BatchVideo(place=place, source=absolute(source)) for place, source in enumerate(sources) if place not in known
    ]
    pace = known_pace(settings.paths.batches, _work(form))
    workplace = workplace_of(form, settings)
    work = [expected_s(lasting_s(video.source, workplace), pace) for video in left]
    wanted = _wanted(form, settings)
    for group in split(work, workers=workers, batch_s=settings.pool.batch_s):
        yield _request(wanted, [left[place] for place in group], sum(work[place] for place in group))


def _wanted(form: DetectObjectsForm, settings: Settings) -> dict[str, JsonValue]:
    """Complete the form for workers, which run in other folders and may have other settings."""
    options = detect_options(form, settings)
    said = {
        name: value for name, value in options if name in DetectObjectsForm.model_fields and value not in (None, ())
    }
    out = workplace_of(form, settings).out if form.out else None
    return form.model_copy(update={**said, "out": out}).model_dump(mode="json", exclude={"sources"})


def _request(wanted: dict[str, JsonValue], videos: Sequence[BatchVideo], expected: float) -> BatchRequest:
    content = json.dumps([wanted, [video.model_dump() for video in videos]], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return BatchRequest(id=digest, videos=tuple(videos), form=wanted, expected_s=round(expected, 3))


def _work(form: DetectObjectsForm) -> str:
    """Name the kind of work whose pace is remembered: what looks, how closely, and what it writes."""
    about: dict[str, Any] = form.model_dump(mode="json", include={"detector", "speed", "rate_hz", "every", "annotate"})
    return " ".join(f"{name}={value}" for name, value in about.items())
