"""Flow: from labelled videos of one's own to a published dataset version.

    table or folder ─► fetch videos ─► one side for each group ─► features, in batches ─► publish
                                                                  (only what is not kept yet)

A video that is broken is dropped and counted; what is wrong with the table is said before any video is worked on.
"""

from collections.abc import Sequence
from typing import Any

from conf.environment import running_settings
from conf.flow import deployment, flow, flow_run, get_run_logger
from conf.forms import ImportDatasetForm
from conf.settings import Settings
from flows.import_requests import (
    COUNTED,
    check_source,
    checked_table,
    import_place,
    request_of_import,
    space_of,
    summary_of_import,
)
from tasks.contracts.media import CACHED, BatchRow, BatchVideo, FetchedVideo, VideoOutcome
from tasks.datasets.catalogue import open_dataset
from tasks.dispatch_batches import worked_on_pool
from tasks.fan_out.batching import expected_s, keep_cost, known_cost, requests_of
from tasks.import_clips import import_clips
from tasks.imports.request import planned, wanted_videos
from tasks.per_video.extraction import features_in_words, kept_features
from tasks.per_video.fetching import lasting_s
from tasks.per_video.work import ExtractWork
from tasks.prefect_artifacts import final_state, show_dataset, show_videos
from tasks.process_videos import RUNNER, fetched_batches, process_fetched
from tasks.runs import current_progress

DEPLOYMENT = "extract-batch/extract-batch"


@flow(name="import-dataset", task_runner=RUNNER)
def import_dataset(form: ImportDatasetForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Extract the features of labelled videos and publish the version; only what is missing is done."""
    settings = running_settings()
    if deployment.id is not None:
        check_source(form.source)
    table, place, size = checked_table(form), import_place(settings), settings.flow.videos_per_batch
    space_of(form, settings)  # a wrong name fails before any video is fetched
    fetched = (video for batch in fetched_batches(table.sources, place, size) for video in batch)
    found = dict(zip(table.sources, fetched, strict=True))
    plan = planned(table, found)
    videos = wanted_videos(plan, found)
    outcomes = (_on_pool if _is_for_pool(form) else _here)(form, videos, settings)
    rows = [*(each for each in found.values() if isinstance(each, VideoOutcome)), *outcomes]
    show_videos(rows, key="imported-videos", made_by=form.features)
    request = request_of_import(form, plan, videos, outcomes, settings)
    root, storage = settings.paths.datasets, settings.storage
    publish = import_clips.with_options(refresh_cache=not request.is_there(root, storage))
    version = publish(request, root=root, store=settings.paths.parts, features=place.out, storage=storage)
    dataset = open_dataset(root, f"{version['slug']}/{version['id']}")
    made = summary_of_import(dataset, request, outcomes)
    show_dataset(dataset)
    for warning in (*made["warnings"], *made["notes"]):
        get_run_logger().warning("%s", warning)
    return final_state(rows, made)


def _known(form: ImportDatasetForm, videos: Sequence[FetchedVideo], settings: Settings) -> dict[int, BatchRow]:
    """Return a row for each video whose features are kept, by its place."""
    place, space, known = import_place(settings), space_of(form, settings), dict[int, BatchRow]()
    for number, video in enumerate(() if form.again else videos):
        if kept := kept_features(place.out, video.sha256, space):
            answer = features_in_words(kept[1])
            known[number] = BatchRow(source=video.source, status=CACHED, place=number, answer=answer)
    return known


def _here(form: ImportDatasetForm, videos: Sequence[FetchedVideo], settings: Settings) -> Sequence[VideoOutcome]:
    """Extract in this run what is not kept; return an outcome for each video."""
    known, size, progress = _known(form, videos, settings), settings.flow.videos_per_batch, current_progress()
    left = [video for number, video in enumerate(videos) if number not in known]
    progress.begin(COUNTED, len(left), "videos")
    _, outcomes = process_fetched(
        (left[first : first + size] for first in range(0, len(left), size)),
        ExtractWork(features=form.features),
        import_place(settings),
        again=form.again,
        after_each=lambda count: progress.advance(COUNTED, count),
    )
    fresh = iter(outcomes)
    return [known[number] if number in known else next(fresh) for number in range(len(videos))]


def _on_pool(form: ImportDatasetForm, videos: Sequence[FetchedVideo], settings: Settings) -> Sequence[VideoOutcome]:
    """Extract on the workers of the pool what is not kept; return a row for each video.

    Raises:
        BatchError: no deployment works on batches, or nothing could be done at all.
    """
    known, place = _known(form, videos, settings), import_place(settings)
    left = [BatchVideo(place=n, source=str(video.path)) for n, video in enumerate(videos) if n not in known]
    wanted = form.model_dump(mode="json")
    cost = known_cost(settings.paths.batches, f"features={form.features}")
    expected = [expected_s(lasting_s(video.source, place), cost) for video in left]
    rows, _ = worked_on_pool(
        settings.paths.batches / str(flow_run.id),
        DEPLOYMENT,
        list(known.values()),
        lambda workers: requests_of(left, expected, wanted, workers=workers, batch_s=settings.pool.batch_s),
        total=len(videos),
        config=settings.pool,
        key="imported-videos",
    )
    keep_cost(settings.paths.batches, f"features={form.features}", (row for row in rows if row.batch))
    return rows


def _is_for_pool(form: ImportDatasetForm) -> bool:
    """Say whether workers are to extract: in a run of a deployment they are, unless the form says otherwise."""
    return form.where == "pool" or (form.where == "auto" and deployment.id is not None)
