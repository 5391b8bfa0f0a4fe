"""Download plans: which shards a partition has, which of them are selected, and their local names."""

import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits
from tempfile import TemporaryDirectory
from typing import Any

from tasks.contracts.datasets import LEVELS, PlannedShard, placed
from tasks.contracts.errors import ConfigError, DownloadError, PlanError, did_you_mean
from tasks.contracts.files import file_digest
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import Mirrors, RemoteFile, resolve, shown
from tasks.shards.transfer import fetch_file

# No dot and no slash: a name leads nowhere but to its own place.
SHARD_NAME = re.compile(r"(train|validate|test)([A-Za-z0-9_-]{1,64})\.tfrecord")
PARTITIONS = tuple(f"{kind}/{split}" for kind in LEVELS for split in ("train", "validate", "test"))
PARTITION = re.compile(r"(?:(?:video|frame)(?:_level)?|3/frame)/(train|validate|test)")  # release 3 has segments
MD5 = re.compile(r"[0-9a-f]{32}")


def split_of(partition: str) -> str:
    """Return `train`, `validate` or `test`.

    Raises:
        PlanError: there is no such partition.
    """
    match = PARTITION.fullmatch(partition)
    if match is None:
        raise PlanError(
            f"No partition {partition!r}.{did_you_mean(partition, PARTITIONS)} There are {', '.join(PARTITIONS)}: "
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
        raise PlanError(f"Cannot read {path}: {error.strerror}. Fix this, or move the file elsewhere.") from error


ALPHABET = ascii_lowercase + ascii_uppercase + digits
LARGEST_PLAN_BYTES = 4 << 20  # the largest real one has 3,844 lines of 57 bytes

_PAIR = re.compile(r"[A-Za-z0-9]{2}")


def fetch_plan(partition: str, config: DownloadConfig) -> tuple[PlannedShard, ...]:
    """Return all shards of `partition`, e.g. `video/train`, sorted by name.

    Where the first mirror is a folder with nothing but shards in it, its plan is made by hashing them.

    Raises:
        PlanError: there is no such partition, no plan of it, or what came is not a plan.
        MirrorError: a mirror's name means nothing.
    """
    split = split_of(partition)
    mirrors = resolve(config)
    bag, levels = mirrors.bag(), (f"{level}/{split}" for level in LEVELS)
    files = hash_bag(bag, split) if bag and partition in levels else _fetch(partition, mirrors, config)
    if not files:
        raise PlanError(
            f"The plan of {partition!r} from {', '.join(map(shown, config.mirrors))} names no shard. Try `--mirror us`."
        )
    shards = [PlannedShard(name=name, partition=partition, md5=files[name]) for name in sorted(files)]
    _refuse_clashes(shards)
    return tuple(shards)


def select_shards(
    plan: Sequence[PlannedShard], *, part: tuple[int, int] | None = None, limit: int | None = None
) -> tuple[PlannedShard, ...]:
    """Return the shards of part X of Y (`part=(X, Y)`), then the first `limit` of those.

    A shard is in part X of Y where md5(name) as an integer, modulo Y, is X - 1.

    Raises:
        ConfigError: not 1 <= X <= Y, or `limit` is less than 1.
    """
    x, y = part or (1, 1)
    if not 1 <= x <= y:
        raise ConfigError(f"No part {x},{y} of a plan: X,Y needs 1 <= X <= Y, e.g. `--shards 1,100` for one hundredth.")
    if limit is not None and limit < 1:
        raise ConfigError(f"A limit of {limit} shards leaves none; `--limit` takes 1 or more.")
    chosen = [shard for shard in plan if _name_number(shard.name) % y == x - 1]
    return tuple(chosen[:limit])


def shard_index(name: str) -> int | None:
    """Return the number that a name's last two letters mean in base 62 over a-zA-Z0-9, or None without such letters.

    `train9H.tfrecord` is 61 * 62 + 33 = 3815.
    """
    match = SHARD_NAME.fullmatch(name)
    if match is None or not _PAIR.fullmatch(match[2]):
        return None
    high, low = match[2]
    return ALPHABET.index(high) * len(ALPHABET) + ALPHABET.index(low)


def saved_name(name: str) -> str:
    """Return the name under which a shard is kept: `train9H.tfrecord` -> `train3815.tfrecord`, `aj` -> `0009`.

    Names that differ in case alone thus get along on every file system. A name without a base-62 pair is kept.
    """
    index = shard_index(name)
    return name if index is None else f"{name.removesuffix('.tfrecord')[:-2]}{index:04}.tfrecord"


def shard_path(folder: Path, shard: PlannedShard, config: DownloadConfig) -> Path:
    """Return where a shard is kept below `folder`: `<release>/<partition>/<saved name>`."""
    release, partition = placed(shard.partition, config.release)
    return folder / str(release) / partition / saved_name(shard.name)


def _name_number(name: str) -> int:
    return int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(), 16)


def _fetch(partition: str, mirrors: Mirrors, config: DownloadConfig) -> dict[str, str]:
    file = RemoteFile(f"the plan of {partition}", mirrors.plan(partition))
    bounded = config.model_copy(update={"largest_file_bytes": LARGEST_PLAN_BYTES, "reserve_bytes": 0})
    with TemporaryDirectory(prefix="reelsift-plan-") as folder:
        try:
            text = fetch_file(file, Path(folder) / "plan.json", bounded).path.read_text(encoding="utf-8")
        except DownloadError as error:
            raise PlanError(f"No download plan of {partition!r}: {error}") from error
        except UnicodeDecodeError as error:
            raise PlanError(f"The plan of {partition!r} is not JSON: it is not UTF-8. Try `--mirror us`.") from error
    return parse_plan(text, partition)


def _refuse_clashes(shards: Sequence[PlannedShard]) -> None:
    by_name: dict[str, str] = {}
    for shard in shards:
        other = by_name.setdefault(saved_name(shard.name), shard.name)
        if other != shard.name:
            raise PlanError(
                f"The plan of {shard.partition!r} names both {other} and {shard.name}, and both would be kept as "
                f"{saved_name(shard.name)}. Try `--mirror us`."
            )


def selected_shards(
    partitions: Sequence[str], config: DownloadConfig, *, part: tuple[int, int] | None, limit: int | None
) -> tuple[PlannedShard, ...]:
    """Return the shards to take from each partition's plan.

    Raises:
        PlanError: a plan cannot be fetched or is not one, or nothing of it is left to take.
    """
    shards = tuple(
        shard
        for partition in partitions
        for shard in select_shards(fetch_plan(partition, config), part=part, limit=limit)
    )
    if not shards:
        raise PlanError(
            f"No shards of {', '.join(partitions)} are left by shards={part}, limit={limit}. "
            "`reelsift shards plan` lists what there is."
        )
    return shards
