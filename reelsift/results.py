"""What the functions of the package return: answers about videos, dataset versions and trainings, for notebooks."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from tasks.contracts.errors import OutputError
from tasks.contracts.files import file_digest, locked
from tasks.contracts.media import (
    LABELS_NAME,
    LABELS_TABLE_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    LabelScore,
    LabelSegment,
    LabelsManifest,
    ManifestT,
    ModelLabels,
    ObjectsManifest,
    ObjectTrack,
    Shot,
    VideoOutcome,
    told,
)
from tasks.contracts.text import html_table

if TYPE_CHECKING:
    import pandas as pd

    from conf.settings import Settings
    from reelsift.found import VideoClips, VideoShots
    from tasks.contracts.datasets import DatasetManifest
    from tasks.datasets.catalogue import Difference
    from tasks.datasets.manifest import Dataset
    from tasks.tracking.candidate import Candidate
    from tasks.tracking.comparison import Comparison
    from tasks.tracking.promotion import Promotion
    from tasks.tracking.store import TrackingStore

FRAME = '<iframe srcdoc="{page}" sandbox="allow-scripts" style="width:100%;height:{height}px;border:0"></iframe>'
FRAME_HEIGHT = 720  # pixels
SHOWN_LABELS = 10  # of a dataset version, in a notebook


@dataclass(frozen=True, repr=False)
class VideoAnswer(Generic[ManifestT]):
    """What was found in one video, and the folder that holds the whole answer."""

    manifest: ManifestT
    folder: Path
    outcome: VideoOutcome

    def __repr__(self) -> str:
        """Say in words what was found."""
        return f"<{type(self).__name__} {self.title!r}: {self.said}>"

    @property
    def said(self) -> str:
        """What was found, in words."""
        return str(self.outcome.answer)

    @property
    def source(self) -> str:
        """The source as it was named."""
        return self.outcome.source

    @property
    def title(self) -> str:
        """The title of the video, or the name of its file."""
        return self.manifest.video.title

    @property
    def identity(self) -> str:
        """Digest of content, model and options: equal means the same answer."""
        return self.manifest.identity

    @property
    def report(self) -> Path:
        """The page that shows the answer in a browser."""
        return Path(str(self.outcome.report))

    page = report

    def _table(self, name: str) -> "pd.DataFrame":
        import pyarrow.parquet as pq

        with locked(self.folder):
            self._check_is_there(name)
            return pq.read_table(self.folder / name).to_pandas()

    def _check_is_there(self, name: str) -> None:
        """Refuse to read the files of another answer: a folder holds one, and later options replace it."""
        path = self.folder / name
        if not path.is_file() or file_digest(path) != self.manifest.files.get(name):
            raise OutputError(
                f"{path} is not of this answer any more: it was deleted, or the video was worked on again with other "
                "options. Call the function again, or give each set of options a folder of its own by `out`."
            )

    def _repr_html_(self) -> str:
        """Show the report within a notebook, with its pictures and copies in it."""
        from tasks.reports.video_report import embedded_report

        self._check_is_there(LABELS_TABLE_NAME if isinstance(self.manifest, LabelsManifest) else OBJECTS_TABLE_NAME)
        return FRAME.format(page=escape(embedded_report(self.folder)), height=FRAME_HEIGHT)


class LabelledVideo(VideoAnswer[LabelsManifest]):
    """The labels of one video over time; where several models were asked, those of the first, and `by_model` of all."""

    @property
    def by_model(self) -> dict[str, ModelLabels]:
        """What each model says, by its name: `top` and `segments`."""
        return self.manifest.by_model

    @property
    def chosen(self) -> str | None:
        """Which model was taken and why, where none was named."""
        return self.manifest.chosen

    @property
    def segments(self) -> tuple[LabelSegment, ...]:
        """From when to when each label holds, by start."""
        return self.manifest.segments

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The shots of the video, where they were asked for."""
        return self.manifest.shots.shots if self.manifest.shots else ()

    @property
    def top(self) -> tuple[LabelScore, ...]:
        """The labels of the video as a whole, best first."""
        return self.manifest.top

    def to_pandas(self) -> "pd.DataFrame":
        """Return `labels.parquet`: time_s, label_id, name, score and smoothed, a row a label of a sampled frame.

        Where several models were asked, the column `model` says which of them it is of.

        Raises:
            OutputError: the folder holds another answer by now.
        """
        return self._table(LABELS_TABLE_NAME)


class DetectedVideo(VideoAnswer[ObjectsManifest]):
    """The objects in one video, and when."""

    @property
    def tracks(self) -> tuple[ObjectTrack, ...]:
        """Each thing that was followed, by start."""
        return self.manifest.tracks

    @property
    def counts(self) -> dict[str, int]:
        """How many things of each class there are, the commonest first."""
        return dict(self.manifest.counts)

    def to_pandas(self) -> "pd.DataFrame":
        """Return `objects.parquet`: a row for each box of each frame that was looked at, with its track.

        Raises:
            OutputError: the folder holds another answer by now.
        """
        return self._table(OBJECTS_TABLE_NAME)


