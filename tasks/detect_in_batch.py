"""Task: a worker of a pool looks at the videos of one batch.

In: the file that says what is wanted, a detector and options. Out: rows in the batch's account, one as each video is
done, and a pulse all the while. What another run of the batch has done already is not done again. One task for all of
them: a task for each video would cost more than many a video.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.contracts.batches import DEVICES_VARIABLE, WORKER_VARIABLE, BatchRow, BatchVideo
from tasks.contracts.media import FetchedVideo
from tasks.contracts.outcomes import VideoOutcome
from tasks.detection.config import DetectOptions
from tasks.detection.detector import open_detector
from tasks.fan_out.detectors import keep_detector
from tasks.fan_out.ledger import open_request
from tasks.per_video.each import do_each
from tasks.per_video.fetching import fetch_each
from tasks.per_video.objects import objects_job
from tasks.per_video.workplace import Workplace
from tasks.progress_log import current_progress
from tasks.video.overlap import ahead
from tasks.video_storage import through_storage

FETCHED_AHEAD = 2  # videos: the detector does not wait for the line, and the disk is bounded


@task(name="detect-in-batch", persist_result=False, cache_policy=NO_CACHE)
def detect_in_batch(
    batch: Path,
    detector: str,
    speed: str,
    options: DetectOptions,
    workplace: Workplace,
    *,
    run: str,
    again: bool = False,
) -> int:
    """Look at what nobody has looked at yet, and return how many videos that were.

    Raises:
        BatchError: the batch cannot be read.
        DetectorError: the detector cannot be had.
        MissingWeightsError: its weights are not on this machine.
    """
    request, ledger = open_request(batch)
    progress = current_progress()
    with ledger.beating(run):
        known = ledger.rows()
        waiting = [video for video in request.videos if video.place not in known]
        opened = open_detector(detector, speed=speed, weights=workplace.weights, min_score=options.min_score)
        keep_detector(batch.parent.parent, detector, speed, opened.record)
        job = through_storage(objects_job(opened, options, workplace, progress), workplace.storage, progress)
        about = _about(request.id, run) | {"detector": f"{opened.record.name} on {opened.record.device}"}
        progress.begin("videos", len(waiting), "videos")
        with closing(ahead(_fetched(waiting, workplace), buffer=FETCHED_AHEAD)) as coming:
            for place, video in coming:
                ledger.begin(run, place)
                for outcome in do_each(job, [video], again=again):
                    ledger.add(run, BatchRow.of(outcome, place=place, **about))
                progress.advance("videos", 1)
    return len(waiting)


def _fetched(videos: list[BatchVideo], workplace: Workplace) -> Iterator[tuple[int, FetchedVideo | VideoOutcome]]:
    fetched = fetch_each((video.source for video in videos), workplace)
    for video, found in zip(videos, fetched, strict=True):
        yield video.place, found


def _about(batch: str, run: str) -> dict[str, Any]:
    """Say who works on the batch, and where."""
    return {
        "batch": batch,
        "run": run,
        "worker": os.environ.get(WORKER_VARIABLE),
        "device": os.environ.get(DEVICES_VARIABLE),
    }
