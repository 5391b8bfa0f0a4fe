"""Parts become a dataset version atomically."""

import errno
import os
import re
from pathlib import Path

import pytest

from tasks.contracts.datasets import Damage, DropReason, Part
from tasks.contracts.errors import DamagedDatasetError, DatasetError, DiskSpaceError
from tasks.contracts.files import file_digest
from tasks.datasets.manifest import manifest_bytes
from tasks.datasets.publish import is_current
from tests.datasets.made import Folders, contents, edit_manifest, make_part, make_parts, rows_of, table_of, write_part


def test_manifest(folders: Folders) -> None:
    manifest = folders.publish(make_parts(folders.store))
    assert re.fullmatch(r"ds-[0-9a-f]{12}", manifest.id)
    assert (manifest.rows, manifest.matches, manifest.records) == (30, 20, 39)
    assert manifest.label_names == ("Cooking",)
    assert manifest.drops == {DropReason.NO_MATCH: 6, DropReason.BAD_CRC: 3}
    assert [(part.name, part.split, part.rows, part.matches) for part in manifest.parts] == [
        ("part-train-0000.parquet", "train", 12, 8),
        ("part-train-0001.parquet", "train", 12, 8),
        ("part-validate-0000.parquet", "validate", 6, 4),
    ]
    assert [shard.name for shard in manifest.shards] == ["trainaa.tfrecord", "trainab.tfrecord", "validateac.tfrecord"]


def test_label_counts_and_cooccurrence_are_of_matching_videos(folders: Folders) -> None:
    manifest = folders.publish(make_parts(folders.store))
    # LABEL_LISTS four times in train, once in validate; Game and Toys occur in background videos only.
    assert [(count.name, count.by_split) for count in manifest.label_counts] == [
        ("Cooking", {"train": 16, "validate": 4}),
        ("Dish", {"train": 8, "validate": 2}),
        ("Food", {"train": 8, "validate": 2}),
    ]
    assert manifest.cooccurrence.label_ids == (22, 29, 37)
    assert manifest.cooccurrence.counts == ((20, 10, 10), (10, 10, 5), (10, 5, 10))


def test_a_label_that_a_record_lists_twice_counts_once(folders: Folders) -> None:
    part = make_part(folders.store, ["trainaa.tfrecord"], rows=2)
    columns = rows_of("trainaa.tfrecord", 2) | {"labels": [[22, 22, 5], [5]], "is_match": [True, False]}
    path = folders.store / part.path
    write_part(path, table_of(columns))
    manifest = folders.publish([described(part, path, matches=1)])
    assert [(count.name, count.by_split["train"]) for count in manifest.label_counts] == [("5", 1), ("Cooking", 1)]
    assert manifest.cooccurrence.counts == ((1, 1), (1, 1))


def described(part: Part, path: Path, *, matches: int) -> Part:
    """Describe a part anew after its file was changed."""
    tallies = tuple(
        shard.model_copy(update={"matches": matches, "background": part.rows - matches}) for shard in part.shards
    )
    changes = {"sha256": file_digest(path), "size_bytes": path.stat().st_size, "matches": matches, "shards": tallies}
    return part.model_copy(update=changes)


def test_only_the_thirty_commonest_labels_are_crossed(folders: Folders) -> None:
    part = make_part(folders.store, ["trainaa.tfrecord"], rows=6)
    labels = [[22, *range(100, 150)], *[[22, label] for label in (149, 148, 3800, 149, 100)]]
    columns = rows_of("trainaa.tfrecord", 6) | {"labels": labels, "is_match": [True] * 6}
    path = folders.store / part.path
    write_part(path, table_of(columns))
    crossed = folders.publish([described(part, path, matches=6)]).cooccurrence
    assert crossed.label_ids[:4] == (22, 149, 100, 148)
    assert len(crossed.label_ids) == len(crossed.counts) == 30
    assert crossed.counts[0][:4] == (6, 3, 2, 2)
    assert crossed.counts[1][:4] == (3, 3, 1, 1)


def test_the_same_input_gives_the_same_bytes_whatever_the_history(tmp_path: Path) -> None:
    straight, winding = (Folders(tmp_path / name / "store", tmp_path / name / "datasets") for name in ("one", "two"))
    straight.publish(make_parts(straight.store, "abd"))
    smaller = winding.publish(make_parts(winding.store, "a"))
    backwards = make_parts(winding.store, "dba")[::-1]
    whole = winding.publish(backwards)
    assert whole.id != smaller.id
    assert contents(straight.root / "cooking" / whole.id) == contents(winding.root / "cooking" / whole.id)


