"""The options of the commands, made from the forms of the flows, and what a shell completes of each."""

import os
import re
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from conf.forms import CHOSEN, DATASET, PARTITIONS
from conf.pages import Form, Input
from reelsift.session import Session
from tasks.contracts.errors import ReelsiftError
from tasks.detection.config import CLASS_NAMES, DETECTORS
from tasks.labelling.config import AUTO, IMAGENET
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


def _detectors(session: Session) -> list[str]:
    return [*DETECTORS, *session.settings.detectors]


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
    "DETECTOR": _detectors,
    "PARTITION": lambda _: PARTITIONS,
    LISTED: lambda _: CLASS_NAMES,
}


def option(*names: str, metavar: str, help: str) -> Any:  # noqa: A002, ANN401 - as Typer has both
    """Describe an option whose choices a shell completes by its metavar."""
    return typer.Option(*names, metavar=metavar, help=help, autocompletion=completed(CHOICES[metavar]))


def argument(metavar: str, help: str, *, choices: str = "") -> Any:  # noqa: A002, ANN401 - as Typer has both
    """Describe an argument in the same way."""
    return typer.Argument(metavar=metavar, help=help, autocompletion=completed(CHOICES[choices or metavar]))


NO_REGISTRY = (AUTO, IMAGENET)  # models that are in none, for a shell to complete
FormT = TypeVar("FormT", bound=Form)


AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a large download.")]
DatasetRef = Annotated[str, argument("REF", f"{DATASET}.")]


def with_form(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that takes a form have the form's fields as options, checked as a flow's start page checks them."""
    own = signature(command, eval_str=True).parameters.values()
    taken = next(each for each in own if isinstance(each.annotation, type) and issubclass(each.annotation, Form))
    fields = {name: found for name, found in taken.annotation.inputs().items() if found[1].is_typed}

    @wraps(command)
    def run(**typed: Any) -> None:  # noqa: ANN401 - options of any kind
        values = {name: _value(field, typed.pop(name)) for name, (field, _) in fields.items()}
        command(**{taken.name: checked_form(taken.annotation, **values)}, **typed)

    options = [_option(name, *found) for name, found in fields.items()]
    others = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in own if each is not taken]
    place = [each.name for each in own].index(taken.name)
    shown = Signature([*others[:place], *options, *others[place:]])
    vars(run)["__signature__"] = shown  # which Typer reads, and no class declares
    return run


def checked_form(kind: type[FormT], **values: Any) -> FormT:  # noqa: ANN401 - options of any kind
    """Check options as the form of the flow does.

    Raises:
        typer.BadParameter: an option is not what the form allows.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        name, typed = str(found[0]["loc"][0]), found[0]["input"]
        option = _names(name, kind.inputs()[name][1])[0].partition("/")[0]
        # Of a value that may be of several kinds, there is an error for each.
        # NaN equals nothing, and is the same object.
        same = (each for each in found if each["loc"][0] == name and (each["input"] is typed or each["input"] == typed))
        problems = (each["msg"] for each in same)
        problem = "; or ".join(dict.fromkeys(each.removeprefix("Value error, ") for each in problems))
        raise typer.BadParameter(f"{problem}, got {typed!r}", param_hint=option) from error


def _names(name: str, asked: Input) -> list[str]:
    return asked.names.split() or [f"--{name.replace('_', '-')}"]


def _option(name: str, field: FieldInfo, asked: Input) -> Parameter:
    """Make the parameter that Typer makes an option or an argument of: all that it says, the field says."""
    kind, choices = _typed_as(field)
    metavar = asked.metavar or "|".join(choices) or None
    names = _names(name, asked)
    is_option = names[0].startswith("-")
    kept = field.get_default()
    text = f"{field.description}{'; may be repeated' if kind == list[str] and is_option else ''}."
    about: dict[str, Any] = {
        "metavar": metavar if is_option else names[0],
        "help": escape(f"{text} [default: {asked.empty}]" if asked.empty else text),
        "autocompletion": _completer(metavar or "", choices, kept),
    }
    default = Parameter.empty if field.is_required() else list(kept) if isinstance(kept, tuple) else kept
    what = typer.Option(*names, **about) if is_option else typer.Argument(**about)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, what])


def _completer(metavar: str, choices: tuple[str, ...], default: object) -> Completer | None:
    if choices:
        return completed(lambda _: choices)
    if metavar not in CHOICES:
        return None
    own = NO_REGISTRY if default == CHOSEN else []
    return completed(lambda session: dict.fromkeys([*own, *CHOICES[metavar](session)]), is_listed=metavar == LISTED)


def _typed_as(field: FieldInfo) -> tuple[Any, tuple[str, ...]]:
    """Return the type by which Typer reads a field, and the choices; how a value must be, the form checks.

    A list is an option that may be repeated, also where one value alone will do; one that may be None is one word with
    commas.
    """
    kinds = get_args(field.annotation) if get_origin(field.annotation) in {Union, types.UnionType} else ()
    plain = [each for each in kinds or (field.annotation,) if each is not type(None)]
    if len(kinds) == len(plain) and any(get_origin(_bare(each)) is tuple for each in plain):
        return list[str], ()
    kind: Any = plain[0] if len(plain) == 1 else str
    kind = _bare(kind)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if get_origin(kind) is tuple:
        kind = str if kinds else list[str]
    kind = str if choices else kind
    return (kind | None if kinds else kind), choices


def _bare(kind: Any) -> Any:  # noqa: ANN401 - any type
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _value(field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 - an option of any kind
    """Return what was typed as the form takes it; names whose bytes are no text are written out."""
    if isinstance(value, list):
        from tasks.video.sources import typed_name

        return tuple(map(typed_name, value))
    is_listed = any(get_origin(each) is tuple for each in get_args(field.annotation))
    return tuple(each.strip() for each in value.split(",")) if is_listed and value else value


def _plain_flags(options: list[Any]) -> list[Any]:
    """Let the help show no type beside a flag, which takes no value."""
    for option in options:
        if getattr(option, "is_flag", False):
            option.metavar = ""
    return options


class Command(TyperCommand):
    """A command whose help says `--json`, and not `--json <bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer keeps the type to itself
        """Return the options, that of the help among them."""
        return _plain_flags(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, of which the same holds."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - Typer keeps the type to itself
        """Return the options, that of the help among them."""
        return _plain_flags(super().get_params(ctx))


class Commands(typer.Typer):
    """Commands of one group, with help where none is chosen."""

    def __init__(self, help: str, **settings: Any) -> None:  # noqa: A002, ANN401 - as in the class above
        super().__init__(help=help, no_args_is_help=True, cls=Group, **settings)

    def command(self, name: str | None = None, *, example: str = "", **settings: Any) -> Callable[[Any], Any]:  # noqa: ANN401
        """Add a command, with an example below its help."""
        return super().command(name, cls=Command, epilog=f"Example: {example}", **settings)
