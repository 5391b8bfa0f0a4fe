"""The job of labelling videos.

In: a labeller and options. Out: the job. Does not know whether a person or a worker does it.
"""

from tasks.contracts.labels import LABELS_NAME, LabelsManifest
from tasks.contracts.progress import Progress
from tasks.labelling.config import LabelOptions
from tasks.labelling.label import FILES, find_labels, identity_of, label_video
from tasks.labelling.labeller import Labeller
from tasks.per_video.each import Job
from tasks.per_video.workplace import Workplace
from tasks.reports.video_words import labels_in_words


def labels_job(
    labeller: Labeller, options: LabelOptions, workplace: Workplace, progress: Progress | None = None
) -> Job[LabelsManifest]:
    """Return the job of labelling with one model and one set of options."""
    return Job(
        out=workplace.out,
        identify=lambda video: identity_of(video, labeller, options),
        find=find_labels,
        make=lambda video, folder: label_video(video, labeller, options, workplace.bounds, folder, progress),
        in_words=labels_in_words,
        file_names=FILES,
        manifest_name=LABELS_NAME,
    )
