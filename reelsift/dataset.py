"""`reelsift dataset`: build, import and extract versions, and look at them."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from conf.forms import DATASET, ExtractDatasetForm, ImportDatasetForm, PrepareDatasetForm
from reelsift.console import note, print_error, print_json, print_table, print_warning, progress_shown, say
from reelsift.downloads import confirm_fetches, confirm_size
from reelsift.manifests import SHOWN, draw, print_manifest, print_warnings, say_built
from reelsift.options import AsJson, Commands, DatasetRef, Yes, argument, option, with_form
from reelsift.session import Session
from tasks.contracts.files import check_folder

app = Commands("Dataset versions: build, import, extract, means, list, show, compare, check, export.")

if TYPE_CHECKING:
    from conf.settings import Settings
    from tasks.datasets.manifest import Dataset
    from tasks.datasets.request import DatasetRequest
    from tasks.imports.table import ClipTable

FormT = TypeVar("FormT", bound=PrepareDatasetForm)


@app.command("build", example="reelsift dataset build --label Cooking --limit 4")
@with_form
def build(context: typer.Context, form: PrepareDatasetForm, yes: Yes = False, as_json: AsJson = False) -> None:
    """Download shards and filter them into a dataset version; completed work is cached and not repeated."""
    from flows.dataset_requests import handing_on

    session: Session = context.obj
    request = planned(form, session)
    version = _already_built(request, session)
    if version is None:
        allowed = confirmed(form, request, session, yes=yes)
        with handing_on(request, allowed, session.settings):
            version = session.run_flow("prepare_dataset", allowed)
    dataset = session.open_dataset(f"{version['slug']}/{version['id']}")
    if as_json:
        print_json(version | {"folder": str(dataset.folder)})
    else:
        print_manifest(dataset)
    print_warnings(version)


def _already_built(request: "DatasetRequest", session: Session) -> dict[str, Any] | None:
    """Say so where the version is published and whole, and return what the flow would; None where there is work."""
    from tasks.datasets.caveats import damage_of, summary_of
    from tasks.datasets.publish import is_current

    storage = session.settings.storage
    if not is_current(session.settings.paths.datasets, request.slug, request.id):
        return None
    if storage:
        from tasks.datasets.stored import is_stored

        if not is_stored(request.slug, request.id, storage):
            return None
    dataset = session.open_dataset(f"{request.slug}/{request.id}")
    if request.filter.strict and damage_of(dataset.manifest):  # of which it was built before without that option
        return None
    say_built(dataset)
    return summary_of(dataset.manifest)


OnPool = Annotated[
    bool, typer.Option("--pool", help="In batches on the workers of the pool gpu; `reelsift up` has some.")
]


@app.command("import", example="reelsift dataset import kitchen.csv --name kitchen")
@with_form
def import_videos(
    context: typer.Context,
    form: ImportDatasetForm,
    on_pool: OnPool = False,
    as_json: AsJson = False,
) -> None:
    """Make a dataset version of labelled videos of your own; features are extracted once for each video."""
    session: Session = context.obj
    settings, source = session.settings, form.source.expanduser().absolute()
    from flows.import_requests import checked_table

    form = form.model_copy(update={"source": source, "where": "pool" if on_pool else "here"})
    made = _already_imported(checked_table(form), form, settings) or session.run_flow("import_dataset", form)
    _print_import(made, session, as_json=as_json)


@app.command("extract", example="reelsift dataset extract cooking/latest --limit 100")
@with_form
def extract(
    context: typer.Context,
    form: ExtractDatasetForm,
    on_pool: OnPool = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a version's matching videos from YouTube and make a version of their features in another space.

    Labels and splits stay those of YouTube-8M. A fetched video is deleted once its features are extracted, and neither
    fetched nor extracted again; withdrawn ones are counted.
    """
    session: Session = context.obj
    settings = session.settings
    from flows.import_requests import version_table

    form = form.model_copy(update={"where": "pool" if on_pool else "here"})
    table = version_table(form, settings)
    form = form.model_copy(update={"dataset": str(table.path)})  # whatever `latest` means by then
    made = _already_imported(table, form, settings)
    if made is None:
        confirm_fetches(table, form, session, yes=yes)
        made = session.run_flow("extract_dataset", form.model_copy(update={"large_download": True}))
    _print_import(made, session, as_json=as_json)


