"""Reading download plans: the JSON that a mirror sends, and a stand-in for it made from a folder of shards.

In: text, or a folder. Out: the md5 of each shard by its name. A plan is untrusted: what does not look like one is
refused. Does not know where the text comes from.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tasks.contracts.errors import PlanError
from tasks.contracts.files import file_digest

# No dot and no slash: a name leads nowhere but to its own place.
SHARD_NAME = re.compile(r"(train|validate|test)([A-Za-z0-9_-]{1,64})\.tfrecord")
PARTITION = re.compile(r"(?:video|frame)(?:_level)?/(train|validate|test)")
MD5 = re.compile(r"[0-9a-f]{32}")


def split_of(partition: str) -> str:
    """Return `train`, `validate` or `test`.

    Raises:
        PlanError: there is no such partition.
    """
    match = PARTITION.fullmatch(partition)
    if match is None:
        raise PlanError(
            f"No partition {partition!r}; there are video/train, video/validate, video/test, and the same for frame: "
            "`reelsift shards plan --partition video/train`."
        )
    return match[1]


def parse_plan(text: str, partition: str) -> dict[str, str]:
    """Return name -> md5 of a plan's JSON, `{"files": {"trainpj.tfrecord": "<md5 in hex>", …}}`.

    Raises:
        PlanError: it is not JSON, not such an object, or names what is no shard of the partition.
    """
    try:
        plan = json.loads(text, object_pairs_hook=_object_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"The plan of {partition!r} is not JSON: {error}. Try `--mirror us`.") from error
    files = plan.get("files") if isinstance(plan, dict) else None
    if not isinstance(files, dict):
        raise PlanError(
            f"The plan of {partition!r} has no object 'files' with a name and md5 a shard. Try `--mirror us`."
        )
    for name, md5 in files.items():
        _check_entry(name, md5, partition)
    return files


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name stands there twice")
    return values


def _check_entry(name: str, md5: object, partition: str) -> None:
    split = split_of(partition)
    match = SHARD_NAME.fullmatch(name)
    if match is None or match[1] != split:
        raise PlanError(
            f"The plan of {partition!r} names {name[:100]!r}, which is no shard of it: those look like "
            f"'{split}aB.tfrecord'. Do not trust this mirror; try `--mirror us`."
        )
    if not isinstance(md5, str) or not MD5.fullmatch(md5):
        raise PlanError(
            f"The plan of {partition!r} gives {str(md5)[:100]!r} as the md5 of {name}; 32 hexadecimal digits in "
            "lower case are needed. Try `--mirror us`."
        )


def hash_bag(folder: Path, split: str) -> dict[str, str]:
    """Return name -> md5 of the shards of one split that lie in `folder`, told by the start of their names.

    Raises:
        PlanError: there is a .tfrecord file whose name tells no split, or one that cannot be read.
    """
    paths = sorted(path for path in folder.glob("*.tfrecord") if not _is_endless(path))
    for path in paths:
        if not SHARD_NAME.fullmatch(path.name):
            raise PlanError(
                f"{path} tells no partition by its name: that must be train, validate or test with letters, digits, '-'"
                " or '_' after it, like 'validatea0.tfrecord'. Rename the file or move it elsewhere."
            )
    wanted = [path for path in paths if path.name.startswith(split)]
    with ThreadPoolExecutor() as pool:  # hashing leaves the interpreter to others
        return dict(zip((path.name for path in wanted), pool.map(_md5_of, wanted), strict=True))


def _is_endless(path: Path) -> bool:
    """Say whether a name is that of a pipe, a socket or a device, which may never come to an end."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _md5_of(path: Path) -> str:
    try:
        return file_digest(path, "md5")
    except OSError as error:
        raise PlanError(f"Cannot read {path}: {error.strerror}. Mend that, or move the file elsewhere.") from error
