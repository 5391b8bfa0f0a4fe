"""Flow: from labelled videos of one's own to a published dataset version.

    table or folder ─► fetch videos ─► one side for each group ─► features, in batches ─► publish
                                                                  (only what is not kept yet)

A video that is broken is dropped and counted; what is wrong with the table is said before any video is worked on.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from conf.environment import running_settings
from conf.flow import deployment, flow, flow_run, get_run_logger
from conf.forms import ExtractDatasetForm, ImportDatasetForm
from conf.settings import Settings
from flows.import_requests import (
    COUNTED,
    check_source,
    checked_table,
    import_place,
    outcomes_by_content,
    request_of_import,
    space_of,
    summary_of_import,
    videos_of_version,
)
from tasks.contracts.media import CACHED, BatchRow, BatchVideo, FetchedVideo, VideoOutcome
from tasks.contracts.overlap import ahead
from tasks.datasets.catalogue import open_dataset
from tasks.dispatch_batches import worked_on_pool
from tasks.fan_out.batching import expected_s, keep_cost, known_cost, requests_of
from tasks.features.batches import in_batches
from tasks.imports.request import planned, wanted_videos
from tasks.imports.table import ClipTable
from tasks.per_video.extraction import features_in_words, kept_features
from tasks.per_video.fetching import discard, fetch_each, lasting_s
from tasks.per_video.work import ExtractWork
from tasks.process_videos import RUNNER, fetched_batches, process_fetched
from tasks.publish_dataset import import_clips
from tasks.runs import current_progress, final_state, result_of, show_dataset, show_videos

AnyForm = ImportDatasetForm | ExtractDatasetForm
DEPLOYMENT = "extract-batch/extract-batch"


@flow(name="import-dataset", called=lambda form: f"import {form.name or form.source.name}", task_runner=RUNNER)
def import_dataset(form: ImportDatasetForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Extract the features of labelled videos and publish the version; only what is missing is done."""
    settings = running_settings()
    if deployment.id is not None:
        check_source(form.source)
    return imported(form, checked_table(form), settings)


def imported(form: AnyForm, table: ClipTable, settings: Settings) -> Any:  # noqa: ANN401 - as above
    """Have the features of the videos of a table, publish the version, and return the state of the run.

    Raises:
        DatasetError: the videos make no version.
        ReelsiftError: the feature space, the pool, the storage or the disk cannot be used.
    """
    space_of(form, settings)  # a wrong name fails before any video is fetched
    place, size = import_place(settings, form), settings.flow.videos_per_batch
    if isinstance(form, ExtractDatasetForm):
        found, outcomes = videos_of_version(table, form, settings, lambda left: _passing(form, left, settings))
        plan, by_content, rows = planned(table, found), outcomes_by_content(found, outcomes), outcomes
    else:
        fetched = (video for batch in fetched_batches(table.sources, place, size) for video in batch)
        found = dict(zip(table.sources, fetched, strict=True))
        plan = planned(table, found)
        videos = wanted_videos(plan, found)
        outcomes = (_on_pool if _is_for_pool(form) else _here)(form, videos, settings)
        by_content = {video.sha256: outcome for video, outcome in zip(videos, outcomes, strict=True)}
        rows = [*(each for each in found.values() if isinstance(each, VideoOutcome)), *outcomes]
    show_videos(rows, key="imported-videos", made_by=form.features)
    request = request_of_import(form, plan, by_content, settings)
    root, storage = settings.paths.datasets, settings.storage
    publish = import_clips.with_options(refresh_cache=not request.is_there(root, storage))
    version = result_of(publish, request, root=root, store=settings.paths.parts, features=place.out, storage=storage)
    dataset = open_dataset(root, f"{version['slug']}/{version['id']}")
    made = summary_of_import(dataset, request, outcomes)
    show_dataset(dataset)
    for warning in (*made["warnings"], *made["notes"]):
        get_run_logger().warning("%s", warning)
    return final_state(rows, made)


