"""A finished training on the disk, from its last epoch until MLflow has it.

MLflow may be away for a moment, or for a night, while the training of hours is done: it is logged again with back-off,
and what could not be logged is found by the next run of the same training, which trains nothing.
"""

import json
import logging
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.train import EpochRecord, TrainingResult
from tasks.contracts.errors import ModelError, TrackingAwayError
from tasks.contracts.files import write_text

FOLDER = "kept"  # below the store's folder
RECORD_NAME = "training.json"  # written last: with it, the others are whole
PATIENCE_S = 120.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class KeptTraining:
    """The place of one training: of a dataset version and a config."""

    folder: Path

    @classmethod
    def of(cls, store: TrackingStore, key: str) -> "KeptTraining":
        """Return the place of the training with this cache key."""
        return cls(store.folder / FOLDER / key)

    def save(self, result: TrainingResult) -> None:
        """Write the training."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        result.classifier.save(self.folder)
        record = {
            "history": [asdict(epoch) for epoch in result.history],
            "metrics": dict(result.metrics),
            "seconds": result.seconds,
            "best_epoch": result.best_epoch,
            "name": secrets.token_hex(8),
        }
        write_text(self.folder / RECORD_NAME, json.dumps(record))

    def load(self) -> TrainingResult | None:
        """Return the training, if it is there and whole."""
        try:
            record = json.loads((self.folder / RECORD_NAME).read_bytes())
            return TrainingResult(
                classifier=FittedClassifier.load(self.folder),
                history=tuple(EpochRecord(**epoch) for epoch in record["history"]),
                metrics=record["metrics"],
                seconds=record["seconds"],
                best_epoch=record["best_epoch"],
            )
        except (OSError, ValueError, KeyError, TypeError, ModelError):
            return None

    @property
    def name(self) -> str:
        """What names the training that is kept here, and no other."""
        return str(json.loads((self.folder / RECORD_NAME).read_bytes())["name"])

    def remove(self) -> None:
        """Delete the training: MLflow has it."""
        shutil.rmtree(self.folder, ignore_errors=True)


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
