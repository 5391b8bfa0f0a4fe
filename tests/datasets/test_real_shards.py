"""Shards as people have them: compressed, empty, of frames, of another release, twice; checked with TensorFlow."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.classifier.splits import all_videos, frozen_split, training_splits
from tasks.contracts.errors import DamagedShardError, DatasetError, VocabularyError
from tasks.datasets.caveats import caveats_of
from tasks.datasets.load import load_videos
from tasks.datasets.manifest import Dataset
from tasks.features.picture_network import late_tensorflow
from tasks.records.synthetic import encode_example, write_shard
from tests.support.built import build

SHARD = "trainaa.tfrecord"
TRAIN, VALIDATE = "video/train", "video/validate"


def examples(path: Path, compression: str = "") -> Iterator[tuple[str, list[int], list[float]]]:
    """Read id, labels and mean_rgb of each record as TensorFlow does."""
    tf: Any = late_tensorflow()
    for raw in tf.data.TFRecordDataset(str(path), compression_type=compression).as_numpy_iterator():
        feature = tf.train.Example.FromString(raw).features.feature
        video_id = (feature["id"].bytes_list.value or feature["video_id"].bytes_list.value)[0].decode()
        yield video_id, list(feature["labels"].int64_list.value), list(feature["mean_rgb"].float_list.value)


def payloads(names: str, *, label: int = 22, length: int = 4) -> list[bytes]:
    """A record for each letter; the letter alone decides the id and the features."""
    made = []
    for name in names:
        rng = np.random.default_rng(ord(name))
        rgb, audio = rng.standard_normal(1024, np.float32), rng.standard_normal(128, np.float32)
        made.append(
            encode_example((name * length).encode(), [label], rgb, audio, id_key="id" if length == 4 else "video_id")
        )
    return made


@pytest.fixture
def bag(tmp_path: Path, synthetic_mirror: Path) -> Path:
    """A folder of shards, empty at first but for the vocabulary of 2018."""
    folder = tmp_path / "bag"
    folder.mkdir()
    shutil.copy(synthetic_mirror / "youtube8m" / "csv" / "2" / "vocabulary.csv", folder)
    return folder


def ids(dataset: Dataset, split: str = "train") -> list[str]:
    return list(load_videos(dataset, split).video_ids)


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_shards_that_tensorflow_compressed_are_read(bag: Path, tmp_path: Path, compression: str) -> None:
    tf: Any = late_tensorflow()
    with tf.io.TFRecordWriter(str(bag / SHARD), compression) as writer:
        for payload in payloads("abcdefgh"):
            writer.write(payload)
    dataset = build(bag, tmp_path, "Cooking", partitions=(TRAIN,))
    right = list(examples(bag / SHARD, compression))
    videos = load_videos(dataset, "train")
    assert list(videos.video_ids) == [video_id for video_id, *_ in right]
    assert np.array_equal(videos.features[:, :1024], np.array([rgb for *_, rgb in right], np.float32))
    assert not dataset.manifest.drops


def test_a_real_compressed_shard_is_read(real_data: Path, bag: Path, tmp_path: Path) -> None:
    shutil.copy(real_data / "faults" / "data" / "gzin" / "train0000.tfrecord", bag)
    dataset = build(bag, tmp_path, "Cooking", partitions=(TRAIN,))
    right = list(examples(bag / "train0000.tfrecord", "GZIP"))
    assert ids(dataset) == [video_id for video_id, *_ in right]
    assert dataset.manifest.matches == sum(22 in labels for _, labels, _ in right) > 0


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "empty"])
def test_a_shard_without_all_its_bytes_is_damage_and_no_end(bag: Path, tmp_path: Path, is_cut: bool) -> None:
    tf: Any = late_tensorflow()
    write_shard(bag / "validateaa.tfrecord", payloads("xyz"))
    with tf.io.TFRecordWriter(str(bag / SHARD), "GZIP") as writer:
        for payload in payloads("abcdefghijklmnopqrst"):
            writer.write(payload)
    (bag / SHARD).write_bytes((bag / SHARD).read_bytes()[:-2000] if is_cut else b"")
    dataset = build(bag, tmp_path, "Cooking")
    assert ids(dataset, "validate") == ["xxxx", "yyyy", "zzzz"]
    damage = [each for shard in dataset.manifest.shards for each in shard.damage]
    assert {each.path for each in damage} == {f"{TRAIN}/{SHARD}"}
    assert damage[-1].detail == ("the compressed stream is cut off" if is_cut else "the file is empty")
    with pytest.raises(DamagedShardError, match=rf"{SHARD} is damaged at byte .*: the file "):
        build(bag, tmp_path / "strict", "Cooking", strict=True)


def test_a_real_empty_shard_is_damage(real_data: Path, bag: Path, tmp_path: Path) -> None:
    for path in (real_data / "faults" / "data" / "zero").iterdir():
        shutil.copy(path, bag)
    dataset = build(bag, tmp_path, "Game")
    right = list(examples(bag / "validate0000.tfrecord"))
    assert (dataset.manifest.records, dataset.manifest.matches) == (len(right), sum(0 in each[1] for each in right))


def of_frames(path: Path) -> None:
    """Write two videos as TensorFlow's own SequenceExample, of two frames each."""
    tf: Any = late_tensorflow()
    frame = tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(1024)]))
    labels = tf.train.Feature(int64_list=tf.train.Int64List(value=[22]))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in (b"aaaa", b"bbbb"):
            video_id = tf.train.Feature(bytes_list=tf.train.BytesList(value=[name]))
            context = tf.train.Features(feature={"id": video_id, "labels": labels})
            lists = tf.train.FeatureLists(feature_list={"rgb": tf.train.FeatureList(feature=[frame, frame])})
            writer.write(tf.train.SequenceExample(context=context, feature_lists=lists).SerializeToString())


