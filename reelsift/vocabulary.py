"""`reelsift vocabulary`: the labels, searched and summarised."""

from typing import TYPE_CHECKING, Annotated

import typer

from conf.forms import MirrorForm
from reelsift.console import note, print_json, print_table
from reelsift.options import AsJson, with_form
from reelsift.session import Session

if TYPE_CHECKING:
    from tasks.vocabulary.labels import Vocabulary

SHOWN = 20


@with_form
def vocabulary(
    context: typer.Context,
    form: MirrorForm,
    search: Annotated[str, typer.Option(metavar="TEXT", help="Labels whose name contains this.")] = "",
    vertical: Annotated[str | None, typer.Option(metavar="V", help="Labels of this vertical.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the labels there are: index, name, verticals, videos in the train partition."""
    words = _load(context.obj, form.mirror)
    found = words.search(search, vertical)
    summary = words.summary()
    if as_json:
        print_json(
            {"summary": summary.model_dump(mode="json"), "labels": [label.model_dump(mode="json") for label in found]}
        )
        return
    shown = found if search or vertical else found[:SHOWN]
    print_table(
        f"{len(found):,} of {len(words.labels):,} labels",
        ("index", "name", "verticals", "train videos", "knowledge graph"),
        (
            (
                str(label.index),
                label.shown_name,
                ", ".join(label.verticals),
                label.train_count,
                label.knowledge_graph_id,
            )
            for label in shown
        ),
    )
    if len(shown) < len(found):
        note(f"The {SHOWN} commonest are shown; --search TEXT, --vertical V or --json show more.")
        _print_summary(words)


def _load(session: Session, mirror: str | None) -> "Vocabulary":
    """Take the vocabulary that is kept, unless a mirror is named; fetch it where there is none."""
    from tasks.vocabulary.table import kept_vocabulary, load_vocabulary

    settings = session.settings
    folder = settings.paths.vocabulary
    kept = None if mirror or settings.mirror else kept_vocabulary(folder)
    return kept or load_vocabulary(folder, settings.download_from(mirror))


def _print_summary(words: "Vocabulary") -> None:
    summary = words.summary()
    print_table("Columns", ("column", "non-null"), summary.non_null.items())
    if summary.train_counts:
        spread = summary.train_counts.model_dump()
        print_table("Train videos a label", list(spread), [[f"{value:,.0f}" for value in spread.values()]])
    if summary.verticals:
        print_table("Verticals", ("vertical", "labels"), summary.verticals.items())
