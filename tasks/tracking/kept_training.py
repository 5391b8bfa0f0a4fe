"""A finished training on the disk, from its last epoch until MLflow has it.

MLflow may be away for a moment, or for a night, while the training of hours is done: it is logged again with back-off,
and what could not be logged is found by the next run of the same training, which trains nothing.
"""

import hashlib
import json
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.classifier.config import TrainConfig
from tasks.contracts.errors import ModelError, TrackingAwayError
from tasks.contracts.files import sealed, unsealed, write_text
from tasks.contracts.progress import Progress
from tasks.datasets.folders import in_use
from tasks.datasets.manifest import Dataset
from tasks.tracking.store import TrackingStore

if TYPE_CHECKING:
    from tasks.classifier.train import TrainingResult
    from tasks.tracking.candidate import Candidate

RECORD_NAME = "training.json"  # written last: with it, the others are whole
PATIENCE_S = 120.0
CLIPS_NAMED = 1000  # files of a dataset of a person's own that a model names: each label result has them again
MOST_JUDGED = 100_000  # videos that each epoch is judged on; the model that is kept, on all of them
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class KeptTraining:
    """The place of one training: of a dataset version and a config."""

    folder: Path

    @classmethod
    def of(cls, store: TrackingStore, key: str) -> "KeptTraining":
        """Return the place of the training with this cache key."""
        return cls(store.kept / key)

    def save(self, result: "TrainingResult", dataset: str) -> None:
        """Write the training, and which dataset version (slug/id) it learnt from."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        result.classifier.save(self.folder)
        record = {
            "history": [asdict(epoch) for epoch in result.history],
            "metrics": dict(result.metrics),
            "seconds": result.seconds,
            "best_epoch": result.best_epoch,
            "cost": asdict(result.cost) if result.cost else None,
            "name": secrets.token_hex(8),
            "dataset": dataset,
            "model": str(result.classifier.config.model),
        }
        write_text(self.folder / RECORD_NAME, sealed(json.dumps(record)))

    def load(self) -> "TrainingResult | None":
        """Return the training, if it is there and whole; that somebody asked for it is noted."""
        # Imported here: what only looks at trainings needs no torch.
        from tasks.classifier.fitted import FittedClassifier  # noqa: PLC0415
        from tasks.classifier.train import EpochRecord, TrainingCost, TrainingResult  # noqa: PLC0415

        try:
            record = json.loads(unsealed((self.folder / RECORD_NAME).read_bytes()))
            (self.folder / RECORD_NAME).touch()
            return TrainingResult(
                classifier=FittedClassifier.load(self.folder),
                history=tuple(EpochRecord(**epoch) for epoch in record["history"]),
                metrics=record["metrics"],
                seconds=record["seconds"],
                best_epoch=record["best_epoch"],
                cost=TrainingCost(**record["cost"]) if record.get("cost") else None,
            )
        except (OSError, ValueError, KeyError, TypeError, ModelError):
            return None

    @property
    def record(self) -> Mapping[str, Any]:
        """What is noted of the training: `name`, `dataset`, `model` and its figures; nothing where it is not whole."""
        try:
            record = json.loads(unsealed((self.folder / RECORD_NAME).read_bytes()))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    @property
    def name(self) -> str:
        """What names the training that is kept here, and no other."""
        return str(self.record["name"])

    def remove(self) -> None:
        """Delete the training: MLflow has it."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class CandidateNote:
    """Which candidate a training became: the same training is not done again while MLflow has its model."""

    path: Path

    @classmethod
    def of(cls, store: TrackingStore, key: str) -> "CandidateNote":
        """Return the place of the note of the training with this cache key."""
        return cls(store.notes / f"{key}.json")

    def write(self, candidate: "Candidate", store: TrackingStore) -> None:
        """Note a candidate, and which store has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        noted = {"store": store_mark(store), "candidate": json.loads(candidate.model_dump_json())}
        write_text(self.path, sealed(json.dumps(noted)))

    def read(self) -> "Candidate | None":
        """Return the candidate, if one is noted and the note is whole; that somebody asked for it is noted."""
        from tasks.tracking.candidate import Candidate  # noqa: PLC0415 - as above

        try:
            candidate = Candidate.model_validate(self.content["candidate"])
            self.path.touch()
        except (OSError, ValueError, KeyError):
            return None
        return candidate

    @property
    def content(self) -> Mapping[str, Any]:
        """What is noted: `store` and `candidate`; nothing where the note is damaged."""
        try:
            content = json.loads(unsealed(self.path.read_bytes()))
        except (OSError, ValueError):
            return {}
        if not isinstance(content, dict):
            return {}
        return content if "candidate" in content else {"candidate": content}  # as an earlier release wrote it


def store_mark(store: TrackingStore) -> str:
    """Return what tells a store from others: its address may hold a password, and is not written anywhere."""
    return hashlib.sha256(_address(store).encode()).hexdigest()[:16]


def _address(store: TrackingStore) -> str:
    """Return where a store is; a home's own database counts as such, wherever the home is."""
    is_own = store.sqlite_path is not None and store.sqlite_path.parent == store.folder
    return "home" if is_own else store.uri


