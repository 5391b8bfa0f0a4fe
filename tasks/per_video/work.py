"""What is to be done to videos, as flows, tasks and commands hand it on, and opened as a job for each video.

An answer that is in the object store is taken from there rather than made, and put there once made. Layout:

    videos/<folder>/labels-<identity>/   one bundle an answer, never changed; so objects-<identity>, features-<identity>
"""

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from tasks.contracts.errors import DamagedStorageError, ReelsiftError
from tasks.contracts.files import locked, staged
from tasks.contracts.media import (
    FEATURES,
    LABELS,
    OBJECTS,
    DetectorRecord,
    FeaturesManifest,
    FetchedVideo,
    LabelsManifest,
    ManifestT,
    ModelRecord,
    ObjectsManifest,
    VideoOutcome,
)
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import LongAlone, Progress, Silent
from tasks.detection.boxes import Detector
from tasks.detection.config import AUTO, DetectOptions
from tasks.detection.detect import detect_objects, identity_of_objects
from tasks.detection.detector import choose_detector, open_detector
from tasks.features.extractor import Extractor
from tasks.features.spaces import open_extractor
from tasks.labelling.config import LabelOptions
from tasks.labelling.label import identity_of_labels, label_video
from tasks.labelling.labeller import open_labeller
from tasks.labelling.scores import Labeller
from tasks.per_video.extraction import (
    content_name,
    extract_features,
    features_folder,
    features_in_words,
    identity_of_features,
)
from tasks.per_video.fetching import Workplace
from tasks.per_video.jobs import Job, Lookup, in_one, recall
from tasks.reports.words import labels_in_words, objects_in_words
from tasks.storage.bundles import find_bundle, pull_bundle, push_bundle
from tasks.storage.object_store import ObjectStore, open_store
from tasks.tracking.store import TrackingStore
from tasks.video.config import ShotOptions
from tasks.video.decoding import Watch
from tasks.video.fetch import find_video
from tasks.weights.store import WeightsStore

PREFIX = "videos"
IDENTITY_DIGITS = 16
LONG_S = 120.0  # of a video whose features take more than a few seconds on a CPU
VIDEOS_AT_ONCE = 3  # some are decoded while the network looks at others: of short ones, no core waits


class LabelWork(FrozenModel):
    """Label videos with one model or several, and one set of options."""

    verb: Literal["label"] = "label"
    models: tuple[str, ...]  # each as `tasks.labelling.labeller.open_labeller` takes it
    store: TrackingStore
    options: LabelOptions
    chosen: str | None = None  # which model was taken and why, where that was left to us
    left_out: tuple[str, ...] = ()  # champions that could not be taken, and why
    shots: ShotOptions | None = None  # with the detector that was chosen; None: shots are not asked for

    def open(self, weights: WeightsStore) -> tuple[Labeller, ...]:
        """Open the models.

        Raises:
            UnknownModelError, MissingWeightsError, FeatureSpaceError, ModelError, TrackingError: as `open_labeller`.
        """
        return tuple(open_labeller(model, store=self.store, weights=weights) for model in self.models)

    def job(
        self, labellers: tuple[Labeller, ...], workplace: Workplace, progress: Progress | None = None
    ) -> Job[LabelsManifest]:
        """Return the job of labelling with open models."""
        first, *others = labellers
        return Job(
            kind=LABELS,
            out=workplace.out,
            record=first.record,
            others=tuple(each.record for each in others),
            bounds=workplace.bounds,
            identify=lambda video: identity_of_labels(video, first, self.options, others, self.shots),
            find=LABELS.find,
            in_words=labels_in_words,
            make=lambda video, folder, watch: label_video(
                video,
                first,
                self.options,
                workplace.bounds,
                folder,
                progress,
                others=others,
                chosen=self.chosen,
                shots=self.shots,
                watch=watch,
            ),
        )

    @property
    def said(self) -> dict[str, Any]:
        """What an answer about many videos says of the models: their names, and why they were taken."""
        return {
            "model": in_one(self.models),
            "models": list(self.models),
            "why": self.chosen,
            "left_out": list(self.left_out),
        }


class DetectWork(FrozenModel):
    """Find the objects in videos with one detector and one set of options."""

    verb: Literal["detect"] = "detect"
    detector: str
    speed: str
    options: DetectOptions

    def open(self, weights: WeightsStore) -> Detector:
        """Open the detector.

        Raises:
            DetectorError, MissingWeightsError, WeightsError: as `open_detector`.
        """
        return open_detector(self.detector, speed=self.speed, weights=weights, min_score=self.options.min_score)

    def job(self, detector: Detector, workplace: Workplace, progress: Progress | None = None) -> Job[ObjectsManifest]:
        """Return the job of detecting with an open detector."""
        lookup = self.lookup(detector.record, workplace)
        chosen = self.said(workplace.weights).get("why")
        return Job(
            **{field.name: getattr(lookup, field.name) for field in fields(lookup)},
            make=lambda video, folder, watch: detect_objects(
                video, detector, self.options, workplace.bounds, folder, progress, chosen=chosen, watch=watch
            ),
        )

    def said(self, weights: WeightsStore) -> dict[str, str | None]:
        """What an answer about many videos says of `auto`: why it took what it did, and what would be better."""
        if self.detector != AUTO:
            return {}
        choice = choose_detector(weights)
        return {"why": choice.why, "better": choice.better}

    def lookup(self, record: DetectorRecord, workplace: Workplace) -> Lookup[ObjectsManifest]:
        """Return what tells whether a video was looked at by this detector; opens none."""
        return Lookup(
            kind=OBJECTS,
            out=workplace.out,
            record=record,
            bounds=workplace.bounds,
            identify=lambda video: identity_of_objects(video, record, self.options),
            find=OBJECTS.find,
            in_words=objects_in_words,
        )


