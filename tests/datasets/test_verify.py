"""A dataset version held to its digests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.datasets.catalogue import open_dataset
from tasks.datasets.manifest import Dataset, verify
from tests.datasets.made import edit_manifest


class Heard:
    """A listener that sums up what it hears."""

    def __init__(self) -> None:
        self.total: float | None = None
        self.done = 0.0

    def begin(self, what: str, total: float | None, unit: str) -> None:
        assert (what[:10], unit) == ("Verifying ", "bytes")
        self.total = total

    def advance(self, what: str, amount: float) -> None:
        assert what.startswith("Verifying ds-")
        self.done += amount


def test_a_whole_version_has_no_problem(dataset: Dataset) -> None:
    heard = Heard()
    assert verify(dataset, heard) == []
    assert heard.done == heard.total == sum(part.size_bytes for part in dataset.manifest.parts)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


def link_elsewhere(path: Path) -> None:
    moved = path.rename(path.parents[1] / path.name)
    path.symlink_to(moved)


@pytest.mark.parametrize(
    ("change", "kind", "detail"),
    [
        pytest.param(flip_a_bit, "digest", "its SHA-256 is ", id="one-bit"),
        pytest.param(cut, "size", " bytes, should have ", id="cut"),
        pytest.param(Path.unlink, "missing", "there is no such file", id="missing"),
        pytest.param(link_elsewhere, "missing", "there is no such file", id="link"),
    ],
)
def test_a_part_that_differs(dataset: Dataset, change: Callable[[Path], None], kind: str, detail: str) -> None:
    change(dataset.folder / "part-train-0001.parquet")
    (problem,) = verify(dataset)
    assert (problem.file, problem.kind) == ("part-train-0001.parquet", kind)
    assert detail in problem.detail


def test_a_file_that_does_not_belong(dataset: Dataset) -> None:
    (dataset.folder / "part-train-0002.parquet").write_bytes(b"")
    (problem,) = verify(dataset)
    assert (problem.file, problem.kind) == ("part-train-0002.parquet", "extra")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        pytest.param({"rows": 31}, "rows: it says 31, its contents give 30", id="rows"),
        pytest.param({"matches": 1}, "matches: it says 1, its contents give 20", id="matches"),
        pytest.param({"records": 1}, "records: it says 1, its contents give 39", id="records"),
        pytest.param({"options": {"label_ids": [23]}}, "id: it says ds-", id="options"),
        pytest.param({"filter_version": 9}, "id: it says ds-", id="filter-version"),
    ],
)
def test_a_manifest_that_was_edited(dataset: Dataset, changes: dict, detail: str) -> None:
    edit_manifest(dataset.folder, **changes)
    problems = verify(open_dataset(dataset.folder.parents[1], "latest"))
    assert {(problem.file, problem.kind) for problem in problems} == {("manifest.json", "manifest")}
    assert problems[0].detail.startswith(detail)
