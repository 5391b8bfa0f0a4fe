"""What lies in the object store is whole or is not seen: pushed, pulled, cut off, damaged. On a real S3 server."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.errors import DamagedStorageError
from tasks.storage.bundles import LIST_NAME, bundles_below, find_bundle, pull_bundle, push_bundle
from tasks.storage.object_store import ObjectStore

KEY = "parts/aa/bb"


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A new store of either kind."""
    uri = (tmp_path / "shared folder").as_uri() if request.param == "folder" else request.getfixturevalue("bucket")
    return ObjectStore(uri)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three files, one below a folder, one larger than a block."""
    contents = {"a.bin": b"a" * 100, "pictures/0001.jpg": b"", "large.bin": bytes(range(256)) * (33 << 10)}
    paths = {name: tmp_path / "made" / name for name in contents}
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[name])
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_pushed_comes_back_the_same(store: ObjectStore, files: dict[str, Path], tmp_path: Path) -> None:
    assert find_bundle(store, KEY) is None
    assert pull_bundle(store, KEY, tmp_path) is None
    pushed = push_bundle(store, KEY, files, about={"rows": 3})
    pulled = pull_bundle(store, KEY, tmp_path / "elsewhere")
    assert pulled == pushed == find_bundle(store, KEY)
    assert pulled is not None
    assert pulled.about == {"rows": 3}
    assert contents(tmp_path / "elsewhere") == contents(tmp_path / "made")
    assert (tmp_path / "elsewhere" / "a.bin").stat().st_mtime == files["a.bin"].stat().st_mtime
    assert bundles_below(store, "parts") == [KEY]


def test_what_is_there_is_not_sent_again(store: ObjectStore, files: dict[str, Path]) -> None:
    first = push_bundle(store, KEY, files)
    files["a.bin"].write_bytes(b"another answer to the same question")
    assert push_bundle(store, KEY, files) == first


@pytest.mark.parametrize("harm", ["changed", "cut", "deleted"])
def test_a_damaged_object_counts_as_not_there_and_can_be_put_back(
    store: ObjectStore, files: dict[str, Path], tmp_path: Path, harm: str
) -> None:
    push_bundle(store, KEY, files)
    if harm == "deleted":
        store.delete(f"{KEY}/a.bin")
    else:
        store.write(f"{KEY}/a.bin", b"b" * (100 if harm == "changed" else 50))
    with pytest.raises(DamagedStorageError, match=r"parts/aa/bb .* is damaged: .*a\.bin"):
        pull_bundle(store, KEY, tmp_path / "damaged")
    assert find_bundle(store, KEY) is None
    push_bundle(store, KEY, files)
    assert pull_bundle(store, KEY, tmp_path / "mended")
    assert contents(tmp_path / "mended") == contents(tmp_path / "made")


@pytest.mark.parametrize("harm", ["cut", "deleted"])
def test_a_push_mends_what_it_sees_to_be_incomplete(
    store: ObjectStore, files: dict[str, Path], tmp_path: Path, harm: str
) -> None:
    push_bundle(store, KEY, files)
    if harm == "deleted":
        store.delete(f"{KEY}/a.bin")
    else:
        store.write(f"{KEY}/a.bin", b"a")
    push_bundle(store, KEY, files)
    assert pull_bundle(store, KEY, tmp_path / "mended")


def test_a_list_that_was_cut_off_or_leads_out_of_its_folder_is_none(store: ObjectStore, files: dict[str, Path]) -> None:
    content = push_bundle(store, KEY, files).model_dump_json()
    for bad in (content[:-20], content.replace("a.bin", "../../a.bin"), content.replace("a.bin", "/etc/a.bin"), ""):
        store.write(f"{KEY}/{LIST_NAME}", bad.encode())
        assert find_bundle(store, KEY) is None


def test_what_goes_while_it_is_read_is_missing_and_no_failure(
    bucket: str, files: dict[str, Path], tmp_path: Path
) -> None:
    """Another machine deletes a damaged bundle between two of the requests that reading it takes."""
    store = ObjectStore(bucket)
    push_bundle(store, KEY, files)
    large = f"{KEY}/large.bin"
    with pytest.raises(FileNotFoundError, match=r"Reading parts/aa/bb/large\.bin .* no longer there"):
        store.download(large, tmp_path / "large.bin", lambda _: store.delete(large))
    assert store.read(large) is None


def test_a_file_that_is_not_what_it_should_be_is_not_listed(store: ObjectStore, files: dict[str, Path]) -> None:
    with pytest.raises(DamagedStorageError, match=r"a\.bin is damaged"):
        push_bundle(store, KEY, files, expected={"a.bin": "0" * 64})
    assert find_bundle(store, KEY) is None


def test_the_store_copies_what_it_has_under_another_key(
    store: ObjectStore, files: dict[str, Path], tmp_path: Path
) -> None:
    digest = next(file.sha256 for file in push_bundle(store, KEY, files).files if file.name == "large.bin")
    push_bundle(
        store,
        "datasets/x/y",
        {"part.bin": files["large.bin"], "again.bin": files["large.bin"]},
        expected={"part.bin": digest, "again.bin": digest},
        copies={"part.bin": f"{KEY}/large.bin", "again.bin": f"{KEY}/never-there.bin"},
    )
    assert pull_bundle(store, "datasets/x/y", tmp_path / "copied")
    assert (tmp_path / "copied" / "part.bin").read_bytes() == files["large.bin"].read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.storage.bundles import push_bundle
from tasks.storage.object_store import ObjectStore

class Killer:
    def begin(self, what, total, unit): ...
    def advance(self, what, amount):
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[2])
files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
push_bundle(ObjectStore(sys.argv[1]), sys.argv[3], files, progress=Killer())
"""


def test_a_push_that_was_killed_half_way_is_not_seen_and_the_next_one_finishes(
    store: ObjectStore, files: dict[str, Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, store.uri, str(tmp_path / "made"), KEY]
    killed = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -9
    assert find_bundle(store, KEY) is None
    assert bundles_below(store, "parts") == []
    assert pull_bundle(store, KEY, tmp_path) is None
    push_bundle(store, KEY, files)
    assert pull_bundle(store, KEY, tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == contents(tmp_path / "made")
