"""Flow: detect the objects in videos, here or in batches over a work pool."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from conf.environment import running_settings
from conf.flow import deployment, flow, flow_run
from conf.forms import DetectObjectsForm
from conf.settings import Settings
from flows.video_requests import check_out, detect_work, sources_of, workplace_of
from tasks.contracts.media import BatchRequest, BatchRow, BatchVideo
from tasks.contracts.text import in_list
from tasks.dispatch_batches import detectors_of, worked_on_pool
from tasks.fan_out.batching import expected_s, keep_cost, known_cost, known_detector, requests_of
from tasks.per_video.fetching import Workplace, lasting_s
from tasks.per_video.work import DetectWork, known_outcome
from tasks.process_videos import RUNNER, process_videos
from tasks.runs import final_state, show_videos
from tasks.video.sources import absolute

DEPLOYMENT = "detect-batch/detect-batch"


def detected_on_pool(
    form: DetectObjectsForm, sources: Sequence[str], settings: Settings
) -> tuple[list[BatchRow], Path]:
    """See every source through on the pool, and write the manifest.

    Raises:
        BatchError: no deployment works on batches, or nothing could be done at all.
    """
    workplace, work = workplace_of(form, settings), detect_work(form, settings)
    known = _there_already(form, sources, settings, workplace, work)
    wanted, places = _wanted(form, workplace, work), {row.place for row in known}
    rows, manifest = worked_on_pool(
        settings.paths.batches / str(flow_run.id),
        DEPLOYMENT,
        known,
        lambda workers: _requests(form, sources, places, settings, workplace, wanted, workers=workers),
        total=len(sources),
        config=settings.pool,
        key="detected-videos",
    )
    keep_cost(settings.paths.batches, _work(form), (row for row in rows if row.batch))
    return rows, manifest


def _there_already(
    form: DetectObjectsForm, sources: Sequence[str], settings: Settings, workplace: Workplace, work: DetectWork
) -> list[BatchRow]:
    """Return the rows of those that the workers' detector has looked at before, with the same options."""
    record = known_detector(settings.paths.batches, form.detector, form.speed)
    if record is None or form.again:
        return []
    known = ((place, known_outcome(source, record, work, workplace)) for place, source in enumerate(sources))
    return [
        BatchRow.of(outcome, place=place, detector=f"{record.name} on {record.device}")
        for place, outcome in known
        if outcome
    ]


def _requests(
    form: DetectObjectsForm,
    sources: Sequence[str],
    known: set[int],
    settings: Settings,
    workplace: Workplace,
    wanted: dict[str, JsonValue],
    *,
    workers: int,
) -> Iterator[BatchRequest]:
    """Split what is left into batches of about equal work."""
    left = [
        BatchVideo(place=place, source=absolute(source)) for place, source in enumerate(sources) if place not in known
    ]
    cost = known_cost(settings.paths.batches, _work(form))
    expected = [expected_s(lasting_s(video.source, workplace), cost) for video in left]
    return requests_of(left, expected, wanted, workers=workers, batch_s=settings.pool.batch_s)


def _wanted(form: DetectObjectsForm, workplace: Workplace, work: DetectWork) -> dict[str, JsonValue]:
    """Complete the form for workers, which run in other folders and may have other settings."""
    said = {
        name: value
        for name, value in work.options
        if name in DetectObjectsForm.model_fields and value not in (None, ())
    }
    out = workplace.out if form.out else None
    return form.model_copy(update={**said, "out": out}).model_dump(mode="json", exclude={"sources"})


def _work(form: DetectObjectsForm) -> str:
    """Name the kind of work whose cost is remembered: what looks, how closely, and what it writes."""
    about: dict[str, Any] = form.model_dump(mode="json", include={"detector", "speed", "rate_hz", "every", "annotate"})
    return " ".join(f"{name}={value}" for name, value in about.items())


@flow(name="detect-objects", called=lambda form: f"detect {in_list('videos', form.sources)}", task_runner=RUNNER)
def detect_objects(form: DetectObjectsForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Detect in what the form names; results of the same detector and options are cached."""
    settings = running_settings()
    if deployment.id is not None:
        check_out(form)
    sources = sources_of(form)
    if _is_for_pool(form):
        rows, manifest = detected_on_pool(form, sources, settings)
        detector = detectors_of(rows) or form.detector
        show_videos(rows, key="detected-videos", made_by=detector, manifest=manifest)
        videos = [row.model_dump(mode="json") for row in rows]
        return final_state(rows, {"detector": detector, "videos": videos, "manifest": str(manifest)})
    workplace, work, size = workplace_of(form, settings), detect_work(form, settings), settings.flow.videos_per_batch
    detector, outcomes = process_videos(sources, work, workplace, batch=size, again=form.again)
    show_videos(outcomes, key="detected-videos", made_by=detector)
    made = {"detector": detector, **work.said(workplace.weights)}
    made |= {"videos": [outcome.model_dump(mode="json") for outcome in outcomes]}
    return final_state(outcomes, made)


def _is_for_pool(form: DetectObjectsForm) -> bool:
    """Say whether workers are to look: in a run of a deployment they are, unless the form says otherwise."""
    return form.where == "pool" or (form.where == "auto" and deployment.id is not None)
