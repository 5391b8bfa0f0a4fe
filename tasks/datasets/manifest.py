"""The manifest of a dataset version: its id, its slug, the digests of its files, and whether these are whole."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from tasks.contracts.datasets import DatasetManifest, PartFile, PlannedShard, ShardTally
from tasks.contracts.errors import DamagedDatasetError, DatasetError
from tasks.contracts.files import file_digest, sealed, unsealed
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress, Silent

ID_PATTERN = r"ds-[0-9a-f]{12}"
SLUG_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
SLUG_LENGTH = 64  # characters; as long as SLUG_PATTERN allows
LATEST = "latest"  # the name of the pointers, so that no slug may have it
ALL = "all"  # the slug of the whole vocabulary, so that no label's may be it


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


def slug_of(
    label_names: Sequence[str] | None, *, match: Literal["any", "all"] = "any", exclude: Sequence[str] = ()
) -> str:
    """Return a name for datasets of these labels: `cooking`, `cooking-or-food`, `cooking-and-food-not-game`.

    Of the whole vocabulary, for which None stands, it is `all`, or `all-not-game`.
    It has only a-z, 0-9 and -, at most 64 characters, and is the same in whatever order the labels come.
    """
    words = [ALL] if label_names is None else sorted(map(_word, label_names))
    wanted = f"-{'or' if match == 'any' else 'and'}-".join(words)
    unwanted = "".join(f"-not-{word}" for word in sorted(map(_word, exclude)))
    slug = (wanted or "any") + unwanted
    if slug == LATEST or re.fullmatch(ID_PATTERN, slug) or (label_names is not None and slug == ALL):
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


MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 256 << 20  # the 7,689 shards of the whole release make 2 MB
SPLIT_PATTERN = r"[a-z0-9]{1,32}"
PART_PATTERN = rf"part-{SPLIT_PATTERN}-[0-9]{{4,9}}\.parquet"


@dataclass(frozen=True)
class Dataset:
    """A published dataset version and the folder that holds it."""

    manifest: DatasetManifest
    folder: Path

    def parts(self, split: str | None = None) -> tuple[PartFile, ...]:
        """Return the parts of a split, or all of them.

        Raises:
            DatasetError: the version has no such split.
        """
        splits = self.manifest.splits
        if split is not None and split not in splits:
            raise DatasetError(
                f"Dataset {self.manifest.id} has no split {split!r}. It has: {', '.join(sorted(splits))}"
            )
        return tuple(part for part in self.manifest.parts if split in (None, part.split))

    def paths(self, split: str | None = None) -> list[Path]:
        """Return the Parquet files of a split, or all of them, in order."""
        return [self.folder / part.name for part in self.parts(split)]


def part_name(split: str, number: int) -> str:
    """Return the file name of a part within its version."""
    return f"part-{split}-{number:04d}.parquet"


def manifest_bytes(manifest: DatasetManifest) -> bytes:
    """Return the manifest's JSON: its digest, then keys sorted, a line for each and for each element of its lists."""
    fields: dict[str, JsonValue] = manifest.model_dump(mode="json")
    # So that what is as usual has the bytes that it always had.
    for name in ("oddities", "feature_space", "without_sound", "sources", "frames"):
        if fields[name] is None:
            del fields[name]
    lines = ",\n".join(f"{json.dumps(key)}: {_value(fields[key])}" for key in sorted(fields))
    return sealed(f"{{\n{lines}\n}}\n").encode()


def manifest_of(content: bytes) -> DatasetManifest:
    """Return the manifest of these bytes.

    Raises:
        ValueError: they are none, or differ from their digest.
    """
    return DatasetManifest.model_validate_json(unsealed(content))


