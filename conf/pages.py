"""What a form is: how its fields are asked for at a command line, and on the start page of a flow in Prefect's UI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from tasks.contracts.model import FrozenModel


@dataclass(frozen=True)
class Input:
    """How a field is asked for, on a page and at a command line; what it means and may be, its `Field` says."""

    position: int  # among the fields: the UI would sort them by name
    names: str = ""  # of the option, apart by spaces; one without dashes is an argument; by default the field's name
    metavar: str | None = None  # by default the choices, where there are any
    empty: str = ""  # what it means that no value is given
    is_typed: bool = True  # whether the command line has it
    choices: str = ""  # which of the page's choices it has


class Form(FrozenModel):
    """The parameters of a flow."""

    sections: ClassVar[tuple[str, ...]] = ()  # of the settings, for fields that are left empty

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, values: Any) -> Any:  # noqa: ANN401 - whatever somebody sends
        """Take null for what was not filled in: a default then holds, and what has none is missing."""
        if not isinstance(values, Mapping):
            return values
        return {name: value for name, value in values.items() if value is not None or name not in cls.model_fields}

    @classmethod
    def inputs(cls) -> dict[str, tuple[FieldInfo, Input]]:
        """Return each field and how it is asked for, by name and in the order of the positions."""
        found = {name: (each, _input(each)) for name, each in cls.model_fields.items()}
        return dict(sorted(found.items(), key=lambda item: item[1][1].position))

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Place the fields on the page, say there what an empty one means, and fill in what is configured."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, (_, asked) in cls.inputs().items():
            shown = properties[name]
            shown["position"] = asked.position
            is_switch = {"type": "boolean"} in shown.get("anyOf", ())  # which is on or off, and never empty
            shown["description"] += f"; empty: {asked.empty}" if asked.empty and not is_switch else ""
            if asked.choices in page.choices:
                _offer(shown, page.choices[asked.choices])
            if shown.get("default", page) is None:
                _fill_in(shown, page.configured(cls.sections, name))
        return schema


@dataclass
class Page:
    """What the start pages of the flows know of the home that they are deployed from."""

    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by section
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of fields, by `Input.choices`

    def configured(self, sections: Sequence[str], name: str) -> Any:  # noqa: ANN401 - a setting of any kind
        """Return what holds where nobody fills in a field; None where that is no value."""
        return next((self.settings[each][name] for each in sections if name in self.settings.get(each, ())), None)


page = Page()  # empty but where flows are deployed


KINDS = {"integer": "A number", "number": "A number", "string": "Text", "array": "A list"}


def _fill_in(shown: dict[str, Any], configured: Any) -> None:  # noqa: ANN401 - a setting of any kind
    """Let a field be empty, or hold what is configured: the page would show `None`, and ask which kind a value is."""
    kinds = [kind for kind in shown.pop("anyOf") if kind != {"type": "null"}]
    for kind in kinds:
        if "const" in kind:  # which the page lets nobody choose
            kind["enum"] = [kind.pop("const")]
        if len(kinds) > 1:  # these are what the page has buttons for
            kind["title"] = kind["enum"][0] if "enum" in kind else KINDS[kind["type"]]
    shown |= {"anyOf": kinds} if len(kinds) > 1 else kinds[0]
    del shown["default"]
    if configured is not None:
        shown["default"] = configured


def _offer(shown: dict[str, Any], choices: Sequence[str]) -> None:
    """Let a person choose names, or type others: a model may be newer than the page."""
    several = next(each for each in [shown, *shown.get("anyOf", ())] if each.get("type") == "array")
    chosen = several | {"title": "Choose", "items": {"type": "string", "enum": list(choices)}}
    typed = [each | {"title": "Type several" if each is several else "Type one"} for each in shown.get("anyOf", ())]
    if typed:
        shown["anyOf"] = [chosen, *typed]
    else:
        several["items"] = chosen["items"]


def _input(found: FieldInfo) -> Input:
    return next(each for each in found.metadata if isinstance(each, Input))
