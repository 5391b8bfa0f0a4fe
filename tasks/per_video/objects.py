"""The job of finding the objects in videos.

In: a detector and options. Out: the job. Does not know whether a person or a worker does it.
"""

from tasks.contracts.objects import ObjectsManifest
from tasks.contracts.progress import Progress
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects, find_objects, identity_of
from tasks.detection.detector import Detector
from tasks.per_video.each import Job
from tasks.per_video.workplace import Workplace
from tasks.reports.video_words import objects_in_words


def objects_job(
    detector: Detector, options: DetectOptions, workplace: Workplace, progress: Progress | None = None
) -> Job[ObjectsManifest]:
    """Return the job of detecting with one detector and one set of options."""
    return Job(
        out=workplace.out,
        identify=lambda video: identity_of(video, detector.record, options),
        find=find_objects,
        make=lambda video, folder: detect_objects(video, detector, options, workplace.bounds, folder, progress),
        in_words=objects_in_words,
    )
