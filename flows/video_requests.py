"""Forms of videos turned into jobs, and the jobs done here, without any server."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from conf.forms import ClipsForm, DetectObjectsForm, LabelVideosForm, ShotsForm, SourcesForm
from conf.settings import Settings
from flows.dataset_requests import store_of, weights_of
from tasks.contracts.errors import ConfigError
from tasks.contracts.files import check_folder
from tasks.contracts.media import FAILED, VideoOutcome
from tasks.contracts.model import FrozenModel, checked
from tasks.contracts.progress import Progress
from tasks.detection.detector import has_gpu
from tasks.labelling.config import AUTO, exact_reference
from tasks.labelling.labeller import choose_model
from tasks.per_video.clips import ClipsOfVideo, chosen_spans, cut_clips, newest_answers
from tasks.per_video.fetching import Workplace, fetch_each
from tasks.per_video.jobs import Job, Lookup, do_each, failed, failure_of, indexed
from tasks.per_video.work import DetectWork, LabelWork, Work, open_job
from tasks.video.config import AUTO_SHOTS, CONTENT, TRANSNETV2, ShotOptions
from tasks.video.picture import is_picture
from tasks.video.shots import ShotsManifest, shots_of
from tasks.video.sources import folder_name, listed

CLIPS_FOLDER = "clips"  # within the folder of a video
OptionsT = TypeVar("OptionsT", bound=FrozenModel)


def workplace_of(form: SourcesForm, settings: Settings) -> Workplace:
    """Return where videos are kept, and how they are fetched.

    Raises:
        OutputError: nothing can be written there.
    """
    out = form.out.expanduser().absolute() if form.out else settings.paths.videos
    check_folder(out)
    return Workplace(
        fetched=settings.paths.fetched,
        out=out,
        fetch=settings.fetch,
        download=settings.download_from(),
        bounds=settings.media,
        weights=weights_of(settings),
        storage=settings.storage,
        part=form.part,
    )


def check_out(form: SourcesForm) -> None:
    """Refuse a relative folder in a run of a worker, whose own folder is temporary and goes with the run.

    Raises:
        ConfigError: it is relative.
    """
    if form.out and not form.out.expanduser().is_absolute():
        raise ConfigError(
            f"out: {str(form.out)!r} is relative to the folder of a worker, which is deleted after the run. Give the "
            "whole path, from / on."
        )


def sources_of(form: SourcesForm) -> list[str]:
    """Return the form's sources, each once, those of its lists, folders and patterns among them.

    Raises:
        SourceError: a list or a folder cannot be read, or leads to no video.
    """
    return listed(form.sources, is_recursive=form.recursive)


def label_work(form: LabelVideosForm, settings: Settings) -> LabelWork:
    """Return what a form of labelling asks for; an alias, or `auto`, becomes the version that it names now.

    Raises:
        UnknownModelError, TrackingError: there is no such model, or the registry cannot be read.
        ConfigError: the options do not go together.
    """
    store, wanted, options = store_of(settings), form.models, _changed(settings.label, form)
    choice = choose_model(store, weights_of(settings), options.rate_hz) if AUTO in wanted else None
    models = (choice.model if choice and each == AUTO else exact_reference(each, store) for each in wanted)
    return LabelWork(
        models=tuple(dict.fromkeys(models)),
        store=store,
        options=options,
        chosen=choice.why if choice else None,
        left_out=choice.left_out if choice else (),
        shots=shot_options(form, settings) if form.shots else None,
    )


def shot_options(form: LabelVideosForm | ShotsForm, settings: Settings) -> ShotOptions:
    """Return how shots are found, with the detector that this machine has in the place of `auto`.

    Raises:
        ConfigError: the options do not go together.
    """
    options = _changed(settings.shots, form)
    if options.detector != AUTO_SHOTS:
        return options
    return options.model_copy(update={"detector": TRANSNETV2 if has_gpu() else CONTENT})


def find_shots_here(
    form: ShotsForm, settings: Settings, progress: Progress
) -> Iterator[tuple[Path, ShotsManifest] | VideoOutcome]:
    """Find the shots of each source, and say in which folder they are written; one that fails, fails alone.

    Raises:
        ReelsiftError: the options cannot be used, or nothing can be written.
    """
    workplace, options = workplace_of(form, settings), shot_options(form, settings)
    for video in fetch_each(sources_of(form), workplace, progress):
        if isinstance(video, VideoOutcome):
            yield video
            continue
        folder = workplace.out / folder_name(video)
        try:
            yield folder, shots_of(video, options, workplace.bounds, folder, progress, again=form.again)
        except Exception as error:  # noqa: BLE001 - the other videos must not be lost
            yield failure_of(video.source, error)


def detect_work(form: DetectObjectsForm, settings: Settings) -> DetectWork:
    """Return what a form of detecting asks for; `auto` stays, for the machine that does the work to decide.

    Raises:
        ConfigError: there is no such detector, or the options do not go together.
    """
    settings.check_detector(form.detector)
    return DetectWork(detector=form.detector, speed=form.speed, options=_changed(settings.detect, form))


def clip_here(
    form: ClipsForm, settings: Settings, progress: Progress, say: Callable[[str], None]
) -> Iterator[ClipsOfVideo | VideoOutcome]:
    """Cut out of each source what was found in it, or label it first where nothing was; one that fails, fails alone.

    Raises:
        ReelsiftError: the options cannot be used, or nothing can be written.
    """
    out = workplace_of(form, settings).out
    workplace = workplace_of(form.model_copy(update={"out": None}), settings)
    job: Job[Any] | None = None
    for video in fetch_each(sources_of(form), workplace, progress):
        if isinstance(video, VideoOutcome):
            yield video
            continue
        if is_picture(video.path):
            yield failed(video.source, f"{video.path} is a picture, which has no clips: name a video.")
            continue
        answers = newest_answers(workplace.out, video)
        if form.again or answers.video is None:
            if job is None:
                work = label_work(LabelVideosForm(sources=form.sources, annotate=False), settings)
                say(f"Labelling with {work.chosen or ' and '.join(work.models)}, as nothing was found before ...")
                job = open_job(work, workplace, progress)
            (outcome,) = do_each(job, [video], again=form.again)
            if outcome.status == FAILED:
                yield outcome
                continue
            answers = newest_answers(workplace.out, video)
        folder = out / folder_name(video) / CLIPS_FOLDER
        try:
            spans = chosen_spans(answers, form.labels, form.pad)
            clips = cut_clips(video, spans, workplace.bounds, folder, progress, has_gif=form.gif)
        except Exception as error:  # noqa: BLE001 - the other videos must not be lost
            yield failure_of(video.source, error)
        else:
            yield ClipsOfVideo(video.source, video.title, folder, clips)


def work_of(form: LabelVideosForm | DetectObjectsForm, settings: Settings) -> Work:
    """Return what any form of videos asks for."""
    return label_work(form, settings) if isinstance(form, LabelVideosForm) else detect_work(form, settings)


def _changed(options: OptionsT, form: SourcesForm) -> OptionsT:
    """Put what the form says in the place of what is configured; None says nothing."""
    said = {name: value for name, value in form if name in type(options).model_fields and value is not None}
    return checked(type(options), **{**options.model_dump(), **said})


def do_here(
    form: LabelVideosForm | DetectObjectsForm,
    work: Work,
    sources: Sequence[str],
    settings: Settings,
    progress: Progress,
) -> tuple[Lookup[Any], Iterator[VideoOutcome]]:
    """Open the models or the detector, and return what is to be made, and an iterator that does a source at each step.

    Raises:
        ReelsiftError: the options, a model or the storage cannot be used.
    """
    workplace = workplace_of(form, settings)
    job = open_job(work, workplace, progress)
    return job, indexed(job, do_each(job, fetch_each(sources, workplace, progress), again=form.again))
