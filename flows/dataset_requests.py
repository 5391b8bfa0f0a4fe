"""Forms of datasets and models turned into what the stages take, and a version built here, without any server."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from conf.forms import LARGE_DOWNLOAD_SHARDS, PrepareDatasetForm, TrainOptions
from conf.settings import Settings
from conf.stack_state import MLFLOW_SERVER, credentials_in_force, running_part
from tasks.classifier.config import TrainConfig
from tasks.contracts.datasets import Part, PlannedShard
from tasks.contracts.errors import ConfigError, DownloadError
from tasks.contracts.overlap import ahead
from tasks.contracts.progress import Progress, scaled
from tasks.datasets.manifest import Dataset
from tasks.datasets.request import DatasetRequest, plan_request
from tasks.datasets.stored import publish_request
from tasks.records.stored import have_part, plan_batch
from tasks.shards.download import FailedShard, estimate_download, fetch_shards
from tasks.shards.mirror import is_public, shown
from tasks.shards.plan import shard_path
from tasks.tracking.kept_training import CandidateNote, train_candidate, training_key
from tasks.tracking.registry import list_models
from tasks.tracking.server import PASSWORD, USERNAME
from tasks.tracking.store import TrackingStore, tracking_store
from tasks.weights.store import WeightsStore

if TYPE_CHECKING:
    from tasks.tracking.candidate import Candidate


def runner_of(form: PrepareDatasetForm, settings: Settings) -> tuple[str, str | None, int]:
    """Return what runs the tasks, the Dask scheduler's address where one is named, and the processes of a new one."""
    runner = form.runner or settings.flow.runner
    configured = settings.flow.dask_address if runner == "dask" else None
    return runner, form.dask_address or configured, settings.flow.dask_processes


def request_of(form: PrepareDatasetForm, settings: Settings) -> DatasetRequest:
    """Work out what a version will be made of, which costs a few small files from the mirror.

    Raises:
        ReelsiftError: a label, a mirror, a partition or an option is not what it should be.
    """
    chosen = {"match": form.match, "strict": form.strict or settings.filter.strict, "level": form.level}
    if form.background is not None:
        chosen["background"] = form.background
    return plan_request(
        form.labels,
        exclude=form.exclude,
        partitions=form.chosen_partitions,
        part=form.part,
        limit=form.limit,
        filter_options={**settings.filter.model_dump(), **chosen},
        vocabulary_folder=settings.paths.vocabulary,
        download=settings.download_from(form.mirror),
    )


_handed_on: dict[tuple[object, ...], DatasetRequest] = {}


@contextmanager
def handing_on(request: DatasetRequest, form: PrepareDatasetForm, settings: Settings) -> Iterator[None]:
    """Let a flow that is run for the form within the block take what was planned, rather than plan it again."""
    asked = _asked(form, settings)
    _handed_on[asked] = request
    try:
        yield
    finally:
        del _handed_on[asked]


def planned_request(form: PrepareDatasetForm, settings: Settings) -> DatasetRequest:
    """Return the request that is handed on for this form, or plan it.

    Raises:
        ReelsiftError: as `request_of`.
    """
    return _handed_on.get(_asked(form, settings)) or request_of(form, settings)


def _asked(form: PrepareDatasetForm, settings: Settings) -> tuple[object, ...]:
    """Return all that a plan depends on."""
    what = (form.labels, form.match, form.exclude, form.chosen_partitions, form.limit, form.shards, form.background)
    return (*what, form.level, form.strict, settings.filter, settings.download_from(form.mirror), settings.paths)


def refuse_large_download(request: DatasetRequest, form: PrepareDatasetForm, settings: Settings) -> None:
    """Refuse to fetch more shards from a public mirror than a form may that does not say so.

    Raises:
        ConfigError: there are more; the message says how many, and how large they are.
    """
    download, folder = settings.download_from(form.mirror), settings.paths.shards
    if form.large_download or len(request.shards) <= LARGE_DOWNLOAD_SHARDS or not is_public(download):
        return
    missing = [
        shard
        for batch in request.batches
        for shard in plan_batch(settings.paths.parts, batch, request.filter, settings.storage)[1]
        if not shard_path(folder, shard, download).is_file()
    ]
    if len(missing) <= LARGE_DOWNLOAD_SHARDS:
        return
    size_bytes = estimate_download(missing, download).bytes
    size = "of unknown size" if size_bytes is None else f"about {scaled(size_bytes, 'B')}"
    raise ConfigError(
        f"{len(missing):,} shards, {size}, would be fetched from {', '.join(map(shown, download.mirrors))}, and a form "
        f"fetches at most {LARGE_DOWNLOAD_SHARDS} from a public mirror unless `large_download` is switched on. Switch "
        "it on, take fewer with `limit` or `shards`, or name a folder or a mirror of your own."
    )


