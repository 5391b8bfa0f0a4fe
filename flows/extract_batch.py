"""Flow: one batch of videos of an import, on a worker of the pool `gpu`.

The tasks, in order:

    a batch's file ─► extractor ─► each video: fetch (the next meanwhile) ─► features ─► a row in its ledger
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import flow, flow_run
from conf.forms import BatchForm, ExtractDatasetForm
from flows.import_requests import import_place
from tasks.fan_out.ledger import open_request
from tasks.per_video.work import ExtractWork
from tasks.process_videos import work_in_batch
from tasks.runs import ended


@flow(name="extract-batch")
def extract_batch(form: BatchForm) -> Any:  # noqa: ANN401 - a state; who calls it gets how many videos that were
    """Compute the features of the videos of a batch that nobody has looked at yet."""
    settings = running_settings()
    request, _ = open_request(form.batch)
    wanted = ExtractDatasetForm.model_validate(request.form)
    work = ExtractWork(features=wanted.features)
    done = work_in_batch(form.batch, work, import_place(settings, wanted), run=str(flow_run.id), again=wanted.again)
    return ended(done, f"{done:,} of {len(request.videos):,} videos looked at by this run")
