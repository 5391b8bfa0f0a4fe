"""The folder of a video, named so that a person finds it and nothing escapes.

In: a video with a title from a stranger. Out: a name of ASCII letters, digits and dashes. Does not make the folder.
"""

import re
import unicodedata

from tasks.contracts.media import FetchedVideo

LONGEST = 60  # characters of the title
DIGITS = 8  # of the digest: enough to tell the videos of one folder apart


def folder_name(video: FetchedVideo) -> str:
    """Return a slug of the title, and the beginning of the content's digest."""
    plain = unicodedata.normalize("NFKD", video.title).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST].strip("-")
    return f"{slug or 'video'}-{video.sha256[:DIGITS]}"
