"""What a form means for the stages.

In: a flow's form and the settings. Out: a request, worked out before anything large is fetched. Does not run it.
"""

from conf.forms import PrepareDatasetForm
from conf.settings import Settings
from tasks.datasets.request import DatasetRequest, plan_request


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
