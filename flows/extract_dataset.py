"""Flow: from a version of YouTube-8M to one of the same videos and labels, by features of another space.

    version ─► ids ─► YouTube ids ─► fetch a few ─► features ─► delete these, go on ─► publish

A video whose features are kept is not fetched again; one that is withdrawn is counted.
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import flow
from conf.forms import ExtractDatasetForm
from flows.import_dataset import imported
from flows.import_requests import check_fetches, version_table
from tasks.process_videos import RUNNER


@flow(name="extract-dataset", called=lambda form: f"extract {form.dataset} in {form.features}", task_runner=RUNNER)
def extract_dataset(form: ExtractDatasetForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Fetch the videos of a version, extract their features and publish the version; only what is missing is done."""
    settings = running_settings()
    table = version_table(form, settings)
    check_fetches(table, form, settings)
    return imported(form, table, settings)
