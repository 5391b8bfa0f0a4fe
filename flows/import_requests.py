"""The form of an import, of one's own videos or a version's, turned into what the stages take; and an import here."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from conf.forms import LARGE_FETCH_VIDEOS, ExtractDatasetForm, FeaturesForm, ImportDatasetForm
from conf.settings import Settings
from flows.dataset_requests import weights_of
from tasks.contracts.datasets import DropReason
from tasks.contracts.errors import ConfigError
from tasks.contracts.features import YT8M, FeatureSpace
from tasks.contracts.media import CACHED, DONE, FAILED, FetchedVideo, VideoOutcome
from tasks.contracts.progress import Progress
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.caveats import summary_of
from tasks.datasets.manifest import Dataset
from tasks.datasets.stored import open_anywhere
from tasks.features.spaces import full_name, open_extractor
from tasks.imports.parts import publish_import
from tasks.imports.plan import ImportPlan, name_of, plan_import
from tasks.imports.request import Found, ImportRequest, planned, requested, wanted_videos
from tasks.imports.table import ClipTable, read_clips
from tasks.imports.versions import clips_of_version
from tasks.per_video.extraction import features_in_words, kept_features
from tasks.per_video.fetching import Workplace, discard, fetch_each, known_video
from tasks.per_video.jobs import failed
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


def version_table(form: ExtractDatasetForm, settings: Settings) -> ClipTable:
    """Read which videos of a version are wanted, and refuse what makes no new version whatever the videos hold.

    Raises:
        DatasetError: there is no such version, it is not of YouTube-8M, or its videos make no version.
    """
    root = settings.paths.datasets
    if settings.storage:
        dataset = open_anywhere(root, form.dataset, settings.storage)
    else:
        dataset = open_dataset(root, form.dataset)
    table = clips_of_version(dataset, partitions=form.partitions, limit=form.limit)
    plan_import(table)
    return table


def videos_to_fetch(table: ClipTable, form: ExtractDatasetForm, settings: Settings) -> int:
    """Return how many videos of a version would be asked for.

    Raises:
        ConfigError, WeightsError: as `space_of`.
    """
    return len(table.sources) - len(_known_videos(table, form, settings))


def check_fetches(table: ClipTable, form: ExtractDatasetForm, settings: Settings) -> None:
    """Refuse to ask for more videos than a form may that does not say so.

    Raises:
        ConfigError: there are more.
    """
    if form.large_download or form.limit:
        return
    wanted = videos_to_fetch(table, form, settings)
    if wanted > LARGE_FETCH_VIDEOS:
        raise ConfigError(
            f"{fetches_in_words(wanted, settings)}, and a form fetches at most {LARGE_FETCH_VIDEOS:,} unless "
            "`large_download` is switched on. Switch it on, or take fewer with `limit`."
        )


def fetches_in_words(wanted: int, settings: Settings) -> str:
    """Say how many videos would be asked for, and how long that takes at least."""
    pause_s = settings.fetch.pause_s
    least = f"one every {pause_s:g} s, which takes {wanted * pause_s / 3600:,.1f} hours at least"
    return f"{wanted:,} videos would be fetched from YouTube, {least}"


Known = dict[str, tuple[FetchedVideo | VideoOutcome, VideoOutcome]]  # a source's file or why not, and its features


def _known_videos(table: ClipTable, form: ExtractDatasetForm, settings: Settings) -> Known:
    """Return the videos of a version of which nothing has to be fetched: their features are kept, or they are gone.

    The file of one whose run was killed before it could delete it goes now.
    """
    place, space, known = import_place(settings, form), space_of(form, settings), Known()
    for source in () if form.again else table.sources:
        found = known_video(source, place)
        if isinstance(found, VideoOutcome):
            known[source] = found, found
        elif found and (kept := kept_features(place.out, found.sha256, space)):
            if found.path.exists():
                discard(source, place)
            answer = features_in_words(kept[1])
            known[source] = found, VideoOutcome(source=found.source, status=CACHED, answer=answer)
    return known


def videos_of_version(
    table: ClipTable,
    form: ExtractDatasetForm,
    settings: Settings,
    work: Callable[[Sequence[str]], Iterable[VideoOutcome]],
) -> tuple[Found, list[VideoOutcome]]:
    """Have the features of the videos of a version: return each one's file, perhaps deleted since, and its outcome.

    `work` fetches sources, extracts their features and deletes what it has fetched; it yields an outcome for each.
    """
    place, pairs = import_place(settings, form), _known_videos(table, form, settings)
    left = [source for source in table.sources if source not in pairs]
    for source, outcome in zip(left, work(left), strict=True):
        known = None if outcome.cause else known_video(source, place)
        lost = failed(source, outcome.reason or "Its record is gone.", outcome.cause or DropReason.NOT_FETCHED)
        pairs[source] = known if isinstance(known, FetchedVideo) else lost, outcome
    return (
        {source: pairs[source][0] for source in table.sources},
        [pairs[source][1] for source in table.sources],
    )


def outcomes_by_content(found: Found, outcomes: Iterable[VideoOutcome]) -> dict[str, VideoOutcome]:
    """Return the features of each file, or why there are none, given the outcome of each source."""
    pairs = zip(found.values(), outcomes, strict=True)
    return {video.sha256: outcome for video, outcome in pairs if isinstance(video, FetchedVideo)}


def import_place(settings: Settings, form: FeaturesForm | None = None) -> Workplace:
    """Return where videos are fetched to, and where their features are kept."""
    return Workplace(
        fetched=settings.paths.fetched,
        out=settings.paths.features,
        fetch=settings.fetch,
        download=settings.download_from(),
        bounds=settings.media,
        weights=weights_of(settings),
        storage=settings.storage,
        keeps_videos=not isinstance(form, ExtractDatasetForm) or form.keep_videos,
    )


def space_of(form: FeaturesForm, settings: Settings) -> FeatureSpace:
    """Return the feature space of a form.

    Raises:
        ConfigError: there is none of that name.
        MissingWeightsError, WeightsError: a file of weights cannot be used.
    """
    store = weights_of(settings)
    if full_name(form.features, store) == YT8M.name:  # its networks take long to open
        return YT8M
    return open_extractor(form.features, store).space


def known_import(
    table: ClipTable, form: ImportDatasetForm | ExtractDatasetForm, settings: Settings
) -> ImportRequest | None:
    """Return what the version is made of where every video and all features are here already; nothing is made.

    Raises:
        DatasetError: the videos make no version.
    """
    space, place, found = space_of(form, settings), import_place(settings, form), dict[str, Any]()
    if form.again:
        return None
    if isinstance(form, ExtractDatasetForm):
        known = _known_videos(table, form, settings)
        found = {source: known[source][0] for source in table.sources if source in known}
    else:
        for source in table.sources:
            if (video := find_video(source, place.fetched, place.fetch)) is None:
                return None
            found[source] = video
    if len(found) < len(table.sources):
        return None
    plan = planned(table, found)
    if any(kept_features(place.out, each.sha256, space) is None for each in wanted_videos(plan, found)):
        return None
    return requested(_name(form, table), plan, space, place.out, {})


def request_of_import(
    form: ImportDatasetForm | ExtractDatasetForm,
    plan: ImportPlan,
    outcomes: Mapping[str, VideoOutcome],
    settings: Settings,
) -> ImportRequest:
    """Return what the version is made of, given the features of each content, or why there are none.

    Raises:
        DatasetError: what is left makes no version.
    """
    failures = {content: str(each.reason) for content, each in outcomes.items() if each.status == FAILED}
    return requested(_name(form, plan.table), plan, space_of(form, settings), settings.paths.features, failures)


def summary_of_import(
    dataset: Dataset, request: ImportRequest, outcomes: Sequence[VideoOutcome] | None = None
) -> dict[str, Any]:
    """Return what a flow, and the command, hand on of an imported version; without outcomes all features were kept."""
    counts = Counter(outcome.status for outcome in outcomes or ())
    origin = request.plan.table.origin
    return (
        summary_of(dataset.manifest)
        | {
            "features": request.space.name,
            "extracted": counts[DONE],
            "cached": counts[CACHED] if outcomes is not None else len({each.content for each in request.plan.used}),
            "dropped": request.plan.dropped,
            "notes": [*request.plan.table.notes, *request.plan.notes],
        }
        | ({"extracted_from": origin.reference} if origin else {})
    )


def import_here(
    form: ImportDatasetForm | ExtractDatasetForm, settings: Settings, progress: Progress
) -> tuple[Dataset, dict[str, Any]]:
    """Extract what is not kept yet, and publish the version; return it and its summary.

    Raises:
        DatasetError: the table or its videos make no version.
        ReelsiftError: the feature space, the storage or the disk cannot be used.
    """
    # Imported here: these take seconds, which an answer from what is kept need not wait for.
    from tasks.per_video.jobs import do_each  # noqa: PLC0415
    from tasks.per_video.work import ExtractWork, open_job  # noqa: PLC0415

    place = import_place(settings, form)
    job = open_job(ExtractWork(features=form.features), place, progress)

    def extracted(videos: Iterable[FetchedVideo | VideoOutcome], count: int) -> Iterator[VideoOutcome]:
        progress.begin(COUNTED, count, "videos")
        for outcome in do_each(job, videos, again=form.again):
            yield outcome
            progress.advance(COUNTED, 1)

    def passing(sources: Sequence[str]) -> Iterator[VideoOutcome]:
        outcomes = extracted(fetch_each(sources, place, progress), len(sources))
        for source, outcome in zip(sources, outcomes, strict=True):
            if outcome.status != FAILED:
                discard(source, place)
            yield outcome

    if isinstance(form, ExtractDatasetForm):
        table = version_table(form, settings)
        found, outcomes = videos_of_version(table, form, settings, passing)
        plan, by_content = planned(table, found), outcomes_by_content(found, outcomes)
    else:
        table = checked_table(form)
        found = dict(zip(table.sources, fetch_each(table.sources, place, progress), strict=True))
        plan = planned(table, found)
        videos = wanted_videos(plan, found)
        outcomes = list(extracted(videos, len(videos)))
        by_content = {video.sha256: outcome for video, outcome in zip(videos, outcomes, strict=True)}
    request = request_of_import(form, plan, by_content, settings)
    dataset, _ = publish_import(
        request,
        root=settings.paths.datasets,
        store=settings.paths.parts,
        features=place.out,
        storage=settings.storage,
    )
    return dataset, summary_of_import(dataset, request, outcomes)


def _name(form: ImportDatasetForm | ExtractDatasetForm, table: ClipTable) -> str:
    if form.name or table.origin is None:
        return form.name or name_of(table.path)
    return f"{table.origin.reference.partition('/')[0]} {form.features}"