def patiently(action: Callable[[], ResultT]) -> ResultT:
    """Do what needs MLflow; while it is away, try again with back-off.

    Raises:
        TrackingAwayError: it is still away after `PATIENCE_S` seconds.
    """
    until_s, wait_s = time.monotonic() + PATIENCE_S, FIRST_WAIT_S
    while True:
        try:
            return action()
        except TrackingAwayError as error:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise
            if wait_s == FIRST_WAIT_S:
                logging.getLogger("reelsift").warning("%s Trying again for up to %.0f s.", error, left_s)
            time.sleep(min(wait_s, left_s))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


FIT_CACHE_VERSION = 1  # raise by hand when the same config trains to something else


def training_key(version: str, config: TrainConfig, store: TrackingStore) -> str:
    """Return `yt8m-fit-<version>-<digest>` of the version (slug/id), the config and the store that keeps the model.

    The slug counts: the model is registered under it.
    """
    content = f"{version}\n{config.model_dump_json()}\n{_address(store)}"
    return f"yt8m-fit-{FIT_CACHE_VERSION}-{hashlib.sha256(content.encode()).hexdigest()}"


def train_candidate(
    dataset: Dataset,
    config: TrainConfig,
    store: TrackingStore,
    *,
    progress: Progress,
    flow_run: tuple[str, str | None] | None = None,
) -> "Candidate":
    """Train on the train split of a version, judge on its validate split, log to MLflow, register.

    `flow_run` is the id and the page of Prefect's run that trains, where one does.

    Raises:
        TrainingError: the dataset holds too little to learn from, or the loss became NaN or infinite.
        DatasetError: the model looks at the moments of videos, and the version does not have them.
        TrackingAwayError: MLflow does not answer; what was trained is kept, and logged by the next run.
        TrackingError: MLflow's store cannot be used.
    """
    # Imported here: a run whose candidates are all there needs neither torch nor mlflow, 5 s of imports.
    from tasks.classifier.splits import frozen_split, training_splits  # noqa: PLC0415
    from tasks.classifier.train import fit  # noqa: PLC0415
    from tasks.datasets.moments import require_moments  # noqa: PLC0415
    from tasks.tracking.candidate import StartedBy, log_candidate  # noqa: PLC0415

    kept = KeptTraining.of(store, training_key(dataset.manifest.reference, config, store))
    # Until a model is registered that refers to the version, and MLflow has the training.
    with in_use(dataset.folder), in_use(kept.folder):
        result, validate = kept.load(), None
        if result is None:
            if config.model.is_over_time:
                require_moments(dataset, config.model)
            train, validate = training_splits(dataset, MOST_JUDGED)
            manifest = dataset.manifest
            result = fit(
                train,
                validate,
                label_names={label.index: label.name for label in manifest.label_counts},
                target_label_ids=() if manifest.is_whole_vocabulary else manifest.label_ids,
                config=config,
                dataset_id=manifest.id,
                progress=progress,
            )
            del train  # which may fill the memory: what it is judged on in the end is read after it
            classifier = replace(result.classifier, clips=dataset.manifest.clips[:CLIPS_NAMED])
            result = replace(result, classifier=classifier)
            kept.save(result, dataset.manifest.reference)
        if validate is None or len(validate) >= MOST_JUDGED:
            validate = frozen_split(dataset)
        started_by = StartedBy(flow_run_id=flow_run[0], flow_run_url=flow_run[1]) if flow_run else None
        log = partial(log_candidate, store, result, dataset, validate, started_by=started_by, training=kept.name)
        try:
            with in_use(kept.folder):  # as it is now
                candidate = patiently(log)
        except TrackingAwayError as error:
            raise TrackingAwayError(
                f"{error} The trained model is kept: the same command logs it once MLflow answers, and trains nothing."
            ) from error
        kept.remove()
        return candidate
