"""Dataset versions, listed and named by reference."""

import os
import shutil
from pathlib import Path

import pytest

from tasks.contracts.datasets import DatasetManifest
from tasks.contracts.errors import DamagedDatasetError, DatasetError, UnknownDatasetError
from tasks.datasets.catalogue import list_datasets, open_dataset
from tasks.datasets.manifest import MANIFEST_NAME, Dataset, manifest_bytes, manifest_of, read_manifest
from tests.datasets.made import Folders, edit_manifest, make_parts


@pytest.fixture
def three(folders: Folders) -> list[DatasetManifest]:
    """Two versions of Cooking, then one of food, an hour apart."""
    manifests = [
        folders.publish(make_parts(folders.store)),
        folders.publish(make_parts(folders.store, "abd")),
        folders.publish(make_parts(folders.store), slug="food", options={"label_ids": [37]}),
    ]
    for hour, manifest in enumerate(manifests):
        os.utime(folders.folder(manifest) / MANIFEST_NAME, (hour * 3600, hour * 3600))
    return manifests


def test_the_newest_comes_first(folders: Folders, three: list[DatasetManifest]) -> None:
    entries = list_datasets(folders.root)
    assert [entry.id for entry in entries] == [manifest.id for manifest in three[::-1]]
    assert [entry.is_latest for entry in entries] == [True, False, False]
    assert entries[0].slug == "food"
    assert entries[0].published_at.isoformat() == "1970-01-01T02:00:00+00:00"
    assert (entries[1].rows, entries[1].matches, entries[1].shards) == (42, 28, 4)
    assert entries[1].size_bytes == sum(part.size_bytes for part in three[1].parts)


def test_nothing_is_listed_where_nothing_was_built(tmp_path: Path) -> None:
    assert list_datasets(tmp_path / "none") == []


def test_a_damaged_manifest_is_listed_with_what_is_wrong(folders: Folders, three: list[DatasetManifest]) -> None:
    (folders.folder(three[0]) / MANIFEST_NAME).unlink()
    (folders.folder(three[0]) / MANIFEST_NAME).write_text("{")
    broken = next(entry for entry in list_datasets(folders.root) if entry.id == three[0].id)
    assert broken.problem.startswith(
        f"Dataset cooking/{three[0].id} is damaged: manifest.json is not a manifest: JSON: "
    )


@pytest.mark.parametrize(
    ("ref", "which"),
    [
        pytest.param("latest", 2, id="latest"),
        pytest.param("cooking", 1, id="slug"),
        pytest.param("cooking/latest", 1, id="latest-of-slug"),
        pytest.param("{id0}", 0, id="id"),
        pytest.param("cooking/{id0}", 0, id="slug-and-id"),
        pytest.param(" {id2}/ ", 2, id="stray-slash"),
        pytest.param("{start1}", 1, id="beginning-of-an-id"),
        pytest.param("cooking/{start0}", 0, id="slug-and-beginning"),
        pytest.param("{digits1}", 1, id="without-ds"),
    ],
)
def test_open(folders: Folders, three: list[DatasetManifest], ref: str, which: int) -> None:
    named = {f"id{n}": manifest.id for n, manifest in enumerate(three)}
    named |= {f"start{n}": manifest.id[:9] for n, manifest in enumerate(three)}
    named |= {f"digits{n}": manifest.id[3:9] for n, manifest in enumerate(three)}
    dataset = open_dataset(folders.root, ref.format(**named))
    assert dataset == Dataset(three[which], folders.folder(three[which]))


@pytest.mark.parametrize("gone", ["pointer", "version"])
def test_latest_without_a_pointer_is_the_newest(folders: Folders, three: list[DatasetManifest], gone: str) -> None:
    if gone == "pointer":
        (folders.root / "latest").unlink()
        assert open_dataset(folders.root, "latest").manifest == three[2]
    else:
        shutil.rmtree(folders.folder(three[2]))
        assert open_dataset(folders.root, "latest").manifest == three[1]


@pytest.mark.parametrize("ref", ["ds-ffffffffffff", "kooking", "", "../cooking", "food/{id0}", "cooking/../food"])
def test_unknown(folders: Folders, three: list[DatasetManifest], ref: str) -> None:
    message = (
        r"^No dataset version '.*'\.( Did you mean '.+'\?)? "
        rf"There are: food/{three[2].id}, cooking/{three[1].id}, cooking/{three[0].id}\. "
        r"`reelsift dataset build --label NAME` makes another$"
    )
    with pytest.raises(UnknownDatasetError, match=message):
        open_dataset(folders.root, ref.format(id0=three[0].id))