def build_here(
    request: DatasetRequest, form: PrepareDatasetForm, settings: Settings, progress: Progress
) -> tuple[Dataset, list[dict[str, Any]]]:
    """Download and filter what no part holds yet, and publish the version; the next batch downloads meanwhile.

    Returns:
        The version, and the shards that no mirror gives, each with the reason.

    Raises:
        DownloadError: some shards could not be fetched for now, or no mirror gives any of them, or refuses most.
        ReelsiftError: a stage failed.
    """
    store, download = settings.paths.parts, settings.download_from(form.mirror)
    parts: list[Part] = []
    absent: list[dict[str, Any]] = []
    with closing(ahead(_downloaded(request, form, settings, progress), buffer=1)) as batches:
        for shards, failed in batches:
            absent += [each.model_dump(exclude={"is_lasting"}) for each in failed]
            missing = {(each.partition, each.name) for each in failed}
            present = tuple(shard for shard in shards if (shard.partition, shard.name) not in missing)
            if present:
                part = have_part(
                    present,
                    shard_folder=settings.paths.shards,
                    store=store,
                    config=request.filter,
                    download=download,
                    progress=progress,
                    discard_shards=form.discard_shards,
                    storage=settings.storage,
                )
                parts.append(part)
    refuse_gaps(request, absent)
    request = request.without({(each["partition"], each["name"]) for each in absent})
    root, storage = settings.paths.datasets, settings.storage
    dataset, _ = publish_request(request, parts, root=root, store=store, storage=storage, progress=progress)
    return dataset, absent


def refuse_gaps(request: DatasetRequest, absent: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a version of too few of its shards: a mirror that refuses most of them refuses this client.

    Raises:
        DownloadError: no mirror gives any of the shards, or most are there and not given.
    """
    withheld = [each for each in absent if not each.get("is_absent")]
    if len(absent) == len(request.shards):
        raise DownloadError(f"No mirror has any of the {len(request.shards):,} shards. {absent[0]['reason']}")
    if len(withheld) > len(request.shards) / 2:
        raise DownloadError(
            f"{len(withheld):,} of {len(request.shards):,} shards are given by no mirror, too many to go on without "
            f"them. {withheld[0]['reason']}"
        )


def _downloaded(
    request: DatasetRequest, form: PrepareDatasetForm, settings: Settings, progress: Progress
) -> Iterator[tuple[tuple[PlannedShard, ...], Sequence[FailedShard]]]:
    """Yield each batch once its missing shards are on the disk, and those of them that no mirror gives."""
    folder, download = settings.paths.shards, settings.download_from(form.mirror)
    for batch in request.batches:
        _, missing = plan_batch(settings.paths.parts, batch, request.filter, settings.storage)
        report = fetch_shards(missing, folder, download, progress, strict=request.filter.strict) if missing else None
        yield batch, report.failed if report else ()


def train_here(dataset: Dataset, options: TrainOptions, settings: Settings, progress: Progress) -> list["Candidate"]:
    """Train and register a candidate for each preset; one that was trained before is found, if MLflow still has it.

    Raises:
        ConfigError: there is no such preset.
        TrainingError, TrackingError: as `train_candidate`.
    """
    is_all, store = dataset.manifest.is_whole_vocabulary, store_of(settings)
    configs = settings.candidates(options.models, options.seed, whole_vocabulary=is_all)
    return [_trained(dataset, config, store, progress, again=options.again) for config in configs.values()]


def _trained(
    dataset: Dataset, config: TrainConfig, store: TrackingStore, progress: Progress, *, again: bool
) -> "Candidate":
    note = CandidateNote.of(store, training_key(dataset.manifest.reference, config, store))
    run_ids = {row.run_id for row in list_models(store)}  # that MLflow cannot be used is said before any training
    known = None if again else note.read()
    if known and known.run_id in run_ids:
        return known
    candidate = train_candidate(dataset, config, store, progress=progress)
    note.write(candidate, store)
    return candidate


def store_of(settings: Settings) -> TrackingStore:
    """Return the store that is set, or the database in the home, which a local stack may be serving.

    Where that is the MLflow server of this home's stack, its password is put where MLflow's clients look for one.
    """
    uri, ui_url = settings.tracking.uri, settings.tracking.ui_url
    server = running_part(settings.paths, MLFLOW_SERVER)
    if server and uri in {None, server.address, server.client_url}:
        ui_url = ui_url or server.address
        if credentials := credentials_in_force(settings.paths):
            os.environ.setdefault(USERNAME, credentials.user)
            os.environ.setdefault(PASSWORD, credentials.password)
    return tracking_store(settings.paths.root, uri, ui_url, settings.tracking.artifacts)


def weights_of(settings: Settings) -> WeightsStore:
    """Return where weights lie, what is known of each file, and which feature spaces and detectors are made of them."""
    given = settings.weights.expanduser().absolute() if settings.weights else None
    return WeightsStore(
        folder=settings.paths.weights,
        given=given,
        table=settings.weights_table,
        backbones=settings.feature_spaces,
        detectors=settings.detectors,
    )