def _print_import(made: dict[str, Any], session: Session, *, as_json: bool) -> None:
    """Print a version of videos whose features were extracted, as a flow returned it."""
    dataset = session.open_dataset(f"{made['slug']}/{made['id']}")
    if as_json:
        print_json(made | {"folder": str(dataset.folder)})
    else:
        some = f"{made['extracted']:,} {'video' if made['extracted'] == 1 else 'videos'}"
        say(f"{some} extracted in {made['features']}, {made['cached']:,} cached.")
        print_manifest(dataset)
    for each in made["dropped"][:SHOWN]:
        print_warning(f"{each['source']} is left out ({each['reason']}): {each['why']}")
    if len(made["dropped"]) > SHOWN:
        note(f"{len(made['dropped']) - SHOWN:,} others are left out, too: --json names them all.")
    for warning in (*made["warnings"], *made["notes"]):
        note(f"Warning: {warning}")


def _already_imported(
    table: "ClipTable", form: ImportDatasetForm | ExtractDatasetForm, settings: "Settings"
) -> dict[str, Any] | None:
    """Say so where the version is published and whole, and return what the flow would; None where there is work.

    Raises:
        ReelsiftError: the feature space or the storage cannot be used, which is said before a server starts.
    """
    from flows.import_requests import known_import, summary_of_import
    from tasks.datasets.catalogue import open_dataset

    request, root = known_import(table, form, settings), settings.paths.datasets
    if request is None or not request.is_there(root, settings.storage):
        return None
    dataset = open_dataset(root, f"{request.slug}/{request.id}")
    say_built(dataset)
    return summary_of_import(dataset, request)


def planned(form: PrepareDatasetForm, session: Session) -> "DatasetRequest":
    """Return what a version will be made of; what cannot be used is said now, before a server starts.

    Raises:
        ReelsiftError: a label, a mirror or the storage cannot be used.
    """
    from flows.dataset_requests import request_of

    request = request_of(form, session.settings)
    if session.settings.storage:
        from tasks.storage.object_store import open_store

        open_store(session.settings.storage)
    return request


def confirmed(form: FormT, request: "DatasetRequest", session: Session, *, yes: bool) -> FormT:
    """Ask before a large download, and return the form that allows it.

    Raises:
        ReelsiftError: there is nobody to ask.
    """
    confirm_size(request.shards, form, session, yes=yes)
    return form.model_copy(update={"large_download": True})  # bounded, confirmed, or of a mirror of one's own


@app.command("means", example="reelsift dataset means latest")
def means(context: typer.Context, ref: DatasetRef = "latest", as_json: AsJson = False) -> None:
    """Make a version of whole videos of one that holds frames: each video's mean, as in YouTube-8M itself."""
    from tasks.datasets.caveats import summary_of
    from tasks.datasets.stored import publish_means

    session: Session = context.obj
    paths, storage = session.settings.paths, session.settings.storage
    dataset = session.open_dataset(ref)
    with progress_shown() as progress:
        made, is_new = publish_means(
            dataset, root=paths.datasets, store=paths.parts, storage=storage, progress=progress
        )
    if not is_new:
        say_built(made)
    if as_json:
        print_json(summary_of(made.manifest) | {"folder": str(made.folder)})
    else:
        print_manifest(made)


@app.command("list", example="reelsift dataset list --json")
def list_versions(context: typer.Context, as_json: AsJson = False) -> None:
    """List the dataset versions, the newest first."""
    from tasks.datasets.catalogue import list_datasets

    session: Session = context.obj
    entries = list_datasets(session.settings.paths.datasets)
    if as_json:
        print_json({"datasets": [entry.model_dump(mode="json") for entry in entries]})
        return
    print_table(
        f"Dataset versions in {session.settings.paths.datasets}",
        ("dataset", "matches", "rows", "shards", "published", ""),
        (
            (
                f"{entry.slug}/{entry.id}",
                entry.matches,
                entry.rows,
                entry.shards,
                f"{entry.published_at:%Y-%m-%d %H:%M}",
                entry.problem or ("latest" if entry.is_latest else ""),
            )
            for entry in entries
        ),
    )
    if not entries:
        note("There are none yet: `reelsift dataset build --label Cooking --limit 4`.")