@pytest.mark.parametrize("is_real", [True, False], ids=["real", "made"])
def test_where_nothing_matches_the_reasons_are_named(
    bag: Path, tmp_path: Path, is_real: bool, request: pytest.FixtureRequest
) -> None:
    if is_real:
        for path in (request.getfixturevalue("real_data") / "faults" / "data" / "frame").iterdir():
            shutil.copy(path, bag)
    else:
        of_frames(bag / SHARD)
        of_frames(bag / "validateaa.tfrecord")
    records = sum(1 for path in bag.glob("*.tfrecord") for _ in late_tensorflow().data.TFRecordDataset(str(path)))
    with pytest.raises(DatasetError, match=rf"^None of the {records} records in 2 shards is a match\. ") as caught:
        build(bag, tmp_path, "Cooking")
    assert f"Dropped: {records} missing-feature (they lack the features of whole videos" in str(caught.value)
    assert "frame level?" in str(caught.value)


@pytest.mark.parametrize("name", ["wangheda_2017_label_names.csv", "epiclabs_label_names_2018.csv"])
def test_label_names_beside_shards_of_2017_name_their_labels(real_data: Path, tmp_path: Path, name: str) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    for path in [*(real_data / "yt8m-2017").glob("validate*.tfrecord"), real_data / "faults" / "data" / name]:
        shutil.copy(path, bag)
    dataset = build(bag, tmp_path, "Cooking", partitions=(VALIDATE,))
    right = [each for path in sorted(bag.glob("*.tfrecord")) for each in examples(path)]
    assert dataset.manifest.label_ids == (26,)
    assert Counter(ids(dataset, "validate")) == Counter(video_id for video_id, *_ in right)
    assert dataset.manifest.matches == sum(26 in labels for _, labels, _ in right)
    assert caveats_of(dataset.manifest) == ()


def test_shards_of_2017_with_the_vocabulary_of_2018_are_warned_about(
    real_data: Path, bag: Path, tmp_path: Path
) -> None:
    for path in (real_data / "yt8m-2017").glob("validate*.tfrecord"):
        shutil.copy(path, bag)
    dataset = build(bag, tmp_path, "Cooking", partitions=(VALIDATE,))
    beyond, old = caveats_of(dataset.manifest)
    right = [each for path in sorted(bag.glob("*.tfrecord")) for each in examples(path)]
    too_large = sum(max(labels) >= 3862 for _, labels, _ in right)
    assert beyond.startswith(f"{too_large:,} records have labels beyond the 3,862")
    assert old.startswith(f"{len(right) - too_large:,} videos have ids of 11 characters")
    assert "22 is Nature and 26 Cooking in 2017" in old