def read_manifest(folder: Path) -> DatasetManifest:
    """Read the manifest of the version published in `folder`.

    Raises:
        DamagedDatasetError: there is none, or it is not one, or it is that of another folder.
    """
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MANIFEST_BYTES)
        manifest = manifest_of(content)
    except OSError as error:
        raise damaged(folder, f"{MANIFEST_NAME} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "JSON"
        raise damaged(folder, f"{MANIFEST_NAME} is not a manifest: {place}: {first['msg']}") from error
    except ValueError as error:
        raise damaged(folder, f"{MANIFEST_NAME}: {error}") from error
    _check_names(manifest, folder)
    return manifest


def damaged(folder: Path, problem: str) -> DamagedDatasetError:
    """Return the error for a version that cannot be trusted, with what to do about it."""
    return DamagedDatasetError(
        f"Dataset {folder.parent.name}/{folder.name} is damaged: {problem}. "
        "`reelsift dataset build` with the same label and shards, or `dataset import` or `extract` of the same videos, "
        "repairs it"
    )


def _check_names(manifest: DatasetManifest, folder: Path) -> None:
    """Refuse a manifest that belongs elsewhere, or whose parts would lead out of its folder."""
    if (manifest.id, manifest.slug) != (folder.name, folder.parent.name):
        raise damaged(folder, f"{MANIFEST_NAME} is that of {manifest.slug}/{manifest.id}")
    if not re.fullmatch(SLUG_PATTERN, manifest.slug):
        raise damaged(folder, f"{manifest.slug!r} is not a slug")
    for part in manifest.parts:
        if not re.fullmatch(PART_PATTERN, part.name) or part.split not in manifest.splits:
            raise damaged(folder, f"{MANIFEST_NAME} names {part.name!r} of split {part.split!r} as a part")


def _value(value: JsonValue) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    items = ",\n".join(f" {json.dumps(item, sort_keys=True, ensure_ascii=False)}" for item in value)
    return f"[\n{items}\n]"


HASHING_THREADS = 4  # hashing lets other threads run; more than this waits for the disk


class ProblemKind(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    SIZE = "size"
    DIGEST = "digest"
    EXTRA = "extra"
    MANIFEST = "manifest"


class Problem(FrozenModel):
    """One thing that is wrong with a version."""

    file: str
    kind: ProblemKind
    detail: str


def verify(dataset: Dataset, progress: Progress | None = None) -> list[Problem]:
    """Check each part's size and SHA-256, look for files that do not belong, and check the manifest's sums.

    Progress is in bytes read.
    """
    progress = progress or Silent()
    what = f"Verifying {dataset.manifest.id}"
    progress.begin(what, sum(part.size_bytes for part in dataset.manifest.parts), "bytes")

    def check(part: PartFile) -> Problem | None:
        problem = part_problem(dataset.folder / part.name, part.size_bytes, part.sha256)
        progress.advance(what, part.size_bytes)
        return problem

    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        found = [problem for problem in pool.map(check, dataset.manifest.parts) if problem]
    return [*found, *_extra_files(dataset), *_contradictions(dataset.manifest)]


@contextmanager
def parts_checked(dataset: Dataset, split: str | None = None) -> Iterator[None]:
    """Check the digests of a split's parts, or of all, while the block reads them; hashing needs no turn of its own.

    Raises:
        DamagedDatasetError: a part is not what the manifest promises; what the block read is of no use then.
    """
    parts = dataset.parts(split)
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        checks = [pool.submit(part_problem, dataset.folder / part.name, part.size_bytes, part.sha256) for part in parts]
        try:
            yield
        except DamagedDatasetError:
            raise
        except Exception:
            _refuse_problems(dataset, checks)  # what the reader met may be what the wrong bytes did
            raise
        _refuse_problems(dataset, checks)


def _refuse_problems(dataset: Dataset, checks: Sequence[Future[Problem | None]]) -> None:
    for problem in filter(None, (check.result() for check in checks)):
        raise damaged(dataset.folder, f"{problem.file}: {problem.detail}")


def part_problem(path: Path, size_bytes: int, sha256: str) -> Problem | None:
    """Return what is wrong with a Parquet file that should have this size and digest, if anything is."""
    if path.is_symlink() or not path.is_file():
        return Problem(file=path.name, kind=ProblemKind.MISSING, detail="there is no such file")
    size = path.stat().st_size
    if size != size_bytes:
        return Problem(file=path.name, kind=ProblemKind.SIZE, detail=f"has {size:,} bytes, should have {size_bytes:,}")
    digest = file_digest(path)
    if digest != sha256:
        detail = f"its SHA-256 is {digest[:12]}…, should be {sha256[:12]}…"
        return Problem(file=path.name, kind=ProblemKind.DIGEST, detail=detail)
    return None


def _extra_files(dataset: Dataset) -> Iterator[Problem]:
    expected = {MANIFEST_NAME, *(part.name for part in dataset.manifest.parts)}
    for name in sorted({path.name for path in dataset.folder.iterdir()} - expected):
        yield Problem(file=name, kind=ProblemKind.EXTRA, detail="the manifest does not name it")


def _contradictions(manifest: DatasetManifest) -> Iterator[Problem]:
    """Compare what the manifest says twice; a difference means that somebody has edited it."""
    pairs = {
        "id": (manifest.id, dataset_id(manifest.shards, manifest.options, manifest.filter_version)),
        "rows": (manifest.rows, sum(part.rows for part in manifest.parts)),
        "matches": (manifest.matches, sum(part.matches for part in manifest.parts)),
        "records": (manifest.records, sum(shard.records for shard in manifest.shards)),
        "rows of its shards": (manifest.rows, sum(shard.matches + shard.background for shard in manifest.shards)),
    }
    for what, (said, found) in pairs.items():
        if said != found:
            detail = f"{what}: it says {said}, its contents give {found}"
            yield Problem(file=MANIFEST_NAME, kind=ProblemKind.MANIFEST, detail=detail)
