"""From the name of a label to videos labelled second by second.

>>> import reelsift
>>> video = reelsift.label("x.mp4")
>>> video.top, video.segments, video.to_pandas()

The functions call the stages in this process: no server is started, and everything is written below the home
(`REELSIFT_HOME`, or `.reelsift` in the working folder). Importing the package imports none of the stages.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast, overload

if TYPE_CHECKING:
    from datetime import datetime

    from conf.forms import DetectObjectsForm, ExtractDatasetForm, ImportDatasetForm, LabelVideosForm, SourcesForm
    from conf.settings import Settings
    from reelsift.found import SearchHits, VideoClips, VideoShots
    from reelsift.results import DatasetVersion, DetectedVideo, LabelledVideo, Training, VideoAnswers
    from tasks.classifier.fitted import FittedClassifier
    from tasks.contracts.errors import ReelsiftError
    from tasks.contracts.media import VideoOutcome
    from tasks.contracts.progress import Progress
    from tasks.datasets.manifest import Dataset


__all__ = [
    "DatasetVersion",
    "DetectedVideo",
    "LabelledVideo",
    "ReelsiftError",
    "SearchHits",
    "Training",
    "VideoAnswers",
    "VideoClips",
    "VideoShots",
    "build_dataset",
    "clip",
    "detect",
    "extract_dataset",
    "find",
    "import_dataset",
    "label",
    "load_model",
    "open_dataset",
    "shots",
    "train",
]

PathLike = str | os.PathLike[str]
_PLACES = {
    **dict.fromkeys([name for name in __all__ if name[0].isupper()], "reelsift.results"),
    **dict.fromkeys(["SearchHits", "VideoClips", "VideoShots"], "reelsift.found"),
    "ReelsiftError": "tasks.contracts.errors",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class, of any kind
    """Import a class when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Name what the package offers."""
    return sorted(__all__)


P = ParamSpec("P")
AnswerT = TypeVar("AnswerT", bound="LabelledVideo | DetectedVideo | VideoShots | VideoClips")
FormT = TypeVar("FormT", bound="SourcesForm")


class _OfVideos(Protocol[P, AnswerT]):
    """A function over videos: of one source, its answer; of a list of sources, the list of answers."""

    @overload
    def __call__(
        self, source: "list[PathLike] | tuple[PathLike, ...]", /, *args: P.args, **kwargs: P.kwargs
    ) -> "VideoAnswers[AnswerT]": ...
    @overload
    def __call__(self, source: PathLike, /, *args: P.args, **kwargs: P.kwargs) -> AnswerT: ...


def _of_videos(
    function: "Callable[Concatenate[PathLike | Sequence[PathLike], P], AnswerT]",
) -> "_OfVideos[P, AnswerT]":
    """Say of a function that gives one answer, to a type checker, that it gives a list of those where it is asked."""
    return cast("_OfVideos[P, AnswerT]", function)


@_of_videos
def label(
    source: "PathLike | Sequence[PathLike]",
    *,
    model: "str | Sequence[str]" = ("auto",),
    models: "Sequence[str] | None" = None,
    rate_hz: float | None = None,
    window: int | None = None,
    centred: bool | None = None,
    annotate: bool | None = None,
    keep_frames: bool | None = None,
    shots: bool = False,
    snap: bool | None = None,
    out: PathLike | None = None,
    again: bool = False,
    recursive: bool = False,
    start: "float | str | None" = None,
    end: "float | str | None" = None,
    home: PathLike | None = None,
) -> "LabelledVideo":
    """Say what a video shows, second by second; what was labelled before with the same options is found again.

    Args:
        source: a file, an http(s) address, a YouTube id (11 characters) or a YouTube-8M id (4): one answer. A list of
            these, a folder of videos, a pattern such as `tapes/*.mkv`, or `@FILE`, a text file with one of these a
            line: a list of answers.
        model: `auto` (the newest champion whose features can be computed here, else `imagenet`), `imagenet`, which
            needs no download, or a registered one: champion, NAME@champion, NAME/3, a run's id. Several label the same
            frames: `by_model` of the answer has what each says.
        models: the same, in the place of `model`.
        rate_hz: sampled frames per second.
        window: the score is the mean of this many samples; 1 for none.
        centred: smooth over samples before and after, the default; False: only over those before, which lags.
        annotate: write a copy of the video with the label drawn.
        keep_frames: keep the annotated frames as pictures, too.
        shots: find the video's shots, too: `shots` of the answer has them.
        snap: with `shots`, let segments begin and end at cuts that are near, the default.
        out: folder with one folder for each video; the home's by default.
        again: label again what was labelled before with the same options.
        recursive: open the folders below a folder that is named, too.
        start: look only at what comes from this time on, in seconds or written `m:ss` or `h:mm:ss`; times of the answer
            stay those of the video.
        end: look only at what comes before this time.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        VideosFailedError: no video could be labelled; of several, those that failed alone are in `failures`.
        ReelsiftError: an option, the model or the weights that it needs cannot be used.
    """
    from conf.forms import LabelVideosForm
    from reelsift.results import labelled

    said = {"rate_hz": rate_hz, "window": window, "centred": centred, "annotate": annotate, "keep_frames": keep_frames}
    said |= {"shots": shots, "snap": snap, "recursive": recursive, "start": start, "end": end}
    named = _texts(model if models is None else models)
    return _worked_on(source, home, labelled, LabelVideosForm, model=named, out=out, again=again, **said)


@_of_videos
def detect(
    source: "PathLike | Sequence[PathLike]",
    *,
    detector: str = "auto",
    speed: str = "normal",
    rate_hz: float | None = None,
    every: int | None = None,
    classes: "str | Sequence[str] | None" = None,
    min_score: float | None = None,
    annotate: bool | None = None,
    out: PathLike | None = None,
    again: bool = False,
    recursive: bool = False,
    start: "float | str | None" = None,
    end: "float | str | None" = None,
    home: PathLike | None = None,
) -> "DetectedVideo":
    """Find the objects in a video or picture and follow each one; what was done before is found again.

    Args:
        source: as in `label`.
        detector: auto (the best that is here and suits the machine), yolox-nano, dfine-s, maskrcnn, pointrend, ...
        speed: normal, fast or rapid: how large a picture pointrend, maskrcnn and fcos see.
        rate_hz: frames a second that are looked at; every frame by default.
        every: detect on every N-th of these, and let tracks carry boxes between.
        classes: only things of these classes of COCO, e.g. `["bottle", "cup"]`.
        min_score: scores below this do not count.
        annotate: write a copy of the video with the boxes drawn.
        out: folder with one folder for each video; the home's by default.
        again: detect again what was done before with the same options.
        recursive: as in `label`, like `start` and `end`.
        start: where the part begins that is looked at.
        end: where it ends.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        VideosFailedError: no video could be worked on; of several, those that failed alone are in `failures`.
        ReelsiftError: an option, the detector or its weights cannot be used.
    """
    from conf.forms import DetectObjectsForm
    from reelsift.results import detected

    chosen = None if classes is None else _texts(classes)
    said = {"rate_hz": rate_hz, "every": every, "classes": chosen, "min_score": min_score, "annotate": annotate}
    said |= {"detector": detector, "speed": speed, "where": "here"}
    said |= {"recursive": recursive, "start": start, "end": end}
    return _worked_on(source, home, detected, DetectObjectsForm, out=out, again=again, **said)


@_of_videos
def shots(
    source: "PathLike | Sequence[PathLike]",
    *,
    detector: str | None = None,
    threshold: float | None = None,
    out: PathLike | None = None,
    again: bool = False,
    recursive: bool = False,
    start: "float | str | None" = None,
    end: "float | str | None" = None,
    home: PathLike | None = None,
) -> "VideoShots":
    """Find where a video cuts, and make a contact sheet of the first pictures; what was found before is found again.

    Args:
        source: as in `label`.
        detector: auto (transnetv2 with a GPU, else content), content, adaptive or transnetv2; as configured by default.
        threshold: from which a change is a cut, in the detector's own measure.
        out: folder with one folder for each video; the home's by default.
        again: find again what was found before with the same options.
        recursive: as in `label`, like `start` and `end`.
        start: where the part begins that is looked at.
        end: where it ends.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        VideosFailedError: no video could be worked on; of several, those that failed alone are in `failures`.
        ReelsiftError: an option, the detector or its weights cannot be used.
    """
    from conf.forms import ShotsForm
    from flows.video_requests import find_shots_here
    from reelsift.found import VideoShots
    from tasks.contracts.media import VideoOutcome

    said = {"detector": detector, "threshold": threshold, "start": start, "end": end}
    form, settings, is_one = _asked(ShotsForm, source, home, out=out, again=again, recursive=recursive, **said)
    found = find_shots_here(form, settings, _progress())
    return _answers(
        (each if isinstance(each, VideoOutcome) else VideoShots(each[1], each[0]) for each in found), is_one
    )


@_of_videos
def clip(
    source: "PathLike | Sequence[PathLike]",
    labels: "str | Sequence[str]",
    *,
    pad: float = 0.0,
    gif: bool = False,
    out: PathLike | None = None,
    again: bool = False,
    recursive: bool = False,
    start: "float | str | None" = None,
    end: "float | str | None" = None,
    home: PathLike | None = None,
) -> "VideoClips":
    """Cut out of a video what was found in it: a file for each stretch of a label or of a class of its objects.

    A video in which nothing was found before is labelled first, as `label` does.

    Args:
        source: as in `label`.
        labels: one or several that hold in the video, or classes of its objects, e.g. `"bottle"`.
        pad: seconds before and after each stretch that the clip has, too.
        gif: write an animated GIF of each clip, too, of its first 30 s.
        out: folder with one folder for each video; the home's by default.
        again: label again first.
        recursive: as in `label`, like `start` and `end`.
        start: where the part begins of which something was found.
        end: where it ends.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        VideosFailedError: of no video there is a clip; of several, those that failed alone are in `failures`.
        ReelsiftError: an option cannot be used.
    """
    from conf.forms import ClipsForm
    from flows.video_requests import clip_here
    from reelsift.found import VideoClips
    from tasks.contracts.media import VideoOutcome

    said = {"labels": _texts(labels), "pad": pad, "gif": gif, "start": start, "end": end}
    form, settings, is_one = _asked(ClipsForm, source, home, out=out, again=again, recursive=recursive, **said)
    found = clip_here(form, settings, _progress(), lambda _: None)
    return _answers((each if isinstance(each, VideoOutcome) else VideoClips(each) for each in found), is_one)


def find(
    names: "str | Sequence[str]",
    *,
    kind: Literal["label", "object"] | None = None,
    min_score: float | None = None,
    video: str | None = None,
    since: "datetime | str | None" = None,
    limit: int | None = None,
    folder: PathLike | None = None,
    stored: bool = False,
    home: PathLike | None = None,
) -> "SearchHits":
    """Say when which videos show a label or an object, of all that `label` and `detect` have found in a home.

    Args:
        names: of labels and objects, whatever their case and accents; any of them.
        kind: only labels, or only objects.
        min_score: stretches at which a label's score is at least this, and tracks whose score is; by default what the
            reports name.
        video: part of a title, or a folder's name, an id or a source.
        since: when results were made at the earliest: a time, `"2026-11-01"`, or how long ago, `"12h"`, `"7d"`, `"8w"`.
        limit: the best ones; by default all.
        folder: of results, where they were written by `out`; the home's by default.
        stored: search the results of the storage instead.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        ReportError: there are no results.
        ConfigError: an option is not what it may be, or there is no storage.
    """
    from reelsift.found import SearchHits, search_in, since_of
    from tasks.contracts.errors import ConfigError
    from tasks.contracts.model import checked
    from tasks.results.search import Query

    try:
        made = since_of(since) if isinstance(since, str) else since
    except ValueError as error:
        raise ConfigError(f"since: {error}.") from error
    said = {"kind": kind, "min_score": min_score, "video": video, "since": made, "most": limit}
    query = checked(Query, names=_texts(names), **said)
    place = Path(folder) if folder is not None else None
    return SearchHits(search_in(_settings(home), query, folder=place, is_stored=stored))


def build_dataset(
    labels: "str | Sequence[str]",
    *,
    match: Literal["any", "all"] = "any",
    exclude: "str | Sequence[str]" = (),
    partitions: "str | Sequence[str]" = ("video/train", "video/validate"),
    mirror: PathLike | None = None,
    limit: int | None = None,
    shards: str | None = None,
    background: int | Literal["all"] | None = None,
    level: Literal["video", "frame"] = "video",
    strict: bool = False,
    discard_shards: bool = False,
    large_download: bool = False,
    home: PathLike | None = None,
) -> "DatasetVersion":
    """Download shards and filter them into a dataset version; completed work is cached and not repeated.

    Args:
        labels: names, indices or knowledge-graph ids of labels, e.g. `"Cooking"` or `["Cooking", "Food"]`.
        match: a video matches with any of the labels, or with all of them.
        exclude: a video with one of these labels does not match.
        partitions: partitions of YouTube-8M; each becomes a split of the version.
        mirror: us, eu, asia, an address, or a folder of shards; as configured by default.
        limit: take at most this many shards of each partition.
        shards: take the X-th of Y shares of each partition, written `"X,Y"`.
        background: unmatched videos kept for each match, or `"all"`.
        level: `"frame"` for the features of each second, of frame/train and frame/validate unless others are named.
        strict: fail on a damaged shard instead of reporting it.
        discard_shards: delete each shard once its rows are kept.
        large_download: allow more than 100 shards to be fetched from a public mirror.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        UnknownLabelError: there is no such label; the message has those that are spelt alike.
        DownloadError: shards could not be fetched, whatever was tried.
        ReelsiftError: an option, the mirror or the storage cannot be used.
    """
    from conf.forms import PrepareDatasetForm
    from flows.dataset_requests import build_here, refuse_large_download, request_of
    from reelsift.results import DatasetVersion
    from tasks.contracts.model import checked
    from tasks.datasets.caveats import absence, caveats_of

    settings = _settings(home)
    form = checked(
        PrepareDatasetForm,
        labels=_texts(labels),
        match=match,
        exclude=_texts(exclude),
        partitions=_texts(partitions),
        mirror=None if mirror is None else os.fspath(mirror),
        limit=limit,
        shards=shards,
        background=background,
        level=level,
        strict=strict,
        discard_shards=discard_shards,
        large_download=large_download,
    )
    request = request_of(form, settings)
    refuse_large_download(request, form, settings)
    dataset, absent = build_here(request, form, settings, _progress())
    return DatasetVersion(dataset, settings, (*caveats_of(dataset.manifest), *map(absence, absent)))


def import_dataset(
    source: PathLike,
    *,
    features: str = "efficientnet-lite0",
    name: str | None = None,
    again: bool = False,
    home: PathLike | None = None,
) -> "DatasetVersion":
    """Make a dataset version of labelled videos of your own; features are extracted once for each video.

    Args:
        source: a CSV file, JSON lines or Parquet with the columns source and label (or labels), perhaps split, group,
            start_s and end_s; or a folder with one folder for each class.
        features: the feature space; `efficientnet-lite0` needs no download.
        name: what the dataset is called; by default as the file or folder.
        again: extract again what was extracted before.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        DatasetError: the table or its videos make no version; the message names the line.
        ReelsiftError: an option, the feature space or the storage cannot be used.
    """
    from conf.forms import ImportDatasetForm
    from tasks.contracts.model import checked

    form = checked(ImportDatasetForm, source=Path(source), features=features, name=name, again=again)
    return _imported(form, _settings(home))


def extract_dataset(
    data: "DatasetVersion | str" = "latest",
    *,
    features: str = "efficientnet-lite0",
    name: str | None = None,
    partitions: "str | Sequence[str]" = (),
    limit: int | None = None,
    keep_videos: bool = False,
    again: bool = False,
    large_download: bool = False,
    home: PathLike | None = None,
) -> "DatasetVersion":
    """Fetch a version's matching videos from YouTube and make a version of their features in another space.

    Labels and splits stay those of YouTube-8M. A video whose features are kept is neither fetched nor extracted again,
    also after an interruption; withdrawn ones are counted.

    Args:
        data: what `build_dataset` or `open_dataset` returned, or a reference such as `cooking` or `latest`.
        features: the feature space; `efficientnet-lite0` needs no download.
        name: what the new dataset is called; by default as the version, with the feature space behind it.
        partitions: partitions of the version whose videos are taken; by default all.
        limit: take at most this many videos of each partition.
        keep_videos: keep fetched videos, which are otherwise deleted once their features are extracted.
        again: fetch and extract again what was done before.
        large_download: allow more than 300 videos to be fetched where there is no limit.
        home: folder of everything that is written; by default that of `data`, or `REELSIFT_HOME`.

    Raises:
        DatasetError: the version is not of YouTube-8M, or what can be fetched of it makes no version.
        ReelsiftError: an option, the feature space or the storage cannot be used.
    """
    from conf.forms import ExtractDatasetForm
    from flows.import_requests import check_fetches, version_table
    from reelsift.results import DatasetVersion
    from tasks.contracts.model import checked

    if home is None and isinstance(data, DatasetVersion):
        home = data.settings.paths.root
    settings = _settings(home)
    form = checked(
        ExtractDatasetForm,
        dataset=data.reference if isinstance(data, DatasetVersion) else data,
        features=features,
        name=name,
        partitions=_texts(partitions),
        limit=limit,
        keep_videos=keep_videos,
        again=again,
        large_download=large_download,
    )
    check_fetches(version_table(form, settings), form, settings)
    return _imported(form, settings)


def _imported(form: "ImportDatasetForm | ExtractDatasetForm", settings: "Settings") -> "DatasetVersion":
    from flows.import_requests import import_here
    from reelsift.results import DatasetVersion

    dataset, made = import_here(form, settings, _progress())
    left_out = (f"{each['source']} is left out ({each['reason']}): {each['why']}" for each in made["dropped"])
    return DatasetVersion(dataset, settings, (*left_out, *made["warnings"], *made["notes"]))


def open_dataset(reference: str = "latest", *, home: PathLike | None = None) -> "DatasetVersion":
    """Open a dataset version that is there: slug/id, an id, a slug, or latest.

    Raises:
        UnknownDatasetError: there is none of that name, or several.
        DamagedDatasetError: its manifest cannot be trusted.
    """
    from reelsift.results import DatasetVersion
    from tasks.datasets.caveats import caveats_of

    settings = _settings(home)
    dataset = _opened(reference, settings)
    return DatasetVersion(dataset, settings, tuple(caveats_of(dataset.manifest)))


def train(
    data: "DatasetVersion | str" = "latest",
    *,
    models: "str | Sequence[str]" = (),
    seed: int | None = None,
    again: bool = False,
    home: PathLike | None = None,
) -> "Training":
    """Train candidates on a dataset version, and register them in MLflow under its slug.

    What was trained before with the same data and settings is found again.

    Args:
        data: what `build_dataset`, `import_dataset` or `open_dataset` returned, or a reference such as `cooking` or
            `latest`.
        models: presets to train, one candidate each: logistic, moe, gated, chain or your own; by default as configured.
        seed: of every candidate.
        again: train again what was trained before with the same data and settings.
        home: folder of everything that is written; by default that of `data`, or `REELSIFT_HOME`.

    Raises:
        ConfigError: there is no such preset.
        UnknownDatasetError: there is no such version.
        TrainingError: it holds too little to learn from, or the loss became NaN or infinite.
        TrackingError: MLflow's store cannot be used.
    """
    from conf.forms import TrainOptions
    from flows.dataset_requests import store_of, train_here
    from reelsift.results import DatasetVersion, Training
    from tasks.contracts.model import checked
    from tasks.datasets.caveats import caveats_of

    if home is None and isinstance(data, DatasetVersion):
        home = data.settings.paths.root
    settings = _settings(home)
    options = checked(TrainOptions, models=_texts(models), seed=seed, again=again)
    settings.candidates(options.models)  # a wrong name is said before anything else is looked at
    if not isinstance(data, DatasetVersion):
        dataset = _opened(data, settings)
        data = DatasetVersion(dataset, settings, tuple(caveats_of(dataset.manifest)))
    candidates = train_here(data.dataset, options, settings, _progress())
    return Training(data, tuple(candidates), store_of(settings))


def load_model(reference: str = "champion", *, home: PathLike | None = None) -> "FittedClassifier":
    """Load a registered classifier; `predict` takes features (n, 1152) and returns probabilities (n, labels).

    A model over time takes those of moments, (n, T, 1152). `over_time` says what each moment of a video shows.

    Args:
        reference: champion, SLUG@champion, SLUG/3, models:/SLUG/3 or a run's id.
        home: folder of everything that is written; `REELSIFT_HOME` by default.

    Raises:
        UnknownModelError: the reference names nothing, or several models.
        ModelError: what is registered there is no classifier.
        TrackingError: MLflow's store cannot be used.
    """
    from flows.dataset_requests import store_of
    from tasks.tracking.registry import resolve

    settings = _settings(home)
    store = store_of(settings)
    row = resolve(store, reference)
    from tasks.tracking.loading import load_classifier  # takes seconds, which a wrong name need not wait for

    return load_classifier(store, row)


def _settings(home: PathLike | None) -> "Settings":
    """Return the settings in force."""
    from conf.environment import CONFIG_VARIABLE, spare_home_of_matplotlib, spare_loopback_proxies
    from conf.layers import Layer
    from conf.settings import setting_layers, settings_of

    config = os.environ.get(CONFIG_VARIABLE)
    chosen = Layer("home=", {"home": os.fspath(home)}) if home is not None else None
    settings = settings_of(setting_layers(Path(config) if config else None, chosen))
    spare_loopback_proxies()
    spare_home_of_matplotlib(settings.paths)
    return settings


def _texts(values: "str | Sequence[str]") -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _sources(source: "PathLike | Sequence[PathLike]") -> tuple[tuple[str, ...], bool]:
    """Return the sources as they were named, and whether exactly one was asked for rather than a list of any length."""
    from tasks.video.sources import names_several, typed_name

    given = [source] if isinstance(source, str | os.PathLike) else list(source)
    named = tuple(typed_name(os.fspath(each)) for each in given)
    return named, isinstance(source, str | os.PathLike) and not names_several(named[0])


def _asked(
    kind: "type[FormT]",
    source: "PathLike | Sequence[PathLike]",
    home: PathLike | None,
    **options: Any,  # noqa: ANN401 - those of the form
) -> "tuple[FormT, Settings, bool]":
    """Return the form of what is asked for, the settings in force, and whether exactly one answer is wanted.

    Raises:
        ConfigError: an option is refused.
    """
    from tasks.contracts.model import checked

    settings = _settings(home)
    named, is_one = _sources(source)
    return checked(kind, sources=named, **options), settings, is_one


def _worked_on(
    source: "PathLike | Sequence[PathLike]",
    home: PathLike | None,
    read: Callable[["VideoOutcome"], Any],
    kind: "type[LabelVideosForm | DetectObjectsForm]",
    **options: Any,  # noqa: ANN401 - those of the form
) -> Any:  # noqa: ANN401 - what was asked for: an answer, or several
    """Do what a form asks for here, and read what was found.

    Raises:
        ReelsiftError: as `label` and `detect`.
    """
    from flows.video_requests import do_here, sources_of, work_of
    from tasks.contracts.media import FAILED

    form, settings, is_one = _asked(kind, source, home, **options)
    _, outcomes = do_here(form, work_of(form, settings), sources_of(form), settings, _progress())
    # All are done before any is read: a folder that two sources share holds the answer of the last.
    return _answers([each if each.status == FAILED else read(each) for each in list(outcomes)], is_one)


def _answers(found: "Iterable[AnswerT | VideoOutcome]", is_one: bool) -> Any:  # noqa: ANN401 - as above; a fact
    """Return one answer, or all with what failed.

    Raises:
        VideosFailedError: every one failed.
    """
    from reelsift.results import VideoAnswers
    from tasks.contracts.errors import VideosFailedError
    from tasks.contracts.media import VideoOutcome, in_short, told

    all_found = list(found)
    failures = [each for each in all_found if isinstance(each, VideoOutcome)]
    answers = [each for each in all_found if not isinstance(each, VideoOutcome)]
    if not answers:
        raise VideosFailedError(told(failures[0]) if len(failures) == 1 else in_short(failures), failures)
    return answers[0] if is_one else VideoAnswers(answers, failures)


def _opened(reference: str, settings: "Settings") -> "Dataset":
    from tasks.datasets.stored import open_anywhere

    return open_anywhere(settings.paths.datasets, reference, settings.storage)


def _progress() -> "Progress":
    """Return the listener of the caller (`tasks.contracts.progress.listening`), or one that says nothing."""
    from tasks.contracts.progress import Silent, listener

    return listener() or Silent()
