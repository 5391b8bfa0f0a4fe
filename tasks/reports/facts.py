"""What a report shows of a video: its manifests, ids, digests, versions and options."""

import json
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue, ValidationError

from tasks.contracts.errors import ReportError
from tasks.contracts.media import (
    LABELS_NAME,
    LABELS_TABLE_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    LabelsManifest,
    ModelLabels,
    ModelRecord,
    ObjectsManifest,
    Smoothing,
    VideoRecord,
    WeightsRecord,
)
from tasks.contracts.model import FrozenModel, first_fault
from tasks.reports.words import link, size, timestamp

DIGITS = 12  # of a file's digest, where there are many
SHOWN_DIGESTS = 20  # of more, the list starts folded
SMOOTHED: dict[Smoothing, str] = {
    "centred mean": "smoothed over samples before and after (a centred mean)",
    "causal mean": "smoothed over samples before (a causal mean): labels lag",
    "none": "as they are, not smoothed",
    "model": "the model's own over time",
}
SCORES = pa.schema({"time_s": pa.float64(), "label_id": pa.int32(), "smoothed": pa.float64()})
SCORES_OF_SEVERAL = SCORES.append(pa.field("model", pa.string()))

ManifestT = TypeVar("ManifestT", bound=FrozenModel)


@dataclass(frozen=True)
class VideoFolder:
    """What lies in the folder of one video; at least one of the two manifests is there."""

    folder: Path
    labels: LabelsManifest | None
    objects: ObjectsManifest | None

    @property
    def video(self) -> VideoRecord:
        """Return what is known of the video."""
        known = self.labels or self.objects
        assert known
        return known.video


def is_video_folder(folder: Path) -> bool:
    """Say whether a folder has a manifest of one video."""
    return any((folder / name).is_file() for name in (LABELS_NAME, OBJECTS_NAME))


def read_folder(folder: Path) -> VideoFolder:
    """Read the manifests, and see that every file that they name is there.

    Raises `ReportError` where there is nothing, where a manifest is damaged, names what lies outside of the folder
    or belongs to another video, or where a file is missing.
    """
    labels = _manifest(folder / LABELS_NAME, LabelsManifest, "label")
    objects = _manifest(folder / OBJECTS_NAME, ObjectsManifest, "detect")
    if not labels and not objects:
        raise ReportError(
            f"{folder} holds neither {LABELS_NAME} nor {OBJECTS_NAME}: nothing to report on. "
            "Make them with `reelsift label SOURCE` or `reelsift detect SOURCE`"
        )
    if labels and objects and labels.video.sha256 != objects.video.sha256:
        raise ReportError(
            f"{folder}: {LABELS_NAME} and {OBJECTS_NAME} are of different videos "
            f"({labels.video.sha256[:12]} and {objects.video.sha256[:12]}); delete one of them"
        )
    if labels:
        _see(folder, LABELS_TABLE_NAME, LABELS_NAME, "label")
        _see(folder, labels.annotated_video, LABELS_NAME, "label")
    if objects:
        _see(folder, OBJECTS_TABLE_NAME, OBJECTS_NAME, "detect")
        for name in (objects.annotated, *(track.thumbnail for track in objects.tracks)):
            _see(folder, name, OBJECTS_NAME, "detect")
    return VideoFolder(folder, labels, objects)


def read_scores(folder: Path, *, of_several: bool = False) -> pa.Table:
    """Read times, labels and smoothed scores of labels.parquet, and of several models which one each row is of.

    Raises `ReportError` where it is no such table.
    """
    path, wanted = folder / LABELS_TABLE_NAME, SCORES_OF_SEVERAL if of_several else SCORES
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=wanted.names).select(wanted.names).cast(wanted).drop_null()
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ReportError(f"{path} is no table of labels ({reason}); {remake('label')}") from error


def read_beside(first: VideoFolder, folder: Path) -> VideoFolder:
    """Read another result of the same video, to be shown on the page of the first one.

    Its models and its detector have names that those of the first have not, and its pictures are named from there.
    Raises `ReportError` as `read_folder`, and where it is of another video, or of another part of it.
    """
    other = read_folder(folder)
    if folder.resolve() == first.folder.resolve():
        raise ReportError(f"{folder} is that result itself: name another one of the same video")
    if (other.video.sha256, other.video.part) != (first.video.sha256, first.video.part):
        raise ReportError(
            f"{folder} is of another video than {first.folder}, or of another part of it: results are shown side by "
            "side of one video"
        )
    labels, objects = other.labels, other.objects
    if first.labels and labels:
        answers = [_told_apart(answer, first.labels.by_model, folder) for answer in labels.by_model.values()]
        own = {name: getattr(answers[0], name) for name in ModelLabels.model_fields}
        labels = labels.model_copy(update={**own, "others": tuple(answers[1:])})
    if first.objects and objects:
        detector = objects.detector.model_copy(
            update={"name": _other_name(objects.detector.name, [first.objects.detector.name], folder)}
        )
        objects = objects.model_copy(update={"detector": detector})
    if objects:
        way = os.path.relpath(folder.resolve(), first.folder.resolve())
        tracks = [
            track.model_copy(update={"thumbnail": f"{way}/{track.thumbnail}"}) if track.thumbnail else track
            for track in objects.tracks
        ]
        objects = objects.model_copy(update={"tracks": tuple(tracks)})
    return VideoFolder(folder, labels, objects)


