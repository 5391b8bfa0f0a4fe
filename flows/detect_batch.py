"""Flow: one batch of videos, on a worker of the pool `gpu`.

The tasks, in order:

    a batch's file ─► detector ─► each video: fetch (the next while one is looked at) ─► detect ─► a row in its ledger
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import flow, flow_run
from conf.forms import BatchForm, DetectObjectsForm
from flows.video_requests import check_out, detect_work, workplace_of
from tasks.fan_out.ledger import open_request
from tasks.process_videos import work_in_batch
from tasks.runs import ended


@flow(name="detect-batch")
def detect_batch(form: BatchForm) -> Any:  # noqa: ANN401 - a state; who calls it gets how many videos that were
    """Look at the videos of a batch that nobody has looked at yet."""
    settings = running_settings()
    request, _ = open_request(form.batch)
    wanted = DetectObjectsForm.model_validate({**request.form, "sources": [video.source for video in request.videos]})
    check_out(wanted)
    done = work_in_batch(
        form.batch,
        detect_work(wanted, settings),
        workplace_of(wanted, settings),
        run=str(flow_run.id),
        again=wanted.again,
    )
    return ended(done, f"{done:,} of {len(request.videos):,} videos looked at by this run")