AnswerT = TypeVar("AnswerT", bound="LabelledVideo | DetectedVideo | VideoShots | VideoClips")


class VideoAnswers(Sequence[AnswerT]):
    """The answers about several videos, in the order of the sources; those that failed are in `failures`."""

    def __init__(self, answers: Iterable[AnswerT], failures: Iterable[VideoOutcome] = ()) -> None:
        self._answers = tuple(answers)
        self.failures = tuple(failures)

    @overload
    def __getitem__(self, index: int) -> AnswerT: ...
    @overload
    def __getitem__(self, index: slice) -> "VideoAnswers[AnswerT]": ...
    def __getitem__(self, index: int | slice) -> "AnswerT | VideoAnswers[AnswerT]":
        """Return one answer, or some without the failures."""
        return VideoAnswers(self._answers[index]) if isinstance(index, slice) else self._answers[index]

    def __len__(self) -> int:
        """Return how many videos have an answer."""
        return len(self._answers)

    def __repr__(self) -> str:
        """Name the videos and count the failures."""
        return f"VideoAnswers({[answer.title for answer in self]}, failures={len(self.failures)})"

    def to_pandas(self) -> "pd.DataFrame":
        """Return the tables of all videos below one another, with the column `source` in front."""
        import pandas as pd

        frames = [answer.to_pandas() for answer in self]
        for answer, frame in zip(self, frames, strict=True):
            frame.insert(0, "source", answer.source)
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"source": []})

    def _repr_html_(self) -> str:
        """Show a row for each video, and why the others failed; an item of the list shows its report."""
        rows = [(answer.title, answer.said, answer.page) for answer in self]
        return html_table(
            ("video", "answer", "look at"),
            [*rows, *((each.source, f"failed: {told(each)}", "") for each in self.failures)],
        )


def labelled(outcome: VideoOutcome) -> LabelledVideo:
    """Read what was written about a video that was labelled."""
    folder = _folder(outcome)
    with locked(folder):
        manifest = LabelsManifest.model_validate_json((folder / LABELS_NAME).read_bytes())
    return LabelledVideo(manifest, folder, outcome)


def detected(outcome: VideoOutcome) -> DetectedVideo:
    """Read what was written about a video in which objects were detected."""
    folder = _folder(outcome)
    with locked(folder):
        manifest = ObjectsManifest.model_validate_json((folder / OBJECTS_NAME).read_bytes())
    return DetectedVideo(manifest, folder, outcome)


def _folder(outcome: VideoOutcome) -> Path:
    if outcome.folder is None:
        raise OutputError(told(outcome))
    return outcome.folder