def _told_apart(answer: ModelLabels, taken: Container[str], folder: Path) -> ModelLabels:
    name = _other_name(answer.model.name, taken, folder)
    return answer.model_copy(update={"model": answer.model.model_copy(update={"name": name})})


def _other_name(name: str, taken: Container[str], folder: Path) -> str:
    """Return a name, with that of the folder of all results behind it where it is another one's as well."""
    return f"{name} ({folder.resolve().parent.name})" if name in taken else name


def joined_labels(results: Sequence[VideoFolder]) -> LabelsManifest | None:
    """Return the labels of all models of these results as those of one."""
    labels = [found.labels for found in results if found.labels]
    if len(labels) < 2:
        return labels[0] if labels else None
    others = [*labels[0].others, *(answer for each in labels[1:] for answer in each.by_model.values())]
    return labels[0].model_copy(update={"others": tuple(others)})


def joined_scores(results: Sequence[VideoFolder]) -> pa.Table | None:
    """Read the scores of the labels of all results, with the name of the model where there are several.

    Raises `ReportError` as `read_scores`.
    """
    with_labels = [(found.folder, found.labels) for found in results if found.labels]
    tables = [read_scores(folder, of_several=bool(labels.others)) for folder, labels in with_labels]
    if len(tables) < 2:
        return tables[0] if tables else None
    named = list[pa.Table]()
    for table, (_, labels) in zip(tables, with_labels, strict=True):
        names = list(labels.by_model)
        written = dict.fromkeys(table["model"].to_pylist()) if labels.others else [None]
        known = dict(zip(written, names, strict=False))  # in the order in which they were asked
        column = [known.get(name) for name in table["model"].to_pylist()] if labels.others else names * table.num_rows
        plain = table.select(SCORES.names)
        named.append(plain.append_column("model", pa.array(column, pa.string())).cast(SCORES_OF_SEVERAL))
    return pa.concat_tables(named)


def _manifest(path: Path, kind: type[ManifestT], command: str) -> ManifestT | None:
    """Return the manifest, or None where there is no such file."""
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        fault = first_fault(error) if isinstance(error, ValidationError) else error.strerror or error
        raise ReportError(f"{path} is damaged ({fault}); {remake(command)}") from error


def _see(folder: Path, name: str | None, manifest_name: str, command: str) -> None:
    """Raise where a manifest names a file that is outside of its folder, or is not there."""
    if name is None:
        return
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name:
        raise ReportError(f"{folder / manifest_name} names {name!r}, which lies outside of its folder")
    if not (folder / relative).is_file():
        raise ReportError(f"{folder / relative} is missing, but {manifest_name} names it; {remake(command)}")


def remake(command: str) -> str:
    """Say how to make an answer again that is damaged."""
    return f"delete the manifest and run `reelsift {command}` on the video again"


@dataclass(frozen=True)
class Fact:
    """One thing that is known."""

    term: str
    value: str
    is_code: bool = False  # ids and digests are set in a fixed width, and may break anywhere
    link: str | None = None
    is_long: bool = False  # many ids: folded, and never cut


@dataclass(frozen=True)
class Facts:
    """What is known of one thing."""

    title: str
    facts: list[Fact]


@dataclass(frozen=True)
class Stage:
    """One stage of the work."""

    name: str
    seconds: float
    share: float  # of the work of all stages, in percent


def behind(found: VideoFolder) -> list[Facts]:
    """Return what is known of the video, of the model and of the detector."""
    sections = [Facts("The video", list(_of_video(found.video)))]
    if found.labels:
        sections += _of_labels(found.labels)
    if found.objects:
        sections.append(Facts("The objects", list(_of_objects(found.objects))))
    return sections


def warnings(found: VideoFolder) -> list[str]:
    """Return what a reader must know before trusting the answer."""
    said = []
    answers = found.labels.by_model if found.labels else {}
    for name, answer in answers.items():
        if answer.is_silent:
            whose = f"the labels of {name}" if len(answers) > 1 else "the labels"
            said.append(f"The sound could not be used, so {whose} rest on the pictures alone.")
    manifests = {"labels": found.labels, "objects": found.objects}
    losses = {name: made.video.loss for name, made in manifests.items() if made and made.video.loss}
    is_one = len(set(losses.values())) == 1
    said += dict.fromkeys(loss if is_one else f"{name}: {loss}" for name, loss in losses.items())
    return [f"{words[:1].upper()}{words[1:].removesuffix('.')}." for words in said]


def stages(manifest: ObjectsManifest) -> list[Stage]:
    """Return the stages of the work, the longest first."""
    whole_s = sum(manifest.stage_seconds.values())
    ordered = sorted(manifest.stage_seconds.items(), key=lambda item: (-item[1], item[0]))
    return [Stage(name, seconds, round(100 * seconds / whole_s, 1) if whole_s else 0.0) for name, seconds in ordered]


