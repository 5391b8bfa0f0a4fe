"""Which videos a model was judged on, in few characters.

In: videos. Out: a digest that two judgements share only if they saw the very same videos. Does not know
which split of which dataset they are.
"""

import hashlib

from tasks.datasets.load import Videos

DIGEST_BYTES = 16


def split_digest(videos: Videos) -> str:
    """Return `blake2b:` and 32 hex digits over the videos' ids, labels, features and matches, in their order."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    digest.update("\n".join(videos.video_ids).encode())
    for array in (videos.label_offsets, videos.label_ids, videos.is_match, videos.features):
        digest.update(array.tobytes() if not array.flags.c_contiguous else array.data)
    return f"blake2b:{digest.hexdigest()}"
