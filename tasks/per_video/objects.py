"""The job of finding the objects in videos.

In: a detector and options. Out: the job, or what tells whether it is done. Does not know whether a person or a worker
does it.
"""

from dataclasses import fields

from tasks.contracts.objects import OBJECTS_NAME, DetectorRecord, ObjectsManifest
from tasks.contracts.progress import Progress
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects, find_objects, identity_of
from tasks.detection.detector import Detector
from tasks.detection.whole import FILES
from tasks.per_video.each import Job, Lookup
from tasks.per_video.workplace import Workplace
from tasks.reports.video_words import objects_in_words


def objects_lookup(record: DetectorRecord, options: DetectOptions, workplace: Workplace) -> Lookup[ObjectsManifest]:
    """Return what tells whether a video was looked at by this detector with these options; opens no detector."""
    return Lookup(
        out=workplace.out,
        identify=lambda video: identity_of(video, record, options),
        find=find_objects,
        in_words=objects_in_words,
        file_names=FILES,
        manifest_name=OBJECTS_NAME,
    )


def objects_job(
    detector: Detector, options: DetectOptions, workplace: Workplace, progress: Progress | None = None
) -> Job[ObjectsManifest]:
    """Return the job of detecting with one detector and one set of options."""
    lookup = objects_lookup(detector.record, options, workplace)
    return Job(
        **{field.name: getattr(lookup, field.name) for field in fields(lookup)},
        make=lambda video, folder: detect_objects(video, detector, options, workplace.bounds, folder, progress),
    )