def _of_video(video: VideoRecord) -> Iterator[Fact]:
    media = video.media
    yield Fact("Source", video.source, link=link(video.source))
    if video.address and video.address != video.source:
        yield Fact("Page", video.address, link=link(video.address))
    if video.youtube_id:
        yield Fact("YouTube id", video.youtube_id, is_code=True)
    if video.yt8m_id:
        yield Fact("YouTube-8M id", video.yt8m_id, is_code=True)
    rate = f", {media.frame_rate:.4g} frames a second" if media.frame_rate else ""
    turned = ", mirrored" if media.mirrored else ""
    turned += f", turned by {media.rotation_deg}°" if media.rotation_deg else ""
    turned += f", of pixels {media.pixel_aspect:.4g} times as wide as high" if media.pixel_aspect != 1 else ""
    yield Fact("Picture", f"{media.width} × {media.height}, {media.codec}{rate}{turned}")  # noqa: RUF001 - a times sign
    if media.kind == "video":
        unsaid = "the file does not say"
        yield Fact("Duration", unsaid if media.duration_s is None else timestamp(media.duration_s, media.duration_s))
        yield Fact("Sound", "yes" if media.has_sound else "none")
    if video.part:
        end_s = video.part.start_s + (video.length_s or 0.0)
        whole_s = media.duration_s or end_s
        yield Fact("Part", f"{timestamp(video.part.start_s, whole_s)} to {timestamp(end_s, whole_s)}")
    yield Fact("Size", size(video.size_bytes))
    yield Fact("SHA-256", video.sha256, is_code=True)


def _of_labels(manifest: LabelsManifest) -> list[Facts]:
    """Return what is known of the labels: of several models, of each, and of what they share."""
    shared = [*_of_frames(manifest.video)]
    sampled = Fact("Sampled frames", f"{manifest.seconds:,}")
    chosen = [Fact("Chosen", manifest.chosen)] if manifest.chosen else []
    shots = manifest.shots
    run = [
        *([Fact("Shots", f"{len(shots.shots):,}, by {shots.detector}")] if shots else []),
        *_of_run(manifest.options, manifest.code_revision),
    ]
    (own, *_), several = manifest.by_model.values(), bool(manifest.others)
    if not several:
        return [Facts("The labels", [*chosen, *_of_model(own.model), sampled, *shared, *_of_answer(own), *run])]
    each = [
        Facts(f"The labels of {name}", [*_of_model(answer.model), *_of_answer(answer)])
        for name, answer in manifest.by_model.items()
    ]
    return [*each, Facts("The labels of all", [*chosen, sampled, *shared, *run])]


def _of_model(model: ModelRecord) -> Iterator[Fact]:
    yield Fact("Model", model.name)
    yield Fact("Feature space", model.feature_space)
    if model.dataset_id:
        yield Fact("Trained on dataset", model.dataset_id, is_code=True)
    if model.clips:
        digests, is_long = " ".join(clip[:DIGITS] for clip in model.clips), len(model.clips) > SHOWN_DIGESTS
        yield Fact(f"Its {len(model.clips):,} files", digests, is_code=True, is_long=is_long)
    if model.run_id:
        yield Fact("MLflow run", model.run_id, is_code=True)
    yield from _of_weights(model.weights)


def _of_answer(answer: ModelLabels) -> Iterator[Fact]:
    if answer.is_silent is not None:
        yield Fact("Sound used", "no" if answer.is_silent else "yes")
    if answer.match_score is not None:
        yield Fact("Probability of the dataset's kind", f"{answer.match_score:.2f}")
    if answer.smoothing:
        yield Fact("Scores over time", SMOOTHED[answer.smoothing])


def _of_objects(manifest: ObjectsManifest) -> Iterator[Fact]:
    detector = manifest.detector
    yield Fact("Detector", detector.name)
    yield Fact("Ran on", f"{detector.device}, speed {detector.speed}, {'with' if detector.has_masks else 'no'} masks")
    yield from _of_weights([detector.weights])
    yield Fact("Boxes", f"{manifest.boxes:,}")
    yield from _of_frames(manifest.video)
    yield Fact("Time taken", f"{manifest.wall_seconds:.1f} s")
    yield from _of_run(manifest.options, manifest.code_revision)


def _of_frames(video: VideoRecord) -> Iterator[Fact]:
    yield Fact("Frames looked at", f"{video.frames_read:,}")
    yield Fact("Packets left out", f"{video.corrupt_frames:,}")


def _of_weights(weights: Iterable[WeightsRecord]) -> Iterator[Fact]:
    for each in weights:
        yield Fact(f"Weights {each.name}", f"{each.file_name}, sha256 {each.sha256}", is_code=True)


def _of_run(options: dict[str, JsonValue], code_revision: str) -> Iterator[Fact]:
    if options:
        written = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in options.items())
        yield Fact("Options", written, is_code=True)
    yield Fact("Code", code_revision, is_code=True)