@app.command("show", example="reelsift dataset show latest --plot pictures")
def show(
    context: typer.Context,
    ref: DatasetRef = "latest",
    plot: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write pictures of the labels to this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a version: its labels, what occurs together, what was dropped and why, its shards."""
    from tasks.datasets.caveats import caveats_of

    if plot:
        check_folder(plot)
    dataset = context.obj.open_dataset(ref)
    if plot:
        draw(dataset, plot)
    if as_json:
        about = {"folder": str(dataset.folder), "warnings": caveats_of(dataset.manifest)}
        print_json(dataset.manifest.model_dump(mode="json") | about)
    else:
        print_manifest(dataset)
    for warning in caveats_of(dataset.manifest):
        note(f"Warning: {warning}")


@app.command("diff", example="reelsift dataset diff cooking/ds-8be3a83e4cf3 latest")
def diff(
    context: typer.Context,
    before: Annotated[str, argument("A", f"{DATASET}.", choices="REF")],
    after: Annotated[str, argument("B", "Another one.", choices="REF")],
    as_json: AsJson = False,
) -> None:
    """Show what version B has that A has not, and the other way round."""
    from tasks.datasets.catalogue import difference

    session: Session = context.obj
    change = difference(session.open_dataset(before), session.open_dataset(after))
    if as_json:
        print_json(change.model_dump(mode="json"))
        return
    say(f"{change.before} -> {change.after}")
    figures = {"records": change.records, "rows": change.rows, "matches": change.matches}
    print_table(
        "Figures",
        ("", "before", "after", "gain"),
        ((name, each.before, each.after, each.gain) for name, each in figures.items()),
    )
    shards = {"gained": change.shards_gained, "lost": change.shards_lost, "changed": change.shards_changed}
    for name, names in shards.items():
        if names:
            say(f"Shards {name}: {len(names):,} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})")
    if change.options:
        rows = ((name, each.before, each.after) for name, each in change.options.items())
        print_table("Options", ("option", "before", "after"), rows)
    labels = (
        (str(each.index), each.name, each.count.before, each.count.after, each.count.gain)
        for each in change.labels[:SHOWN]
    )
    print_table(
        f"The largest of {len(change.labels):,} changes of labels",
        ("index", "label", "before", "after", "gain"),
        labels,
    )


@app.command("verify", example="reelsift dataset verify latest")
def check(context: typer.Context, ref: DatasetRef = "latest", as_json: AsJson = False) -> None:
    """Check every file of a version against its digest; exit code 1 if anything is wrong."""
    from tasks.datasets.manifest import verify

    dataset = context.obj.open_dataset(ref)
    with progress_shown() as progress:
        problems = verify(dataset, progress)
    if as_json:
        print_json(
            {
                "dataset": dataset.manifest.id,
                "slug": dataset.manifest.slug,
                "problems": [problem.model_dump(mode="json") for problem in problems],
            }
        )
    elif not problems:
        parts = len(dataset.manifest.parts)
        say(f"{dataset.manifest.reference} is whole: {parts} parts agree with their digests.")
    for problem in problems:
        print_error(f"{dataset.folder / problem.file}: {problem.detail}")
    if problems:
        note("The command that built it repairs it.")
        raise typer.Exit(1)


@app.command("export", example="reelsift dataset export rows.parquet --dataset latest")
def export_version(
    context: typer.Context,
    destination: Annotated[Path, typer.Argument(metavar="FILE", help="Where to.")],
    ref: Annotated[str, option("--dataset", metavar="REF", help=f"{DATASET}.")] = "latest",
    file_format: Annotated[
        str | None, typer.Option("--format", metavar="F", help="csv, jsonl, parquet or npz. \\[default: by the suffix]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write all rows of a version to one file."""
    from tasks.datasets.export import export, names_of

    check_folder(destination.parent)
    dataset = context.obj.open_dataset(ref)
    names = _label_names(dataset, context.obj)
    path = export(dataset, destination, file_format or destination.suffix.lstrip("."), names=names, force=force)
    if as_json:
        print_json(
            {
                "dataset": dataset.manifest.id,
                "slug": dataset.manifest.slug,
                "file": str(path),
                "rows": dataset.manifest.rows,
            }
        )
        return
    say(f"{dataset.manifest.rows:,} rows of {dataset.manifest.reference} in {path}")
    if not names_of(dataset, names):
        note("Labels are given by their indices: the vocabulary that it was built with is not here.")


def _label_names(dataset: "Dataset", session: Session) -> dict[int, str]:
    """Return the names of all labels from the vocabulary that named those of the version, if it is available."""
    from tasks.contracts.errors import MirrorError, VocabularyError
    from tasks.datasets.caveats import is_imported
    from tasks.datasets.request import label_names
    from tasks.vocabulary.table import load_vocabulary, vocabulary_with

    if is_imported(dataset.manifest.options):
        return {}  # the manifest has them all
    size = int(str(dataset.manifest.options.get("vocabulary_size", 0)))
    named = {label.index: label.name for label in dataset.manifest.label_counts}
    real = {index: name for index, name in named.items() if name != label_names(None, index + 1)[index]}
    folder = session.settings.paths.vocabulary
    vocabulary = vocabulary_with(folder, real)
    if vocabulary is None and real:
        with suppress(MirrorError, VocabularyError):
            load_vocabulary(folder, session.settings.download_from())
            vocabulary = vocabulary_with(folder, real)
    return label_names(vocabulary, size) if vocabulary or not real else {}
