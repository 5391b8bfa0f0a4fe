"""Small videos, classifiers of them, and their place in a registry."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.classifier.config import ModelKind, TrainConfig
from tasks.classifier.evaluate import Scores
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.models import build_model
from tasks.classifier.scoring import pairs_of_blocks
from tasks.classifier.train import TrainingResult, fit
from tasks.contracts.datasets import Cooccurrence, DatasetManifest, LabelCount
from tasks.contracts.features import YT8M
from tasks.datasets.load import Videos
from tasks.datasets.manifest import Dataset
from tasks.tracking.registry import (
    DATASET_TAG,
    EXPERIMENT_TAG,
    FEATURE_SPACE_TAG,
    KIND_TAG,
    OWN_GAP_TAG,
    OWN_MAP_TAG,
    SECONDS_TAG,
    ModelRow,
    resolve,
)
from tasks.tracking.store import TrackingStore

DATASET_ID = "ds-0123456789ab"


def untrained(seed: int = 0, labels: int = 3, kind: ModelKind = ModelKind.LOGISTIC) -> FittedClassifier:
    """A classifier of random weights for labels 0, 1, …"""
    torch.manual_seed(seed)
    config = TrainConfig(model=kind, seed=seed)
    names = tuple(f"label {index}" for index in range(labels))
    module = build_model(config, labels).eval()
    return FittedClassifier(module, tuple(range(labels)), names, config, DATASET_ID)


def registered(
    store: TrackingStore, name: str = "cooking", *, classifier: FittedClassifier | None = None, alias: str | None = None
) -> ModelRow:
    """A registered version of a classifier, with the tags that `log_candidate` would give it."""
    from tasks.tracking.client import connect
    from tasks.tracking.model import register_classifier

    client = connect(store)
    known = client.get_experiment_by_name(name)
    experiment_id = known.experiment_id if known else client.create_experiment(name, store.artifact_root)
    run_id = client.create_run(experiment_id).info.run_id
    tags = {KIND_TAG: "logistic", DATASET_TAG: DATASET_ID, EXPERIMENT_TAG: experiment_id}
    tags |= {OWN_GAP_TAG: "0.75", OWN_MAP_TAG: "0.25", SECONDS_TAG: "1.5"}
    chosen = classifier or untrained()
    tags |= {FEATURE_SPACE_TAG: chosen.space.name}
    version = register_classifier(client, chosen, run_id=run_id, name=name, tags=tags)
    if alias:
        client.set_registered_model_alias(name, alias, str(version))
    return resolve(store, f"{name}/{version}")


def made_up_videos(rows: int = 120, labels: int = 4, background: int = 0, seed: int = 0) -> Videos:
    """Videos whose labels can be told from their features; label 0 is in every match, the last are background."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((labels, YT8M.size), dtype=np.float32)
    is_match = np.arange(rows) < rows - background
    has = rng.random((rows, labels)) < 0.4
    has[:, 0] = is_match
    has[~is_match, -1] = True
    features = rng.standard_normal((rows, YT8M.size), dtype=np.float32) + 0.1 * has @ directions
    return Videos(
        video_ids=np.array([f"v{row:03d}" for row in range(rows)], np.object_),
        features=features.astype(np.float32),
        label_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(has.sum(axis=1))]),
        label_ids=np.nonzero(has)[1].astype(np.int32),
        is_match=is_match,
    )


def made_up_dataset(folder: Path, slug: str = "cooking") -> Dataset:
    """A dataset version of such videos, with a manifest and no files."""
    manifest = DatasetManifest(
        id=DATASET_ID,
        slug=slug,
        label_ids=(0,),
        label_names=("Cooking",),
        options={},
        filter_version=1,
        splits={"train": "video/train", "validate": "video/validate"},
        rows=240,
        matches=240,
        records=240,
        drops={},
        label_counts=tuple(
            LabelCount(index=index, name=f"label {index}", by_split={"train": 120 >> index}) for index in range(4)
        ),
        cooccurrence=Cooccurrence(label_ids=(0, 1), counts=((120, 60), (60, 60))),
        shards=(),
        parts=(),
        code_revision="test",
    )
    return Dataset(manifest, folder)


@functools.cache  # nobody changes it
def trained(
    seed: int = 0, *, epochs: int = 3, background: int = 0, kind: ModelKind = ModelKind.LOGISTIC
) -> TrainingResult:
    """A real but short training on such videos."""
    config = TrainConfig(
        model=kind, seed=seed, epochs=epochs, batch_size=32, device="cpu", use_background=background > 0
    )
    return fit(
        made_up_videos(background=background),
        made_up_videos(background=background, seed=1),
        label_names={index: f"label {index}" for index in range(4)},
        target_label_ids=(0,),
        config=config,
        dataset_id=DATASET_ID,
    )


def scores_from(label_ids: tuple[int, ...], blocks: Sequence[NDArray[np.float32]], matching: Videos) -> Scores:
    """Return what is kept of scores of matching videos, in blocks."""
    return Scores(label_ids, tuple(map(str, label_ids)), pairs_of_blocks(blocks, matching, label_ids))
