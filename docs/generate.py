"""Writes the generated parts of the pages in `docs/` from the code; `make docs` runs it.

`python docs/generate.py notebook` runs the notebook first, and keeps what its cells print.
"""

import ast
import json
import os
import re
import sys
import tempfile
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from conf.layers import defaults_layer
from conf.settings import Settings, settings_of
from tasks.classifier.config import PRESETS, TrainConfig
from tasks.weights.config import Backbone, OnnxDetector, WeightsEntry

DOCS = Path(__file__).parent
NOTEBOOK = DOCS / "notebook.ipynb"
NOTEBOOK_WITHIN_S = 280
ROOT = DOCS.parent
TOPS = ("reelsift", "conf", "flows", "tasks", "deployments")
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤", "pattern": ""}
PLAIN_TYPES = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", type(None): "none"}


def pages() -> dict[Path, str]:
    """Return every page with its generated parts as the code has them now."""
    return {path: filled(path.read_text(encoding="utf-8")) for path in sorted(DOCS.glob("*.md"))}


def filled(text: str) -> str:
    """Return a page with its generated parts replaced; the text around them stays."""
    return MARKED.sub(lambda found: f"{found[1]}\n{_generated(found[2])}\n\n{found[3]}", text)


def _generated(name: str) -> str:
    kind, _, argument = name.partition(":")
    makers: dict[str, Callable[[str], str]] = {
        "settings": lambda _: settings_page(),
        "modules": lambda _: module_list(),
        "notebook": lambda _: notebook_cells(),
        "model": lambda name: model_table(named(name)),
        "schema": lambda name: schema_table(named(name)),
    }
    return makers[kind](argument)


def named(dotted: str) -> Any:  # noqa: ANN401 - a model or a schema
    """Return what `package.module.name` names."""
    module, _, name = dotted.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


def settings_page() -> str:
    """Return a table of settings for each section, with default, bounds and description."""
    shipped = settings_of([defaults_layer()]).model_dump(mode="json")
    loose = list[str]()
    sections = list[str]()
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            doc = (section.__doc__ or "").partition("\n")[0]
            rows = [_setting(key, each, shipped[name][key]) for key, each in section.model_fields.items()]
            sections.append(f"## `[{name}]`\n\n{doc}\n\n{_table(SETTING_COLUMNS, rows)}")
        else:
            loose.append(_setting(name, field, shipped[name]))
    named = [_presets(), *(_named_section(name, *each) for name, each in NAMED.items())]
    return "\n\n".join([f"## Outside of any section\n\n{_table(SETTING_COLUMNS, loose)}", *sections, *named])


SETTING_COLUMNS = ("setting", "default", "values", "description")


NAMED: dict[str, tuple[type[BaseModel], str]] = {
    "feature_spaces": (
        Backbone,
        "A feature space of your own: a model of torchvision up to a layer, or an ONNX file with one picture input.",
    ),
    "detectors": (OnnxDetector, "A detector of your own: an ONNX file of DETR's kind, of COCO's classes."),
    "weight_files": (WeightsEntry, "A file of weights of your own, or another address for one that is known."),
}


def _named_section(name: str, model: type[BaseModel], about: str) -> str:
    rows = [
        _setting(key, field, None if field.is_required() else field.get_default())
        for key, field in model.model_fields.items()
    ]
    return f"## `[{name}.NAME]`\n\n{about}\n\n{_table(SETTING_COLUMNS, rows)}"


def _presets() -> str:
    rows = [
        _row(f"`{key}`", *(_value(getattr(preset, key)) for preset in PRESETS.values()), _allowed(field), _about(field))
        for key, field in TrainConfig.model_fields.items()
    ]
    table = _table(("setting", *(f"`{name}`" for name in PRESETS), "values", "description"), rows)
    return (
        "## `[presets.NAME]`\n\nA model of your own; `--model NAME` trains it. A key left out has the default of "
        f"`logistic`; `model` must be given. The built-in presets:\n\n{table}"
    )


def _setting(key: str, field: FieldInfo, default: object) -> str:
    return _row(f"`{key}`", _value(default), _allowed(field), _about(field))


def model_table(model: type[BaseModel]) -> str:
    """Return the fields of a JSON file, or of an object in one, with type and meaning."""
    rows = [_row(f"`{name}`", _type(field.annotation), _about(field)) for name, field in model.model_fields.items()]
    return _table(("key", "type", "meaning"), rows)