def test_no_path_of_this_machine_is_in_the_manifest(folders: Folders) -> None:
    part = make_part(folders.store, ["trainaa.tfrecord"])
    damage = Damage(path=f"{folders.store}/trainaa.tfrecord", offset=7, reason=DropReason.BAD_CRC, detail="x")
    tallies = (part.shards[0].model_copy(update={"damage": (damage,)}),)
    manifest = folders.publish([part.model_copy(update={"shards": tallies})])
    assert manifest.shards[0].damage[0].path == "video/train/trainaa.tfrecord"
    assert str(folders.store).encode() not in manifest_bytes(manifest)


def test_parts_are_shared_with_the_store_and_read_only(folders: Folders) -> None:
    parts = make_parts(folders.store)
    folder = folders.folder(folders.publish(parts))
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o444, path
    assert (folder / "part-train-0000.parquet").samefile(folders.store / parts[0].path)


def test_parts_are_copied_where_links_cannot_be(tmp_path: Path, other_file_system: Path) -> None:
    folders = Folders(store=other_file_system / "store", root=tmp_path / "datasets")
    parts = make_parts(folders.store)
    folder = folders.folder(folders.publish(parts))
    copied = folder / "part-train-0000.parquet"
    assert not copied.samefile(folders.store / parts[0].path)
    assert copied.read_bytes() == (folders.store / parts[0].path).read_bytes()


def test_a_full_disk(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = make_parts(folders.store)

    def fill_up(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # To mount a small disk and fill it takes rights that tests have not.
    monkeypatch.setattr(os, "fsync", fill_up)
    message = r"^Dataset cooking/ds-.{12} cannot be written: No space left on device\. See that .*/datasets is writable"
    with pytest.raises(DiskSpaceError, match=message):
        folders.publish(parts)
    assert contents(folders.root) == {}


def test_parts_without_rows_are_left_out_but_their_shards_count(folders: Folders) -> None:
    empty = make_part(folders.store, ["trainaz.tfrecord"], rows=0)
    (folders.store / empty.path).unlink()
    manifest = folders.publish([empty, *make_parts(folders.store)])
    assert len(manifest.parts) == 3
    assert len(manifest.shards) == 4
    assert manifest.records == 42


def test_publishing_again_changes_nothing(folders: Folders) -> None:
    parts = make_parts(folders.store)
    first = folders.publish(parts)
    path = folders.folder(first) / "manifest.json"
    before = (path.stat().st_ino, path.stat().st_mtime_ns, contents(folders.root))
    again = folders.publish(parts, code_revision="later")
    assert again == first
    assert (path.stat().st_ino, path.stat().st_mtime_ns, contents(folders.root)) == before


def test_a_version_is_current_while_it_is_whole_and_latest(folders: Folders) -> None:
    first = folders.publish(make_parts(folders.store))
    assert is_current(folders.root, "cooking", first.id)
    second = folders.publish(make_parts(folders.store, "abd"))
    assert not is_current(folders.root, "cooking", first.id)
    assert is_current(folders.root, "cooking", second.id)
    tamper(folders.folder(second) / "part-train-0000.parquet")
    assert not is_current(folders.root, "cooking", second.id)
    assert not is_current(folders.root, "cooking", "ds-000000000000")


def test_latest_follows_what_was_published_last(folders: Folders) -> None:
    first = folders.publish(make_parts(folders.store))
    second = folders.publish(make_parts(folders.store, "abd"))
    other = folders.publish(make_parts(folders.store, "abd"), slug="food", options={"label_ids": [37]})
    assert (folders.root / "cooking" / "latest").resolve() == folders.folder(second).resolve()
    assert str((folders.root / "latest").readlink()) == f"food/{other.id}"
    folders.publish(make_parts(folders.store))
    assert str((folders.root / "cooking" / "latest").readlink()) == first.id
    assert str((folders.root / "latest").readlink()) == f"cooking/{first.id}"


def tamper(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["tampered", "missing-part", "missing-manifest", "edited-manifest", "extra-part"])
def test_a_damaged_version_is_repaired(folders: Folders, what: str) -> None:
    parts = make_parts(folders.store)
    manifest = folders.publish(parts)
    folder, whole = folders.folder(manifest), contents(folders.root)
    part = folder / "part-train-0001.parquet"
    match what:
        case "tampered":
            tamper(part)
        case "missing-part":
            part.unlink()
        case "missing-manifest":
            (folder / "manifest.json").unlink()
        case "edited-manifest":
            edit_manifest(folder, rows=31)
        case "extra-part":
            (folder / "part-train-0009.parquet").write_bytes(part.read_bytes())
    assert contents(folders.root) != whole
    assert folders.publish(parts) == manifest
    assert contents(folders.root) == whole


def test_a_note_beside_the_parts_is_left_alone(folders: Folders) -> None:
    parts = make_parts(folders.store)
    note = folders.folder(folders.publish(parts)) / "notes.txt"
    note.write_text("mine")
    folders.publish(parts)
    assert note.read_text() == "mine"


def test_what_a_dead_publisher_left_is_swept(folders: Folders) -> None:
    leftovers = [folders.root / ".latest.1-aa.tmp", folders.root / "cooking" / ".ds-0123456789ab.1-aa.tmp"]
    leftovers[1].mkdir(parents=True)
    (leftovers[1] / "part-train-0000.parquet").write_bytes(b"half")
    leftovers[0].symlink_to("nowhere")
    folders.publish(make_parts(folders.store))
    assert not [path for path in leftovers if path.is_symlink() or path.exists()]


def test_a_part_of_the_store_that_is_damaged(folders: Folders) -> None:
    parts = make_parts(folders.store)
    tamper(folders.store / parts[1].path)
    message = r"^Part .*/parts/trainab\.parquet is not what was filtered: its SHA-256 is .* Delete it and run the same"
    with pytest.raises(DamagedDatasetError, match=message):
        folders.publish(parts)
    assert contents(folders.root) == {}


def test_a_part_that_the_store_has_lost(folders: Folders) -> None:
    parts = make_parts(folders.store)
    (folders.store / parts[0].path).unlink()
    with pytest.raises(DamagedDatasetError, match=r"trainaa\.parquet is not what was filtered: there is no such file"):
        folders.publish(parts)


def test_a_root_that_cannot_be_written(folders: Folders) -> None:
    parts = make_parts(folders.store)
    folders.root.write_text("a file, not a folder")
    message = (
        r"^Dataset cooking/ds-.{12} cannot be written: File exists\. See that .*/datasets is writable and has space"
    )
    with pytest.raises(DatasetError, match=message):
        folders.publish(parts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"slug": "../out"}, r"^'\.\./out' cannot be the name of a slug", id="slug-with-path"),
        pytest.param({"slug": ""}, r"^'' cannot be the name of a slug", id="empty-slug"),
        pytest.param({"slug": "latest"}, r"^'latest' cannot be the name of a slug", id="slug-of-the-pointer"),
        pytest.param({"splits": {"a/b": "video/train"}}, r"^'a/b' cannot be the name of a split", id="split-with-path"),
        pytest.param(
            {"splits": {"train": "video/train", "more": "video/train"}},
            r"^Two splits cannot be the same partition: ",
            id="partition-twice",
        ),
        pytest.param(
            {"splits": {"train": "video/train"}},
            r"^Part parts/validateac\.parquet is of partition 'video/validate', splits are \{'train': 'video/train'\}",
            id="partition-of-no-split",
        ),
    ],
)
def test_names_that_are_refused(folders: Folders, changes: dict, message: str) -> None:
    parts = make_parts(folders.store)
    with pytest.raises(DatasetError, match=message):
        folders.publish(parts, **changes)
    assert not folders.root.exists()


