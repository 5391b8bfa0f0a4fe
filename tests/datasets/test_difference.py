"""What one dataset version has that another has not."""

from tasks.datasets.catalogue import Change, difference, open_dataset
from tasks.datasets.manifest import Dataset
from tests.datasets.made import Folders, make_part, make_parts


def opened(folders: Folders, ref: str) -> Dataset:
    return open_dataset(folders.root, ref)


def test_a_version_does_not_differ_from_itself(dataset: Dataset) -> None:
    same = difference(dataset, dataset)
    assert (same.shards_gained, same.shards_lost, same.shards_changed, same.labels) == ((), (), (), ())
    assert same.options == {}
    assert (same.rows.gain, same.matches.gain, same.records.gain) == (0, 0, 0)


def test_shards_gained_and_lost(folders: Folders) -> None:
    old = opened(folders, folders.publish(make_parts(folders.store, "ab")).id)
    new = opened(folders, folders.publish(make_parts(folders.store, "bde")).id)
    change = difference(old, new)
    assert (change.before, change.after) == (f"cooking/{old.manifest.id}", f"cooking/{new.manifest.id}")
    assert change.shards_gained == ("video/train/trainad.tfrecord", "video/train/trainae.tfrecord")
    assert change.shards_lost == ("video/train/trainaa.tfrecord",)
    assert change.shards_changed == ()
    assert change.rows == Change(before=30, after=42)
    assert change.matches == Change(before=20, after=28)
    assert change.records == Change(before=39, after=54)
    assert [(label.name, label.count.before, label.count.after) for label in change.labels] == [
        ("Cooking", 20, 28),
        ("Dish", 10, 14),
        ("Food", 10, 14),
    ]
    assert [label.count.gain for label in difference(new, old).labels] == [-8, -4, -4]


def test_a_shard_that_was_published_anew(folders: Folders) -> None:
    part = make_part(folders.store, ["trainaa.tfrecord"])
    old = opened(folders, folders.publish([part]).id)
    shards = (part.shards[0].model_copy(update={"md5": "0" * 32}),)
    new = opened(folders, folders.publish([part.model_copy(update={"shards": shards})]).id)
    assert difference(old, new).shards_changed == ("video/train/trainaa.tfrecord",)


def test_options_that_differ(folders: Folders) -> None:
    parts = make_parts(folders.store)
    old = opened(folders, folders.publish(parts, options={"label_ids": [22], "background": 2, "match": "any"}).id)
    options = {"label_ids": [22], "background": "all", "match": "any", "exclude_ids": [0]}
    new = opened(folders, folders.publish(parts, options=options, filter_version=2).id)
    changed = {name: (option.before, option.after) for name, option in difference(old, new).options.items()}
    assert changed == {"background": (2, "all"), "exclude_ids": (None, [0]), "filter_version": (1, 2)}


def test_splits_that_differ(folders: Folders) -> None:
    old = opened(folders, folders.publish(make_parts(folders.store)).id)
    train_only = folders.publish(make_parts(folders.store, validate=""), splits={"train": "video/train"})
    assert list(difference(old, opened(folders, train_only.id)).options) == ["splits"]
