"""Download plans: which shards a partition has, which of them are wanted, and under which name each is kept.

In: a partition and a mirror. Out: `PlannedShard`s, sorted by name. A plan is untrusted: what does not look like
one is refused. Does not fetch shards.

The rules (X,Y selection, saved names) are those of http://data.yt8m.org/download.py.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits
from tempfile import TemporaryDirectory

from tasks.contracts.artifacts import PlannedShard
from tasks.contracts.errors import ConfigError, DownloadError, PlanError
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import Mirrors, resolve, shown
from tasks.shards.plan_file import SHARD_NAME, hash_bag, parse_plan, split_of
from tasks.shards.remote import RemoteFile
from tasks.shards.transfer import fetch_file

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
    bag = mirrors.bag()
    files = hash_bag(bag, split) if bag and partition == f"video/{split}" else _fetch(partition, mirrors, config)
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
    return folder / str(config.release) / shard.partition / saved_name(shard.name)


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