class ExtractWork(FrozenModel):
    """Compute the features of videos in one space, second by second."""

    verb: Literal["extract"] = "extract"
    features: str  # as `tasks.features.spaces.open_extractor` takes it

    def open(self, weights: WeightsStore) -> Extractor:
        """Open the extractor.

        Raises:
            ConfigError, MissingWeightsError, WeightsError: as `open_extractor`.
        """
        return open_extractor(self.features, weights)

    def job(
        self, extractor: Extractor, workplace: Workplace, progress: Progress | None = None
    ) -> Job[FeaturesManifest]:
        """Return the job of extracting, which tells how far it is within a video that is long."""
        space, told = extractor.space, LongAlone(progress or Silent(), LONG_S)
        return Job(
            kind=FEATURES,
            out=features_folder(workplace.out, space),
            record=ModelRecord(name=space.name, feature_space=space.name, weights=extractor.records),
            identify=lambda video: identity_of_features(video.sha256, space),
            find=FEATURES.find,
            in_words=features_in_words,
            folder_name=lambda video: content_name(video.sha256),
            make=lambda video, folder, _watch: extract_features(video, extractor, workplace.bounds, folder, told),
            at_once=VIDEOS_AT_ONCE,
        )


Work = LabelWork | DetectWork | ExtractWork


def open_job(
    work: Work,
    workplace: Workplace,
    progress: Progress | None = None,
    *,
    opened: Any = None,  # noqa: ANN401
) -> Job[Any]:
    """Open a model or detector, and return the job of it, with the object store behind the folders.

    Args:
        work: what is to be done.
        workplace: folders and configs.
        progress: reports each video.
        opened: what `work.open` returned, where that is kept.

    Raises:
        ReelsiftError: the model, the detector or the storage cannot be used, which is raised before any video is worked
            on.
    """
    model: Any = opened or work.open(workplace.weights)
    job: Job[Any] = work.job(model, workplace, progress)
    return _through_storage(job, open_store(workplace.storage), progress) if workplace.storage else job


def known_outcome(source: str, record: DetectorRecord, work: DetectWork, workplace: Workplace) -> VideoOutcome | None:
    """Return what is there of a video; whatever is wrong with it, the run that works on it will say."""
    try:
        video = find_video(source, workplace.fetched, workplace.fetch)
        return recall(work.lookup(record, workplace), workplace.partly(video)) if video else None
    except ReelsiftError:
        return None


def _through_storage(job: Job[ManifestT], store: ObjectStore, progress: Progress | None) -> Job[ManifestT]:
    """Return the job with a store behind its folders."""

    def find(folder: Path, identity: str) -> ManifestT | None:
        found = job.find(folder, identity)
        if found:
            _keep(job, store, folder, found, progress)
            return found
        return job.find(folder, identity) if _brought(job, store, folder, identity, progress) else None

    def make(video: FetchedVideo, folder: Path, watch: Watch) -> ManifestT:
        made = job.make(video, folder, watch)
        _keep(job, store, folder, made, progress)
        return made

    return replace(job, find=find, make=make)


def _key(job: Job[ManifestT], folder: Path, identity: str) -> str:
    return f"{PREFIX}/{folder.name}/{Path(job.kind.manifest_name).stem}-{identity[:IDENTITY_DIGITS]}"


def _keep(job: Job[ManifestT], store: ObjectStore, folder: Path, made: ManifestT, progress: Progress | None) -> None:
    """Put an answer into the store, unless it is there, or another process has put its own in the place of it."""
    key = _key(job, folder, made.identity)
    if find_bundle(store, key) is not None:
        return
    with locked(folder):
        if job.find(folder, made.identity) == made:
            files = {name: folder / name for name in (*made.files, job.kind.manifest_name)}
            push_bundle(store, key, files, expected=made.files, progress=progress)


def _brought(job: Job[ManifestT], store: ObjectStore, folder: Path, identity: str, progress: Progress | None) -> bool:
    """Fetch an answer into its folder, in the place of another; say whether it was there and whole."""
    key = _key(job, folder, identity)
    if find_bundle(store, key) is None:
        return False
    try:
        with staged(folder, files=job.kind.file_names, manifest=job.kind.manifest_name) as stage:
            pull_bundle(store, key, stage, progress)
            _check_whole(stage / job.kind.manifest_name, key)
    except DamagedStorageError as damage:
        logging.getLogger("reelsift").warning("%s", damage)
        return False
    return True


def _check_whole(manifest: Path, key: str) -> None:
    """Let nothing take the place of what is there unless it has a manifest.

    Raises:
        DamagedStorageError: somebody deleted the bundle in between, or it is no answer.
    """
    if not manifest.is_file():
        raise DamagedStorageError(f"{key} in the storage is gone, or is no answer.")
