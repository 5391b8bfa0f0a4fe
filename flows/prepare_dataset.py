"""Flow: from the names of labels to a published dataset version.

    plans ─► batches ─► download shards ─► filter records ─► publish dataset
                        (only what no part holds yet, here or in the storage)

A second run with the same form finds every task cached.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from conf.environment import running_settings
from conf.flow import ThreadPoolTaskRunner, flow, get_run_logger
from conf.forms import PrepareDatasetForm
from conf.settings import Settings
from flows.dataset_requests import planned_request, refuse_gaps, refuse_large_download, runner_of
from tasks.contracts.datasets import PlannedShard
from tasks.contracts.text import in_list
from tasks.dask_runner import tasks_on, tell_of
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.caveats import absence
from tasks.datasets.publish import is_current
from tasks.datasets.request import DatasetRequest
from tasks.datasets.stored import is_stored
from tasks.filter_records import are_on_disk, download_shards, filter_records
from tasks.publish_dataset import in_headline, publish_dataset
from tasks.records.stored import plan_batch
from tasks.runs import ended, gather, result_of, retrying, show_dataset
from tasks.shards.plan import split_of

# One batch downloads while another is filtered and a third waits for either.
BATCHES_IN_FLIGHT = 3


# Prefect's own runner does not fit Prefect's own annotation: `TaskRunner` is invariant in its future.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=BATCHES_IN_FLIGHT)


@flow(name="prepare-dataset", called=lambda form: f"prepare {in_list('labels', form.labels)}", task_runner=RUNNER)
def prepare_dataset(form: PrepareDatasetForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Download, filter and publish what the form asks for; only what is missing is done."""
    settings = running_settings()
    root, store = settings.paths.datasets, settings.paths.parts
    request, storage = planned_request(form, settings), settings.storage
    refuse_large_download(request, form, settings)
    with tasks_on(*runner_of(form, settings)):
        parts, absent = _parts(request, form, settings)
    # What no mirror gives is in no version: the id says what there is, and is another once the mirror has it.
    request = request.without({(each["partition"], each["name"]) for each in absent})
    is_there = is_current(root, request.slug, request.id) and (
        storage is None or is_stored(request.slug, request.id, storage)
    )
    publish = publish_dataset.with_options(refresh_cache=not is_there)
    version = result_of(publish, request, parts, root=root, store=store, storage=storage)
    show_dataset(open_dataset(root, f"{version['slug']}/{version['id']}"), absent)
    for warning in (*version["warnings"], *map(absence, absent)):
        get_run_logger().warning("%s", warning)
    return ended(version | {"absent": absent}, f"{version['slug']}/{version['id']}: {in_headline(version)}")


Found = list[dict[str, Any]]
Batch = tuple[PlannedShard, ...]


def numbered(batches: Iterable[Batch]) -> Iterator[tuple[str, Batch]]:
    """Yield each batch with what it is called: `train 0-63`, its split and the places of its shards in that."""
    counted: Counter[str] = Counter()
    for batch in batches:
        split = split_of(batch[0].partition)
        first = counted[split]
        counted[split] += len(batch)
        yield (f"{split} {first}-{counted[split] - 1}" if len(batch) > 1 else f"{split} {first}"), batch


def _parts(request: DatasetRequest, form: PrepareDatasetForm, settings: Settings) -> tuple[Found, Found]:
    """Map the batches over download and filter; a batch that a whole part holds already needs neither.

    Returns:
        The parts, and the shards that no mirror gives, each with the reason.

    Raises:
        DownloadError: some could not be fetched for now, or no mirror gives any of them, or refuses most.
    """
    store, folder, download = settings.paths.parts, settings.paths.shards, settings.download_from(form.mirror)
    patient = retrying(settings.flow.retries, settings.flow.retry_delay_s)
    downloads, parts, asked = [], [], []
    for what, batch in numbered(request.batches):
        is_kept, missing = plan_batch(store, batch, request.filter, settings.storage)
        is_here = are_on_disk(missing, folder, download)
        if missing:
            fetch = download_shards.with_options(task_run_name=f"download {what}", refresh_cache=not is_here, **patient)
            downloads.append(fetch.submit(missing, folder, download, strict=request.filter.strict))
            asked += [] if is_here else downloads[-1:]
        sift = filter_records.with_options(task_run_name=f"filter {what}", refresh_cache=not is_kept, **patient)
        parts.append(
            sift.submit(
                batch,
                None if is_here else downloads[-1],  # what an earlier download did not find may be here by now
                folder=folder,
                store=store,
                config=request.filter,
                download=download,
                discard_shards=form.discard_shards,
                storage=settings.storage,
            )
        )
    if runner_of(form, settings)[0] != "local":
        tell_of(parts)
    made = [part for part in gather(downloads, parts) if part]
    absent = [each for future in asked for each in future.result()["absent"]]
    refuse_gaps(request, absent)
    return made, absent