def test_made_shards_of_either_release_are_told_from_the_other_vocabulary(bag: Path, tmp_path: Path) -> None:
    write_shard(bag / SHARD, [*payloads("abc", length=11), *payloads("d", label=4000, length=11)])
    beyond, old = caveats_of(build(bag, tmp_path, "Cooking", partitions=(TRAIN,)).manifest)
    assert beyond.startswith("1 records have labels beyond")
    assert old.startswith("3 videos have ids of 11 characters")

    (bag / "vocabulary.csv").write_text("label_id,label_name\r\n22,Nature\r\n26,Cooking\r\n4715,Pina Records\r\n")
    assert caveats_of(build(bag, tmp_path, "Nature", partitions=(TRAIN,)).manifest) == ()
    write_shard(bag / SHARD, payloads("abc"))
    (reverse,) = caveats_of(build(bag, tmp_path, "Nature", partitions=(TRAIN,)).manifest)
    assert reverse.startswith("3 videos have ids of 4 characters, as in the release of 2018")


def test_the_segments_own_vocabulary_is_read(real_data: Path, real_mirror: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    shutil.copy(min((real_mirror / "2" / "video" / "train").iterdir()), bag)
    shutil.copy(real_data / "faults" / "data" / "ceshine_segment_vocabulary.csv", bag)
    dataset = build(bag, tmp_path, "Food", partitions=(TRAIN,))
    (shard,) = bag.glob("*.tfrecord")
    assert dataset.manifest.label_ids == (11,)
    assert dataset.manifest.matches == sum(11 in labels for _, labels, _ in examples(shard))


def test_of_several_vocabularies_beside_the_shards_one_must_be_meant(bag: Path, tmp_path: Path) -> None:
    write_shard(bag / SHARD, payloads("abc", label=26))
    (bag / "label_names.csv").write_text("label_id,label_name\n26,Cooking\n")
    assert build(bag, tmp_path, "26", partitions=(TRAIN,)).manifest.slug != "cooking"  # vocabulary.csv is meant
    (bag / "vocabulary.csv").rename(bag / "labels_2018.csv")
    (bag / "notes.csv").write_text("a,b\n1,2\n")  # no vocabulary at all
    with pytest.raises(VocabularyError, match=r"several vocabularies: label_names\.csv, labels_2018\.csv\. Call"):
        build(bag, tmp_path, "Cooking", partitions=(TRAIN,))


def test_a_video_twice_is_counted_warned_about_and_not_judged_on(bag: Path, tmp_path: Path) -> None:
    write_shard(bag / SHARD, payloads("abcda"))
    write_shard(bag / "trainab.tfrecord", payloads("be"))
    write_shard(bag / "validateaa.tfrecord", payloads("cxyx"))
    dataset = build(bag, tmp_path, "Cooking")
    assert dataset.manifest.oddities is not None
    assert dataset.manifest.oddities.repeated == {"train": 2, "validate": 1}
    assert dataset.manifest.oddities.shared == 1
    assert len(caveats_of(dataset.manifest)) == 3
    train, validate = training_splits(dataset)
    assert [each[0] for each in train.video_ids] == list("abcde")
    assert [each[0] for each in validate.video_ids] == list("xy")
    assert np.array_equal(frozen_split(dataset).features, validate.features)
    few, one = training_splits(dataset, 1)
    assert (list(few.video_ids), list(one.video_ids)) == (list(train.video_ids), list(validate.video_ids[:1]))
    assert sorted(each[0] for each in all_videos(dataset).video_ids) == list("abcdexy")


def test_a_split_that_is_all_learnt_from_is_refused(bag: Path, tmp_path: Path) -> None:
    for name in (SHARD, "validateaa.tfrecord"):
        write_shard(bag / name, payloads("abcd"))
    dataset = build(bag, tmp_path, "Cooking")
    judged: Callable[[Dataset], object]
    for judged in (frozen_split, training_splits):
        with pytest.raises(
            DatasetError, match=r"^All 4 matching videos of the validate split .* are in its train split too"
        ):
            judged(dataset)


def test_real_shards_have_no_video_twice_and_their_manifest_says_nothing_of_it(
    real_mirror: Path, tmp_path: Path
) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    for split in ("train", "validate"):
        shutil.copy(min((real_mirror / "2" / "video" / split).iterdir()), bag)
    shutil.copy(real_mirror / "youtube8m" / "csv" / "2" / "vocabulary.csv", bag)
    dataset = build(bag, tmp_path, "Food")
    assert dataset.manifest.oddities is None
    assert "oddities" not in (dataset.folder / "manifest.json").read_text()
