"""The form of an import turned into what the stages take, and a version imported here, without any server."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.forms import ImportDatasetForm
from conf.settings import Settings
from flows.dataset_requests import weights_of
from tasks.contracts.errors import ConfigError
from tasks.contracts.features import YT8M, FeatureSpace
from tasks.contracts.media import CACHED, DONE, FAILED, FetchedVideo, VideoOutcome
from tasks.contracts.progress import Progress
from tasks.datasets.caveats import summary_of
from tasks.datasets.manifest import Dataset
from tasks.features.spaces import full_name, open_extractor
from tasks.imports.parts import publish_import
from tasks.imports.plan import ImportPlan, name_of, plan_import
from tasks.imports.request import Found, ImportRequest, planned, requested, wanted_videos
from tasks.imports.table import ClipTable, read_clips
from tasks.per_video.extraction import kept_features
from tasks.per_video.fetching import Workplace, fetch_each
from tasks.video.fetch import find_video

COUNTED = "features of videos"  # as a bar is called


def checked_table(form: ImportDatasetForm) -> ClipTable:
    """Read what is labelled, and refuse what is wrong whatever the videos hold.

    Raises:
        DatasetError: the table, the labels, the splits or the groups are not what they may be.
    """
    table = read_clips(form.source)
    plan_import(table)
    return table


def check_source(source: Path) -> None:
    """Refuse a relative path in a run of a worker, whose own folder is temporary.

    Raises:
        ConfigError: it is relative.
    """
    if not source.expanduser().is_absolute():
        raise ConfigError(
            f"source: {str(source)!r} is relative to the folder of a worker, which is deleted after the run. Give the "
            "whole path, from / on."
        )


def import_place(settings: Settings) -> Workplace:
    """Return where videos are fetched to, and where their features are kept."""
    return Workplace(
        fetched=settings.paths.fetched,
        out=settings.paths.features,
        fetch=settings.fetch,
        download=settings.download_from(),
        bounds=settings.media,
        weights=weights_of(settings),
        storage=settings.storage,
    )


def space_of(form: ImportDatasetForm, settings: Settings) -> FeatureSpace:
    """Return the feature space of a form.

    Raises:
        ConfigError: there is none of that name.
        MissingWeightsError, WeightsError: a file of weights cannot be used.
    """
    store = weights_of(settings)
    if full_name(form.features, store) == YT8M.name:  # its networks take long to open
        return YT8M
    return open_extractor(form.features, store).space


def known_import(table: ClipTable, form: ImportDatasetForm, settings: Settings) -> ImportRequest | None:
    """Return what the version is made of where every video and all features are here already; nothing is made.

    Raises:
        DatasetError: the videos make no version.
    """
    space, place, found = space_of(form, settings), import_place(settings), dict[str, FetchedVideo | VideoOutcome]()
    if form.again:
        return None
    for source in table.sources:
        video = find_video(source, place.fetched, place.fetch)
        if video is None:
            return None
        found[source] = video
    plan = planned(table, found)
    if any(kept_features(place.out, each.sha256, space) is None for each in wanted_videos(plan, found)):
        return None
    return requested(_name(form, table), plan, space, place.out, {})


def request_of_import(
    form: ImportDatasetForm,
    plan: ImportPlan,
    videos: Sequence[FetchedVideo],
    outcomes: Sequence[VideoOutcome],
    settings: Settings,
) -> ImportRequest:
    """Return what the version is made of, given what became of the features of each video.

    Raises:
        DatasetError: what is left makes no version.
    """
    failures = {
        video.sha256: str(outcome.reason)
        for video, outcome in zip(videos, outcomes, strict=True)
        if outcome.status == FAILED
    }
    return requested(_name(form, plan.table), plan, space_of(form, settings), settings.paths.features, failures)


def summary_of_import(
    dataset: Dataset, request: ImportRequest, outcomes: Sequence[VideoOutcome] | None = None
) -> dict[str, Any]:
    """Return what a flow, and the command, hand on of an imported version; without outcomes all features were kept."""
    counts = Counter(outcome.status for outcome in outcomes or ())
    return summary_of(dataset.manifest) | {
        "features": request.space.name,
        "extracted": counts[DONE],
        "cached": counts[CACHED] if outcomes is not None else len({each.content for each in request.plan.used}),
        "dropped": request.plan.dropped,
        "notes": [*request.plan.table.notes, *request.plan.notes],
    }


def import_here(form: ImportDatasetForm, settings: Settings, progress: Progress) -> tuple[Dataset, dict[str, Any]]:
    """Extract what is not kept yet, and publish the version; return it and its summary.

    Raises:
        DatasetError: the table or its videos make no version.
        ReelsiftError: the feature space, the storage or the disk cannot be used.
    """
    # Imported here: these take seconds, which an answer from what is kept need not wait for.
    from tasks.per_video.jobs import do_each  # noqa: PLC0415
    from tasks.per_video.work import ExtractWork, open_job  # noqa: PLC0415

    table, place = checked_table(form), import_place(settings)
    job = open_job(ExtractWork(features=form.features), place, progress)
    found: Found = dict(zip(table.sources, fetch_each(table.sources, place, progress), strict=True))
    plan = planned(table, found)
    videos, outcomes = wanted_videos(plan, found), list[VideoOutcome]()
    progress.begin(COUNTED, len(videos), "videos")
    for outcome in do_each(job, videos, again=form.again):
        outcomes.append(outcome)
        progress.advance(COUNTED, 1)
    request = request_of_import(form, plan, videos, outcomes, settings)
    dataset, _ = publish_import(
        request,
        root=settings.paths.datasets,
        store=settings.paths.parts,
        features=place.out,
        storage=settings.storage,
    )
    return dataset, summary_of_import(dataset, request, outcomes)


def _name(form: ImportDatasetForm, table: ClipTable) -> str:
    return form.name or name_of(table.path)
