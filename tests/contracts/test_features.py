"""Feature spaces: what they are, and that no two are taken for each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.classifier.config import ModelKind, TrainConfig
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.scoring import score_matches
from tasks.classifier.train import fit
from tasks.contracts.errors import DamagedDatasetError, FeatureSpaceError, ModelError
from tasks.contracts.features import YT8M, FeatureSpace, Modality, SpaceWeights
from tasks.contracts.files import file_digest
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.export import export
from tasks.datasets.load import Videos, load_videos
from tasks.datasets.manifest import verify
from tests.datasets.made import Folders, make_part, rows_of

SMALL = FeatureSpace(
    name="small",
    modalities=(Modality(name="picture", size=6), Modality(name="sound", size=2)),
    extractor="made up",
    weights=(SpaceWeights(name="net", sha256="0" * 64),),
)


def small_videos(count: int = 60, seed: int = 0) -> Videos:
    """Videos of two labels; one feature of small values tells them apart, beside large ones that say nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.standard_normal((count, 8)) * [1000, 1000, 1, 1, 1, 1, 50, 0] + [500, -500, 0, 0, 0, 0, 0, 7]
    features[:, 5] = labels + 0.1 * rng.standard_normal(count)
    return Videos(
        video_ids=np.array([f"v{row}" for row in range(count)], np.object_),
        features=features.astype(np.float32),
        label_offsets=np.arange(count + 1),
        label_ids=labels.astype(np.int32),
        is_match=np.ones(count, np.bool_),
        space=SMALL,
    )


def test_modalities_stand_side_by_side() -> None:
    assert (YT8M.size, YT8M.slices) == (1152, {"mean_rgb": slice(0, 1024), "mean_audio": slice(1024, 1152)})
    assert (SMALL.size, SMALL.slices) == (8, {"picture": slice(0, 6), "sound": slice(6, 8)})
    with pytest.raises(ValidationError, match="two modalities have one name"):
        FeatureSpace(name="twice", modalities=SMALL.modalities[:1] * 2, extractor="made up")


def test_spaces_are_told_apart_by_name_and_by_what_they_are() -> None:
    SMALL.check_same(SMALL.model_copy(), who="The model", what="the dataset")
    with pytest.raises(FeatureSpaceError, match="The model has the feature space 'small', and the dataset 'yt8m-video"):
        SMALL.check_same(YT8M, who="The model", what="the dataset")
    other = SMALL.model_copy(update={"weights": (), "rate_hz": 2.0})
    with pytest.raises(FeatureSpaceError, match=r"both name .* 'small', but they differ in rate_hz, weights"):
        SMALL.check_same(other, who="The model", what="the dataset")


@pytest.mark.parametrize("kind", [kind for kind in ModelKind if not kind.is_over_time])
def test_a_classifier_takes_sizes_and_scale_from_its_dataset(tmp_path: Path, kind: ModelKind) -> None:
    config = TrainConfig(model=kind, epochs=30, batch_size=8, hidden_size=8, learning_rate=0.05, device="cpu")
    names = {0: "even", 1: "odd"}
    result = fit(
        small_videos(),
        small_videos(seed=1),
        label_names=names,
        target_label_ids=(0, 1),
        config=config,
        dataset_id="ds-0123456789ab",
    )
    assert result.metrics["hit_at_1"] == 1
    result.classifier.save(tmp_path)
    loaded = FittedClassifier.load(tmp_path)
    assert loaded.space == SMALL
    held_out = small_videos(seed=2)
    assert np.array_equal(loaded.predict(held_out.features), result.classifier.predict(held_out.features))
    assert (loaded.predict(held_out.features).argmax(axis=1) == held_out.label_ids).all()
    with pytest.raises(ModelError, match=r"must have shape \(n, 8\), got \(1, 1152\): 6 of picture, then 2 of sound"):
        loaded.predict(np.zeros((1, 1152), np.float32))
    stranger = replace(held_out, space=SMALL.model_copy(update={"name": "elsewhere"}))
    with pytest.raises(FeatureSpaceError, match="'small', and the dataset 'elsewhere'"):
        score_matches(loaded, stranger)


def test_standard_scaling_is_that_of_the_training_videos() -> None:
    from torch import from_numpy

    from tasks.classifier.models import Standard

    features = small_videos().features
    scaling = Standard(8)
    scaling.learn(from_numpy(features))
    expected = (features - features.mean(axis=0, dtype=np.float64)) / features.std(axis=0, dtype=np.float64).clip(1e-9)
    expected[:, 7] = 0  # it never differs
    assert scaling(from_numpy(features)).numpy() * np.sqrt(8) == pytest.approx(expected, abs=1e-4)
    far = scaling(from_numpy(np.full((1, 8), 1e9, np.float32)))
    assert far.abs().max().item() * np.sqrt(8) == pytest.approx(10)


def test_a_dataset_of_another_space_is_an_ordinary_version(tmp_path: Path) -> None:
    folders = Folders(store=tmp_path / "store", root=tmp_path / "datasets")
    part = make_part(folders.store, ["trainaa.tfrecord"])
    path = folders.store / part.path
    features = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)
    columns = {
        "video_id": pa.array(rows_of("trainaa.tfrecord", 12)["video_id"]),
        "labels": pa.array(rows_of("trainaa.tfrecord", 12)["labels"], pa.list_(pa.int32())),
        **{
            name: pa.FixedSizeListArray.from_arrays(pa.array(features[:, where].ravel()), features[:, where].shape[1])
            for name, where in SMALL.slices.items()
        },
        "shard": pa.array(["trainaa.tfrecord"] * 12).dictionary_encode(),
        "is_match": pa.array(rows_of("trainaa.tfrecord", 12)["is_match"]),
    }
    pq.write_table(pa.table(columns), path)
    part = part.model_copy(update={"sha256": file_digest(path), "size_bytes": path.stat().st_size})
    splits = {"train": "video/train"}
    manifest = folders.publish([part], splits=splits, space=SMALL, options={"features": "small"})
    dataset = open_dataset(folders.root, manifest.reference)
    assert dataset.manifest.space == SMALL
    assert verify(dataset) == []
    videos = load_videos(dataset, "train")
    assert videos.space == SMALL
    np.testing.assert_array_equal(videos.features, features)
    with np.load(export(dataset, tmp_path / "out.npz", "npz")) as arrays:
        np.testing.assert_array_equal(arrays["features"], features)
    exported = pq.read_table(export(dataset, tmp_path / "out.parquet", "parquet"))
    assert exported.column_names[:4] == ["video_id", "labels", "picture", "sound"]
    lie = folders.publish([part], splits=splits, options={"features": "yt8m"})
    with pytest.raises(DamagedDatasetError, match="no column 'mean_rgb'"):
        load_videos(open_dataset(folders.root, lie.reference), "train")
