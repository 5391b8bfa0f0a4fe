"""What makes two answers about the objects of a video the same.

In: a video, a detector and options. Out: a digest. Does not know the answer.
"""

import hashlib
import json

from tasks.contracts.media import FetchedVideo
from tasks.contracts.objects import DetectorRecord
from tasks.detection.config import DetectOptions

DETECTION_VERSION = 3  # raise by hand when the same video, detector and options give another answer


def identity_of(video: FetchedVideo, detector: DetectorRecord, options: DetectOptions) -> str:
    """Return the SHA-256 of the video's content, what looks at it and how."""
    parts = [DETECTION_VERSION, video.sha256, detector.model_dump(mode="json"), options.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