def test_a_misspelt_name_is_suggested(folders: Folders, three: list[DatasetManifest]) -> None:
    with pytest.raises(UnknownDatasetError, match="Did you mean 'cooking'"):
        open_dataset(folders.root, "kooking")


def test_unknown_where_there_is_none(tmp_path: Path) -> None:
    message = r"^No dataset version 'latest': there is none at all\. `reelsift dataset build --label NAME` makes one$"
    with pytest.raises(UnknownDatasetError, match=message):
        open_dataset(tmp_path, "latest")


def test_a_beginning_of_several_ids_is_ambiguous(folders: Folders, three: list[DatasetManifest]) -> None:
    message = rf"^3 dataset versions begin with 'ds-': food/{three[2].id}, .*\. Name one of them$"
    with pytest.raises(UnknownDatasetError, match=message):
        open_dataset(folders.root, "ds-")


def test_an_id_under_two_slugs_is_any_of_them_while_their_parts_are_the_same(folders: Folders) -> None:
    parts = make_parts(folders.store)
    by_index, by_name = folders.publish(parts, slug="label-22"), folders.publish(parts)
    assert by_index.id == by_name.id
    for ref in (by_name.id, by_name.id[3:9]):
        assert open_dataset(folders.root, ref).manifest.parts == by_name.parts
    assert open_dataset(folders.root, by_index.reference).manifest == by_index
    edit_manifest(folders.folder(by_index), rows="many")  # one that cannot be read is not the one that is meant
    assert open_dataset(folders.root, by_name.id).manifest == by_name


def test_an_id_under_two_slugs_with_other_parts_asks_for_the_slug(folders: Folders) -> None:
    parts = make_parts(folders.store)
    one, other = folders.publish(parts, slug="label-22"), folders.publish(parts)
    changed = [part.model_dump(mode="json") | {"sha256": "0" * 64} for part in one.parts]
    edit_manifest(folders.folder(one), parts=changed)
    message = rf"^2 dataset versions are named '{one.id}': (label-22|cooking)/{one.id}, .*\. Name one of them$"
    with pytest.raises(UnknownDatasetError, match=message):
        open_dataset(folders.root, one.id)
    assert open_dataset(folders.root, other.reference).manifest == other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"rows": "many"}, r"manifest\.json is not a manifest: rows: Input should be", id="wrong-type"),
        pytest.param({"more": 1}, r"manifest\.json is not a manifest: more: Extra inputs", id="unknown-field"),
        pytest.param({"slug": "food"}, r"manifest\.json is that of food/ds-", id="other-slug"),
        pytest.param({"id": "ds-000000000000"}, r"manifest\.json is that of cooking/ds-000000000000", id="other-id"),
    ],
)
def test_a_manifest_that_cannot_be_trusted(dataset: Dataset, changes: dict, message: str) -> None:
    edit_manifest(dataset.folder, **changes)
    with pytest.raises(DamagedDatasetError, match=message) as caught:
        open_dataset(dataset.folder.parents[1], dataset.manifest.id)
    assert str(caught.value).startswith(f"Dataset cooking/{dataset.manifest.id} is damaged: ")
    assert str(caught.value).endswith("or `dataset import` or `extract` of the same videos, repairs it")


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "notes.parquet", "part-train-0000.parquet/x"])
def test_a_part_that_would_lead_out_of_the_folder(dataset: Dataset, name: str) -> None:
    part = dataset.manifest.parts[0].model_dump(mode="json") | {"name": name}
    edit_manifest(dataset.folder, parts=[part])
    with pytest.raises(DamagedDatasetError, match=r"names '.*' of split 'train' as a part"):
        read_manifest(dataset.folder)


def test_a_slug_is_checked_too(dataset: Dataset) -> None:
    odd = dataset.folder.parent.rename(dataset.folder.parents[1] / "Odd Name")
    edit_manifest(odd / dataset.folder.name, slug="Odd Name")
    with pytest.raises(DamagedDatasetError, match=r"'Odd Name' is not a slug"):
        read_manifest(odd / dataset.folder.name)


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(DamagedDatasetError, match=r"manifest\.json cannot be read: No such file or directory"):
        read_manifest(tmp_path)


def test_a_manifest_survives_its_own_bytes(dataset: Dataset) -> None:
    written = (dataset.folder / MANIFEST_NAME).read_bytes()
    assert manifest_bytes(manifest_of(written)) == written


def test_paths_of_a_split(dataset: Dataset) -> None:
    assert dataset.paths("validate") == [dataset.folder / "part-validate-0000.parquet"]
    assert len(dataset.paths()) == 3
    with pytest.raises(DatasetError, match=r"^Dataset ds-.{12} has no split 'test'\. It has: train, validate$"):
        dataset.paths("test")