def schema_table(schema: pa.Schema) -> str:
    """Return the columns of a Parquet file."""
    rows = [_row(f"`{field.name}`", f"`{_arrow(field.type)}`", "yes" if field.nullable else "no") for field in schema]
    return _table(("column", "type", "may be null"), rows)


def notebook_cells() -> str:
    """Return the cells of the notebook with what they printed; the report of a video is shown in Jupyter alone."""
    return "\n\n".join(part for cell in json.loads(NOTEBOOK.read_bytes())["cells"] for part in _cell(cell))


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source.removeprefix("# reelsift in a notebook\n\n")  # the page has the title itself
        return
    yield f"```python\n{source}\n```"
    if printed := shown_by(cell):
        yield f"```text\n{printed}\n```"


def shown_by(cell: Mapping[str, Any]) -> str:
    """Return what a cell of code has printed and returned, as text."""
    texts = [output.get("text") or output["data"]["text/plain"] for output in cell["outputs"]]
    return "\n".join("".join(text).rstrip() for text in texts)


def run_notebook(folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run the notebook from top to bottom in `folder`, and return it with what its cells printed."""
    import nbclient  # noqa: PLC0415 - only here
    import nbformat  # noqa: PLC0415

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(
        notebook, timeout=NOTEBOOK_WITHIN_S, resources=resources, record_timing=False, kernel_name="python3"
    )
    client.execute(env=dict(environment))
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        cell["outputs"] = [each for each in outputs if each.get("name") != "stderr"]  # warnings of libraries
        for output in cell["outputs"]:
            if "<iframe" in output.get("data", {}).get("text/html", ""):  # pages of other hosts leave it out
                del output["data"]["text/html"]
        if cell["cell_type"] == "markdown":
            del cell["outputs"]
    return dict(notebook)


def _keep_notebook() -> None:
    with tempfile.TemporaryDirectory() as folder:
        notebook = run_notebook(Path(folder), os.environ)
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def module_list() -> str:
    """Return a line for each module, by folder: its docstring's first sentence or two."""
    return "\n\n".join(_folder(folder) for top in TOPS for folder in _folders(ROOT / top))


def _folders(top: Path) -> Iterator[Path]:
    for folder in sorted({path.parent for path in top.rglob("*.py")}):
        if any(path.stem != "__init__" for path in folder.glob("*.py")):
            yield folder


def _folder(folder: Path) -> str:
    modules = [path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
    lines = [f"- `{path.name}`: {_docstring(path)}" for path in modules]
    package = folder / "__init__.py"
    about = f"{_docstring(package)}\n\n" if package.is_file() and _docstring(package) else ""
    return f"### `{folder.relative_to(ROOT)}/`\n\n{about}" + "\n".join(lines)


def _docstring(path: Path) -> str:
    """Return the first paragraph of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _arrow(kind: pa.DataType) -> str:
    if isinstance(kind, pa.DictionaryType):
        return f"dictionary<{kind.value_type}>"
    return re.sub(r"<(?:element|item): (.+?)(?: not null)?>", r"<\1>", str(kind))


def _type(annotation: Any) -> str:  # noqa: ANN401 - whatever a field may be annotated with
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return _plain_type(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"list of {len(arguments)} of {_type(arguments[0])}"
    if origin in {typing.Annotated, tuple}:
        return f"{'list of ' if origin is tuple else ''}{_type(arguments[0])}"
    if origin is dict:
        return f"object: {_type(arguments[0])} to {_type(arguments[1])}"
    return " or ".join(dict.fromkeys(map(_type, arguments)))  # a union


def _plain_type(annotation: Any) -> str:  # noqa: ANN401 - whatever a field may be annotated with
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "one of " + ", ".join(f"`{each.value}`" for each in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"`{annotation.__name__}`"
    return PLAIN_TYPES.get(annotation, "any JSON")


def _allowed(field: FieldInfo) -> str:
    """Return the bounds of a setting, else its type."""
    bounds = [
        f"{sign} {_value(getattr(rule, name))}".strip()
        for rule in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([_type(field.annotation), *bounds])


def _value(value: object) -> str:
    if value is None or value is PydanticUndefined:
        return "-"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:,}"
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _about(field: FieldInfo) -> str:
    return field.description or ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(columns: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([_row(*columns), _row(*["---"] * len(columns)), *rows])


if __name__ == "__main__":
    if sys.argv[1:] == ["notebook"]:
        _keep_notebook()
    for page, content in pages().items():
        page.write_text(content, encoding="utf-8")
