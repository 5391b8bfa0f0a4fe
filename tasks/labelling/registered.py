"""The labeller of a registered model: features of YouTube-8M each second, and a classifier trained on such."""

from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save

from tasks.classifier.fitted import WEIGHTS_NAME, FittedClassifier
from tasks.contracts.errors import FeatureSpaceError, ModelError
from tasks.contracts.features import YT8M
from tasks.contracts.media import ModelRecord, WeightsRecord
from tasks.contracts.progress import Progress
from tasks.features.extractor import Extractor, read_features
from tasks.features.yt8m import load_yt8m
from tasks.labelling.config import IMAGENET, LabelOptions
from tasks.labelling.scores import SecondScores
from tasks.tracking.loading import load_classifier
from tasks.tracking.registry import ModelRow, resolve
from tasks.tracking.store import TrackingStore
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore

RATE_HZ = 1.0  # features of YouTube-8M are of one frame and one stretch of sound each second


class RegisteredLabeller:
    """A classifier of the registry, with the networks that give it its features."""

    def __init__(self, row: ModelRow, classifier: FittedClassifier, extractor: Extractor) -> None:
        """Put them together.

        Raises:
            FeatureSpaceError: the classifier looks at features of another space than the extractor gives.
        """
        if classifier.space != YT8M:
            raise FeatureSpaceError(
                f"{row.reference} looks at features of the space {classifier.space.name!r}, and those of a video "
                f"are {YT8M.name!r}. Train a model on a dataset of this release, or label with `--model imagenet`."
            )
        self.classifier = classifier
        self.extractor = extractor
        self.label_ids, self.label_names = classifier.label_ids, classifier.label_names
        self.record = ModelRecord(
            name=row.reference,
            feature_space=classifier.space.name,
            weights=(*extractor.records, _weights_record(row, classifier)),
            dataset_id=classifier.dataset_id,
            run_id=row.run_id,
        )

    @classmethod
    def open(cls, reference: str, store: TrackingStore, weights: WeightsStore) -> "RegisteredLabeller":
        """Find the model, then the networks' weights, then load the classifier: what is quick to miss comes first.

        Raises:
            UnknownModelError, MissingWeightsError, FeatureSpaceError, ModelError, TrackingError: see `open_labeller`.
        """
        row = resolve(store, reference, others=[IMAGENET])
        extractor = load_yt8m(weights)
        return cls(row, load_classifier(store, row), extractor)

    def score(
        self, path: Path, bounds: MediaBounds, options: LabelOptions, progress: Progress | None = None
    ) -> SecondScores:
        """Score each second by its own features, and the video by their mean."""
        if options.rate_hz != RATE_HZ:
            raise ModelError(
                f"{self.record.name} looks at features of one frame a second, not {options.rate_hz:g}: leave `--fps` "
                f"at {RATE_HZ:g}, or label with `--model imagenet`."
            )
        features = read_features(path, bounds, self.extractor, progress)
        mean = features.mean()
        return SecondScores(
            times_s=features.times_s,
            scores=self._scores(features.per_second()),
            video_scores=self._scores(mean)[0],
            facts=features.facts,
            frames_read=features.frames_read,
            corrupt_frames=features.corrupt_frames,
            match_score=float(self.classifier.predict_match(mean)[0]) if self.classifier.has_match else None,
            is_silent=features.is_silent,
        )

    def _scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        # Sums of products of shares, as a mixture of experts gives, may pass 1 by a rounding.
        return np.clip(self.classifier.predict(features), 0, 1)


def _weights_record(row: ModelRow, classifier: FittedClassifier) -> WeightsRecord:
    """Name the classifier's weights by the digest of their file, which is written from the tensors alone."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.module.state_dict().items()}
    return WeightsRecord(name=row.reference, file_name=WEIGHTS_NAME, sha256=sha256(save(tensors)).hexdigest())