@pytest.mark.parametrize(
    "path", ["../outside.parquet", "/etc/passwd", "parts/../../outside.parquet", "link/outside.parquet"]
)
def test_a_part_outside_the_store_is_refused(folders: Folders, path: str) -> None:
    part = make_part(folders.store, ["trainaa.tfrecord"])
    (folders.store.parent / "outside.parquet").write_bytes((folders.store / part.path).read_bytes())
    (folders.store / "link").symlink_to(folders.store.parent)
    with pytest.raises(DatasetError, match=rf"^'{re.escape(path)}' cannot be the name of a part"):
        folders.publish([part.model_copy(update={"path": path})])


@pytest.mark.parametrize("name", ["../trainaa.tfrecord", ".hidden", "a/b", "", "a" * 200])
def test_a_shard_s_name_that_is_none_is_refused(folders: Folders, name: str) -> None:
    part = make_part(folders.store, ["trainaa.tfrecord"])
    shards = (part.shards[0].model_copy(update={"name": name}),)
    with pytest.raises(DatasetError, match=rf"^'{re.escape(name)}' cannot be the name of a shard"):
        folders.publish([part.model_copy(update={"shards": shards})])


def test_a_shard_in_two_parts_is_refused(folders: Folders) -> None:
    one = make_part(folders.store, ["trainaa.tfrecord"])
    two = make_part(folders.store, ["trainaa.tfrecord", "trainab.tfrecord"])
    with pytest.raises(DatasetError, match=r"^Shard video/train/trainaa\.tfrecord is in 2 parts"):
        folders.publish([one, two])


def test_rows_that_its_shards_do_not_add_up_to_are_refused(folders: Folders) -> None:
    part = make_part(folders.store, ["trainaa.tfrecord"])
    with pytest.raises(DatasetError, match=r"^Part parts/trainaa\.parquet has 13 rows, but its shards gave 12$"):
        folders.publish([part.model_copy(update={"rows": 13})])


def test_a_version_without_a_match_is_refused(folders: Folders) -> None:
    empty = make_part(folders.store, ["trainaz.tfrecord"], rows=0)
    message = r"^None of the 3 videos in 1 shards has the labels asked for\. Take more shards with `--limit`"
    with pytest.raises(DatasetError, match=message):
        folders.publish([empty])