def _passing(form: ExtractDatasetForm, sources: Sequence[str], settings: Settings) -> Sequence[VideoOutcome]:
    """Fetch sources a few at a time, here or on the pool, extract their features, and delete what was fetched."""
    place, size = import_place(settings, form), settings.flow.videos_per_batch
    if not sources:
        return []
    if _is_for_pool(form):
        left = [BatchVideo(place=number, source=source) for number, source in enumerate(sources)]
        return _worked_on(form, left, [], settings)
    space = space_of(form, settings)

    def passing() -> Iterator[list[FetchedVideo | VideoOutcome]]:
        fetched = ahead(fetch_each(sources, place, current_progress()), buffer=size)
        with closing(fetched):  # one after the other: once YouTube gives no more, no batch after it asks again
            for number, batch in enumerate(in_batches(fetched, size)):
                yield batch  # and its features are there once the next one is asked for
                for source, video in zip(sources[number * size :], batch, strict=False):
                    if isinstance(video, FetchedVideo) and kept_features(place.out, video.sha256, space):
                        discard(source, place)

    return _extracted(form, passing(), len(sources), settings)


def _known(form: AnyForm, videos: Sequence[FetchedVideo], settings: Settings) -> dict[int, BatchRow]:
    """Return a row for each video whose features are kept, by its place."""
    place, space, known = import_place(settings, form), space_of(form, settings), dict[int, BatchRow]()
    for number, video in enumerate(() if form.again else videos):
        if kept := kept_features(place.out, video.sha256, space):
            answer = features_in_words(kept[1])
            known[number] = BatchRow(source=video.source, status=CACHED, place=number, answer=answer)
    return known


def _here(form: AnyForm, videos: Sequence[FetchedVideo], settings: Settings) -> Sequence[VideoOutcome]:
    """Extract in this run what is not kept; return an outcome for each video."""
    known, size = _known(form, videos, settings), settings.flow.videos_per_batch
    left = [video for number, video in enumerate(videos) if number not in known]
    batches = (left[first : first + size] for first in range(0, len(left), size))
    fresh = iter(_extracted(form, batches, len(left), settings))
    return [known[number] if number in known else next(fresh) for number in range(len(videos))]


def _extracted(
    form: AnyForm, batches: Iterable[Sequence[FetchedVideo | VideoOutcome]], count: int, settings: Settings
) -> Sequence[VideoOutcome]:
    """Extract the features of batches of videos in this run; return an outcome for each of the `count` videos."""
    progress = current_progress()
    progress.begin(COUNTED, count, "videos")
    _, outcomes = process_fetched(
        batches,
        ExtractWork(features=form.features),
        import_place(settings, form),
        again=form.again,
        after_each=lambda done: progress.advance(COUNTED, done),
    )
    return outcomes


def _on_pool(form: AnyForm, videos: Sequence[FetchedVideo], settings: Settings) -> Sequence[VideoOutcome]:
    """Extract on the workers of the pool what is not kept; return a row for each video.

    Raises:
        BatchError: no deployment works on batches, or nothing could be done at all.
    """
    known = _known(form, videos, settings)
    left = [BatchVideo(place=n, source=str(video.path)) for n, video in enumerate(videos) if n not in known]
    return _worked_on(form, left, list(known.values()), settings)


def _worked_on(
    form: AnyForm, left: Sequence[BatchVideo], known: Sequence[BatchRow], settings: Settings
) -> Sequence[BatchRow]:
    """Have the workers of the pool see to what is left; return a row for each video, those that are known among them.

    Raises:
        BatchError: no deployment works on batches, or nothing could be done at all.
    """
    place = import_place(settings, form)
    wanted = ExtractDatasetForm(features=form.features, again=form.again, keep_videos=place.keeps_videos)
    cost = known_cost(settings.paths.batches, f"features={form.features}")
    expected = [expected_s(lasting_s(video.source, place), cost) for video in left]
    asked = wanted.model_dump(mode="json")
    rows, _ = worked_on_pool(
        settings.paths.batches / str(flow_run.id),
        DEPLOYMENT,
        known,
        lambda workers: requests_of(left, expected, asked, workers=workers, batch_s=settings.pool.batch_s),
        total=len(left) + len(known),
        config=settings.pool,
        key="imported-videos",
    )
    keep_cost(settings.paths.batches, f"features={form.features}", (row for row in rows if row.batch))
    return rows


def _is_for_pool(form: AnyForm) -> bool:
    """Say whether workers are to extract: in a run of a deployment they are, unless the form says otherwise."""
    return form.where == "pool" or (form.where == "auto" and deployment.id is not None)
