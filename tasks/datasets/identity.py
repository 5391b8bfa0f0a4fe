"""The id and the slug of a dataset version.

In: the shards, the filter's options and version, names of labels. Out: an id that is the same on any
machine, and a folder's name that a person can read. Does not touch the disk.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import JsonValue

from tasks.contracts.artifacts import PlannedShard, ShardTally

ID_PATTERN = r"ds-[0-9a-f]{12}"
SLUG_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
SLUG_LENGTH = 64  # characters; as long as SLUG_PATTERN allows
LATEST = "latest"  # the name of the pointers, so that no slug may have it


def dataset_id(
    shards: Sequence[PlannedShard | ShardTally], options: Mapping[str, JsonValue], filter_version: int
) -> str:
    """Return `ds-` and 12 hex digits of the SHA-256 over everything that decides which rows there are.

    `options` must hold all of the filter's input, the label ids included. Neither the order of the shards
    nor that of the options counts.
    """
    contents = sorted([shard.partition, shard.md5] for shard in shards)
    text = json.dumps([contents, dict(options), filter_version], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"ds-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def slug_of(label_names: Sequence[str], *, match: Literal["any", "all"] = "any", exclude: Sequence[str] = ()) -> str:
    """Return a name for datasets of these labels: `cooking`, `cooking-or-food`, `cooking-and-food-not-game`.

    It has only a-z, 0-9 and -, at most 64 characters, and is the same in whatever order the labels come.
    """
    wanted = f"-{'or' if match == 'any' else 'and'}-".join(sorted(map(_word, label_names)))
    unwanted = "".join(f"-not-{word}" for word in sorted(map(_word, exclude)))
    slug = (wanted or "any") + unwanted
    if slug == LATEST or re.fullmatch(ID_PATTERN, slug):
        return f"label-{slug}"
    if len(slug) <= SLUG_LENGTH:
        return slug
    return f"{slug[: SLUG_LENGTH - 9].rstrip('-')}-{_short_hash(slug)}"


def _word(name: str) -> str:
    """Return `name` in a-z, 0-9 and -; a name of none of these letters becomes a hash of it."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or f"label-{_short_hash(name)}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