@dataclass(frozen=True, repr=False)
class DatasetVersion:
    """A published dataset version."""

    dataset: "Dataset"
    settings: "Settings"
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Name the version, and say how large it is."""
        return f"<DatasetVersion {self.reference}: {self.manifest.matches:,} matching of {len(self):,} videos>"

    @property
    def manifest(self) -> "DatasetManifest":
        """All that is known of the version: shards, labels, splits, counts, drops."""
        return self.dataset.manifest

    @property
    def id(self) -> str:
        """The id, such as `ds-0123456789ab`, which follows from shards and options alone."""
        return self.manifest.id

    @property
    def reference(self) -> str:
        """What names exactly this version: `slug/id`."""
        return self.manifest.reference

    @property
    def folder(self) -> Path:
        """The folder with the manifest and the Parquet files."""
        return self.dataset.folder

    def __len__(self) -> int:
        """Return how many rows there are, background included."""
        return self.manifest.rows

    def to_pandas(self, split: str | None = None, *, features: bool = False) -> "pd.DataFrame":
        """Return the videos of a split, or of all: video_id, labels, shard, is_match and split.

        `features` adds a column for each modality, e.g. mean_rgb and mean_audio, four bytes a value. A version that
        holds frames has frame_count and segments as well, and `features` adds rgb and audio, uint8 (frames, size).

        Raises:
            DatasetError: the version has no such split.
            DamagedDatasetError: a part is missing, or differs from its digest.
        """
        import pyarrow as pa

        from tasks.contracts.columns import FRAME_LISTS
        from tasks.datasets.folders import in_use
        from tasks.datasets.frames import frame_arrays
        from tasks.datasets.load import column_types, read_batches
        from tasks.datasets.manifest import parts_checked

        space, level = self.manifest.space, self.manifest.level
        left_out = set[str]() if features else {*space.slices, *FRAME_LISTS}
        types = {name: kind for name, kind in column_types(space, level).items() if name not in left_out}
        fields = types | {"shard": pa.string()}
        schema = pa.schema([*fields.items(), ("split", pa.string())])
        tables = []
        with in_use(self.folder), parts_checked(self.dataset, split):
            for part in self.dataset.parts(split):
                for batch in read_batches(self.folder / part.name, list(types), space=space, level=level):
                    arrays = [batch.column(name).cast(kind) for name, kind in fields.items()]
                    tables.append(
                        pa.table([*arrays, pa.array([part.split] * batch.num_rows, pa.string())], schema=schema)
                    )
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        held = [name for name in FRAME_LISTS if name in types]
        frame = table.drop_columns(held).to_pandas()
        for name in held:
            frame.insert(list(schema.names).index(name), name, frame_arrays(table, name))
        return frame

    def means(self) -> "DatasetVersion":
        """Publish the version of whole videos that the means of this one's frames make, and return it.

        Raises:
            DatasetError: this one holds no frames.
            DamagedDatasetError: a part is missing, or differs from its digest.
        """
        from tasks.contracts.progress import Silent, listener
        from tasks.datasets.stored import publish_means

        paths = self.settings.paths
        means, _ = publish_means(
            self.dataset,
            root=paths.datasets,
            store=paths.parts,
            storage=self.settings.storage,
            progress=listener() or Silent(),
        )
        return DatasetVersion(means, self.settings)

    def diff(self, other: "DatasetVersion | str") -> "Difference":
        """Return what changed from this version to another one: shards, rows, options and label counts.

        Raises:
            UnknownDatasetError: there is no version of that name.
        """
        from tasks.datasets.catalogue import difference

        return difference(self.dataset, other.dataset if isinstance(other, DatasetVersion) else self._opened(other))

    def _opened(self, reference: str) -> "Dataset":
        from tasks.datasets.stored import open_anywhere

        return open_anywhere(self.settings.paths.datasets, reference, self.settings.storage)

    def _repr_html_(self) -> str:
        """Show the figures and the commonest labels."""
        from tasks.datasets.caveats import is_imported

        found = self.manifest
        head = (
            f"{found.rows:,} of {found.records:,} videos of {len(found.label_counts):,} "
            f"{'labels' if 'extracted_from' in found.options else 'classes'}"
            if is_imported(found.options)
            else f"{found.matches:,} matching videos of {found.records:,} records in {len(found.shards):,} shards"
        )
        labels = [(each.name, *(each.by_split.get(split, 0) for split in found.splits)) for each in found.label_counts]
        table = html_table(("label", *found.splits), labels[:SHOWN_LABELS])
        return f"<p><b>{escape(self.reference)}</b>: {escape(head)}</p>{table}"


@dataclass(frozen=True, repr=False)
class Training:
    """The candidates that were trained on a dataset version."""

    dataset: DatasetVersion
    candidates: tuple["Candidate", ...]
    store: "TrackingStore"

    def __repr__(self) -> str:
        """Name the candidates."""
        return f"<Training {', '.join(f'{each.reference} ({each.kind})' for each in self.candidates)}>"

    @cached_property
    def comparison(self) -> "Comparison":
        """The candidates and the champion, judged on the same videos and labels, the best by GAP first."""
        from tasks.classifier.splits import frozen_split
        from tasks.tracking.comparison import compare

        return compare(
            self.store,
            frozen_split(self.dataset.dataset),
            dataset_id=self.dataset.id,
            name=self.dataset.manifest.slug,
            references=[candidate.reference for candidate in self.candidates],
            gate=self.dataset.settings.gate,
        )

    @property
    def best(self) -> "Candidate":
        """The candidate of the highest GAP over the labels that any of the compared models knows."""
        by_reference = {candidate.reference: candidate for candidate in self.candidates}
        return next(by_reference[row.model] for row in self.comparison.rows if row.model in by_reference)

    def promote(self, reference: str | None = None, *, force: str | None = None) -> "Promotion":
        """Make the best candidate, or the model named, the champion if the gate lets it, and say why or why not.

        `force` is the reason for promoting it whatever the gate says; it is kept with the model. Where a Prefect server
        runs (PREFECT_API_URL, or that of `reelsift up`), its automations hear of a new champion; it warns of one that
        does not answer.

        Raises:
            UnknownModelError: the reference names nothing.
            ModelError: a model cannot be read, or another machine changed the champion meanwhile.
        """
        from reelsift.session import announce
        from tasks.classifier.splits import frozen_split
        from tasks.tracking.promotion import nominate, promote

        row = nominate(self.store, reference or self.best.reference)
        promotion = promote(
            self.store,
            row.reference,
            frozen_split(self.dataset.dataset),
            dataset_id=self.dataset.id,
            gate=self.dataset.settings.gate,
            force=force,
        )
        self.__dict__.pop("comparison", None)  # which says who is the champion
        if promotion.promoted:
            announce(self.dataset.settings.paths, promotion, lambda text: warnings.warn(text, stacklevel=4))
        return promotion

    def to_pandas(self) -> "pd.DataFrame":
        """Return the comparison, a row for each model."""
        import pandas as pd

        return pd.DataFrame([row.model_dump(exclude={"experiment_id"}) for row in self.comparison.rows])

    def _repr_html_(self) -> str:
        """Show the comparison."""
        columns = ("model", "kind", "aliases", "gap", "map", "hit1", "perr", "coverage", "gain")
        rows = [tuple(map(_cell, (getattr(row, name) for name in columns))) for row in self.comparison.rows]
        return html_table(columns, rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str("" if value is None else value)
