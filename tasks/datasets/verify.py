"""Is a dataset version whole?"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from tasks.contracts.datasets import DatasetManifest, PartFile
from tasks.contracts.errors import DamagedDatasetError
from tasks.contracts.files import file_digest
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress, Silent
from tasks.datasets.manifest import MANIFEST_NAME, Dataset, damaged, dataset_id

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
