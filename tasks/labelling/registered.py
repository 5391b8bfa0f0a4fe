"""The labeller of a registered model: the features of each moment in its own space, and a classifier of such."""

from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors.torch import save

from tasks.classifier.fitted import WEIGHTS_NAME, FittedClassifier
from tasks.contracts.errors import FeatureSpaceError, MissingWeightsError, ModelError
from tasks.contracts.media import ModelRecord, TimeRange, WeightsRecord
from tasks.contracts.progress import Progress
from tasks.features.extractor import Extractor, VideoFeatures, read_features
from tasks.features.spaces import full_name, open_extractor, space_names
from tasks.labelling.config import IMAGENET, LabelOptions
from tasks.labelling.scores import SecondScores
from tasks.tracking.loading import load_classifier
from tasks.tracking.registry import ModelRow, resolve
from tasks.tracking.store import TrackingStore
from tasks.video.config import MediaBounds
from tasks.video.decoding import Watch
from tasks.weights.store import WeightsStore


class RegisteredLabeller:
    """A classifier of the registry, with the networks that give it its features."""

    def __init__(self, row: ModelRow, classifier: FittedClassifier, extractor: Extractor) -> None:
        """Put them together.

        Raises:
            FeatureSpaceError: the classifier looks at features of another space than the extractor gives.
        """
        found = extractor.space
        if classifier.space.name != found.name:
            raise FeatureSpaceError(
                f"{row.reference} looks at features of the space {classifier.space.name!r}, and those of a video "
                f"are {found.name!r}. Train a model on a dataset of this space, or label with `--model imagenet`."
            )
        classifier.space.check_same(found, who=row.reference, what="the extractor here")
        self.classifier = classifier
        self.extractor = extractor
        self.label_ids, self.label_names = classifier.label_ids, classifier.label_names
        self.record = ModelRecord(
            name=row.reference,
            feature_space=classifier.space.name,
            weights=(*extractor.records, _weights_record(row, classifier)),
            dataset_id=classifier.dataset_id,
            run_id=row.run_id,
            clips=classifier.clips,
        )

    @classmethod
    def open(cls, reference: str, store: TrackingStore, weights: WeightsStore) -> "RegisteredLabeller":
        """Find the model, then load the classifier, which names its feature space, then the networks of that space.

        Raises:
            UnknownModelError, MissingWeightsError, FeatureSpaceError, ModelError, TrackingError: see `open_labeller`.
            ConfigError: its feature space is one that was configured, and what was configured does not fit.
        """
        row = resolve(store, reference, others=[IMAGENET])
        classifier = load_classifier(store, row)
        return cls(row, classifier, _extractor_for(row, classifier, weights))

    def score(
        self,
        path: Path,
        bounds: MediaBounds,
        options: LabelOptions,
        progress: Progress | None = None,
        *,
        part: TimeRange | None = None,
        watch: Watch | None = None,
    ) -> SecondScores:
        """Score each moment by its own features, or over time, and the video by their mean, or by all of them."""
        extractor = self.extractor_at(options.rate_hz)
        features = read_features(path, bounds, extractor, progress, part=part, watch=watch)
        return self.score_features(features, is_causal=not options.centred)

    def extractor_at(self, rate_hz: float) -> Extractor:
        """Return what computes the features.

        Raises:
            ModelError: they are of another number of frames a second.
        """
        own_hz = self.extractor.space.rate_hz
        if rate_hz != own_hz:
            frames = "one frame" if own_hz == 1 else f"{own_hz:g} frames"
            is_default = own_hz == LabelOptions().rate_hz
            advice = f"leave `--fps` at {own_hz:g}" if is_default else f"give `--fps {own_hz:g}`"
            raise ModelError(
                f"{self.record.name} looks at features of {frames} a second, not {rate_hz:g}: {advice}, or "
                "label with `--model imagenet`."
            )
        return self.extractor

    def score_features(self, features: VideoFeatures, *, is_causal: bool = False) -> SecondScores:
        """Score each moment by its own features, or over time, and the video by their mean, or by all of them."""
        is_over_time, moments = self.classifier.is_over_time, features.per_second()
        if is_over_time:
            scores = self.classifier.over_time(moments, is_causal=is_causal)
            whole = moments[None, : features.mean_moments]
        else:
            scores, whole = self.classifier.predict(moments), features.mean()
        return SecondScores(
            times_s=features.times_s,
            # Sums of products of shares, as a mixture of experts gives, may pass 1 by a rounding.
            scores=np.clip(scores, 0, 1),
            video_scores=np.clip(self.classifier.predict(whole)[0], 0, 1),
            facts=features.facts,
            frames_read=features.frames_read,
            corrupt_frames=features.corrupt_frames,
            match_score=float(self.classifier.predict_match(whole)[0]) if self.classifier.has_match else None,
            is_silent=features.is_silent,
            is_over_time=is_over_time,
        )


def _extractor_for(row: ModelRow, classifier: FittedClassifier, weights: WeightsStore) -> Extractor:
    """Open what computes the features that a classifier looks at."""
    name = classifier.space.name
    if name not in {full_name(each, weights) for each in space_names(weights)}:
        raise FeatureSpaceError(
            f"{row.reference} looks at features of the space {name!r}, which is not known here. Describe it under "
            f"[feature_spaces.{name}] of a file for `--config`, as where the model was trained, or label with "
            "`--model imagenet`."
        )
    try:
        return open_extractor(name, weights)
    except MissingWeightsError as error:
        raise MissingWeightsError(f"{row.reference} cannot label here. {error}") from error


def _weights_record(row: ModelRow, classifier: FittedClassifier) -> WeightsRecord:
    """Name the classifier's weights by the digest of their file, which is written from the tensors alone."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.module.state_dict().items()}
    return WeightsRecord(name=row.reference, file_name=WEIGHTS_NAME, sha256=sha256(save(tensors)).hexdigest())
