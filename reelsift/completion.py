"""What a shell completes: the datasets, models, labels and weights that a home has, and the choices of an option."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Self

import typer

from conf.forms import PARTITIONS
from reelsift.session import Session
from tasks.contracts.errors import ReelsiftError
from tasks.detection.config import CLASS_NAMES
from tasks.weights.config import EFFICIENTNET_LITE0, YT8M_GROUP


class _Word(str):
    """A choice as it must stand in bash, which splits and expands what is not escaped; it compares as it is."""

    __slots__ = ("plain",)

    def __new__(cls, plain: str) -> Self:
        word = super().__new__(cls, re.sub(r"([^\w@%+=:,./-])", r"\\\1", plain))
        word.plain = plain
        return word

    def startswith(self, *bounds: Any) -> bool:  # noqa: ANN401 - as in the class above
        """Compare with what was typed, from which the shell's escapes were taken."""
        return self.plain.startswith(*bounds)


Completer = Callable[[typer.Context, str], list[str]]


def completed(choices: Callable[[Session], Iterable[str]], *, is_listed: bool = False) -> Completer:
    """Let a shell complete the choices of a home, `is_listed`: the last of several with commas.

    An error is no choice: it would stand in the line that is being typed.
    """

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        before = context.find_root().params
        found = list[str]()
        with suppress(ReelsiftError, OSError):
            found += choices(Session(config=before.get("config_file"), home=before.get("home")))
        listed, comma, _ = incomplete.rpartition(",") if is_listed else ("", "", "")
        found = [f"{listed}{comma}{each}" for each in found]
        typed = os.environ.get("COMP_WORDS", "").split("\n")[-1]
        is_bash = os.environ.get("_REELSIFT_COMPLETE") == "complete_bash" and not typed.startswith(("'", '"'))
        return list(map(_Word, found)) if is_bash else found

    return complete


def _datasets(session: Session) -> Iterator[str]:
    from tasks.datasets.manifest import MANIFEST_NAME

    found = sorted(path.parent for path in session.settings.paths.datasets.glob(f"*/ds-*/{MANIFEST_NAME}"))
    yield from ["latest"] if found else []
    yield from dict.fromkeys(folder.parent.name for folder in found)
    yield from (f"{folder.parent.name}/{folder.name}" for folder in found)


def _registered(session: Session) -> Iterator[tuple[str, list[str]]]:
    """Yield each registered model's slug and what names its versions; of a server's none, which would take seconds."""
    from tasks.tracking.registry import search_database
    from tasks.tracking.store import tracking_store

    store = tracking_store(session.settings.paths.root, session.settings.tracking.uri)
    for each in search_database(store) or ():
        yield each.name, [f"{each.name}/{each.version}", *(f"{each.name}@{alias}" for alias in each.aliases)]


def _models(session: Session) -> list[str]:
    return ["champion", *(reference for _, references in _registered(session) for reference in references)]


def _labels(session: Session) -> list[str]:
    from tasks.vocabulary.table import kept_vocabulary

    words = kept_vocabulary(session.settings.paths.vocabulary)
    return [label.shown_name for label in words.labels] if words else []


def _presets(session: Session) -> list[str]:
    from tasks.classifier.config import PRESETS

    return [*PRESETS, *session.settings.presets]


def _weights(session: Session) -> list[str]:
    table = session.settings.weights_table
    return ["all", *dict.fromkeys(entry.group for entry in table.values() if entry.group), *table]


def _spaces(session: Session) -> list[str]:
    return [EFFICIENTNET_LITE0, YT8M_GROUP, *session.settings.feature_spaces]


LISTED = "A,B"
# What a shell offers for an option or an argument, by its metavar.
CHOICES: dict[str, Callable[[Session], Iterable[str]]] = {
    "REF": _datasets,
    "MODEL": _models,
    "SLUG": lambda session: dict.fromkeys(slug for slug, _ in _registered(session)),
    "LABEL": _labels,
    "PRESET": _presets,
    "WEIGHTS": _weights,
    "SPACE": _spaces,
    "PARTITION": lambda _: PARTITIONS,
    LISTED: lambda _: CLASS_NAMES,
}


def option(*names: str, metavar: str, help: str) -> Any:  # noqa: A002, ANN401 - as Typer has both
    """Describe an option whose choices a shell completes by its metavar."""
    return typer.Option(*names, metavar=metavar, help=help, autocompletion=completed(CHOICES[metavar]))


def argument(metavar: str, help: str, *, choices: str = "") -> Any:  # noqa: A002, ANN401 - as Typer has both
    """Describe an argument in the same way."""
    return typer.Argument(metavar=metavar, help=help, autocompletion=completed(CHOICES[choices or metavar]))
