"""Forms of datasets and models turned into what the stages take."""

import os

from conf.forms import LARGE_DOWNLOAD_SHARDS, PrepareDatasetForm
from conf.settings import Settings, load_weights_table
from conf.stack_state import MLFLOW_SERVER, credentials_in_force, running_part
from tasks.contracts.errors import ConfigError
from tasks.contracts.progress import scaled
from tasks.datasets.request import DatasetRequest, plan_request
from tasks.records.stored import plan_batch
from tasks.shards.download import estimate_download
from tasks.shards.mirror import is_public, shown
from tasks.shards.plan import shard_path
from tasks.tracking.server import PASSWORD, USERNAME
from tasks.tracking.store import TrackingStore, tracking_store
from tasks.weights.store import WeightsStore


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
    chosen = {"match": form.match, "strict": form.strict or settings.filter.strict}
    if form.background is not None:
        chosen["background"] = form.background
    return plan_request(
        form.labels,
        exclude=form.exclude,
        partitions=form.partitions,
        part=form.part,
        limit=form.limit,
        filter_options={**settings.filter.model_dump(), **chosen},
        vocabulary_folder=settings.paths.vocabulary,
        download=settings.download_from(form.mirror),
    )


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
    """Return where weights lie, and what is known of each file."""
    given = settings.weights.expanduser().absolute() if settings.weights else None
    table = {**load_weights_table(), **settings.weight_files}
    return WeightsStore(folder=settings.paths.weights, given=given, table=table)
