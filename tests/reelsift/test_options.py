"""The options that commands have of the forms, the examples in the help, and usage errors as JSON."""

import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

import reelsift
from conf import forms
from conf.pages import Form, Input
from reelsift import cli
from reelsift.options import Commands, with_form
from tests.support.typed_commands import all_options

FORMS = [
    forms.ShardsForm,
    forms.PrepareDatasetForm,
    forms.ImportDatasetForm,
    forms.ExtractDatasetForm,
    forms.TrainClassifierForm,
    forms.LabelVideosForm,
    forms.DetectObjectsForm,
    forms.ShotsForm,
    forms.ClipsForm,
    forms.PipelineForm,
]
NEEDED = {"labels": ("--label", "Cooking"), "sources": ("a.mp4",), "source": ("kitchen.csv",)}
BOUNDS = {"minimum": -1, "exclusiveMinimum": 0, "maximum": 1, "exclusiveMaximum": 0}  # the first step outside


def leaves(command: Any, name: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return every command that does something, by its name."""
    below = getattr(command, "commands", None)
    if not below:
        return {name: command}
    return {found: leaf for word, each in below.items() for found, leaf in leaves(each, (*name, word)).items()}


ROOT: Any = typer.main.get_command(cli.app)
COMMANDS = leaves(ROOT)


def form_of(command: Any) -> type[Form] | None:
    """Return the form that a command takes, if it takes one."""
    kinds = (each.annotation for each in inspect.signature(inspect.unwrap(command.callback)).parameters.values())
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Form)), None)


WITH_FORM = {name: (command, form) for name, command in COMMANDS.items() if (form := form_of(command))}
FIELDS = [
    pytest.param(command, form, field, id=f"{'-'.join(name)}-{field}")
    for name, (command, form) in WITH_FORM.items()
    for field, (_, asked) in form.inputs().items()
    if asked.is_typed
]


def test_the_commands_of_flows_have_their_forms() -> None:
    assert {form for _, form in WITH_FORM.values()} == {*FORMS, forms.MirrorForm}


@pytest.mark.parametrize(("command", "form", "field"), FIELDS)
def test_an_option_says_what_the_field_says(command: Any, form: type[Form], field: str) -> None:
    option = next(each for each in command.params if each.name == field)
    about, asked = form.inputs()[field]
    shown = form.model_json_schema()["properties"][field]  # what Prefect's page shows
    assert option.required is about.is_required()
    assert not option.required or option.default is None
    default = option.default if not isinstance(option.default, list) else tuple(option.default)
    assert option.required or default == about.get_default()
    said = re.fullmatch(r"(.+?)(?:; may be repeated)?\.(?: \\\[default: (.+)\])?", option.help)
    assert said
    assert (said[2] or "") == asked.empty
    may_be_empty = said[2] and shown.get("type") != "boolean"  # a page shows a switch on or off
    assert said[1] + (f"; empty: {said[2]}" if may_be_empty else "") == shown["description"]
    names = [name for text in asked.names.split() for name in text.split("/")] or [f"--{field.replace('_', '-')}"]
    assert [*option.opts, *option.secondary_opts] == names or option.param_type_name == "argument"


def typed(form: type[Form], *arguments: object) -> tuple[int, Any, str]:
    """Type arguments at a command of its own that takes the form; return the exit code, the form and what was said."""
    app, taken = Commands("A trial."), []

    @with_form
    def trial(form: form) -> None:  # type: ignore[valid-type]
        taken.append(form)

    app.command("trial")(trial)
    needed = [word for name in form.model_fields if name in NEEDED for word in NEEDED[name]]
    run = CliRunner().invoke(app, list(map(str, (*arguments, *needed))))
    return run.exit_code, taken[0] if taken else None, run.output


def numbers(form: type[Form]) -> list[tuple[str, Input, str, float]]:
    """List the bounds that the form's schema has: the field, its input, the kind of bound, and the bound."""
    found = []
    for name, (_, asked) in form.inputs().items():
        if form.model_fields[name].get_default() is not None:
            continue  # its own tests type it
        shown = form.model_json_schema()["properties"][name]
        kinds = shown.get("anyOf", [shown])
        found += [(name, asked, bound, kind[bound]) for kind in kinds for bound in BOUNDS if bound in kind]
    return found


@pytest.mark.parametrize("form", FORMS)
def test_an_option_has_the_bounds_of_the_field(form: type[Form]) -> None:
    bounds = numbers(form)
    assert bounds or form in {forms.ImportDatasetForm, forms.ClipsForm}  # which have none that may be left out
    for name, asked, kind, bound in bounds:
        option = asked.names.split()[0] if asked.names else f"--{name.replace('_', '-')}"
        code, _, said = typed(form, f"{option}={bound + BOUNDS[kind]}")
        assert (code, option in said) == (2, True), (name, kind)
        assert re.search(r"greater|less", " ".join(said.split()))
        if BOUNDS[kind]:
            code, taken, _ = typed(form, f"{option}={bound}")
            assert (code, getattr(taken, name)) == (0, bound)


def test_what_is_typed_is_the_form() -> None:
    words = (
        "--label Food -l 22 --match all --exclude Recipe --partition video/train --mirror eu --limit 3 --shards 2,10 "
        "--background 4 --strict --discard-shards --runner dask --address tcp://a:1 --model moe --model gated --seed 7 "
        "--again --video a.mp4 --video b.mp4 --video-model imagenet --detector yolox-nano"
    )
    code, taken, said = typed(forms.PipelineForm, *words.split())
    assert code == 0, said
    assert taken == forms.PipelineForm(
        labels=("Food", "22", "Cooking"), match="all", exclude=("Recipe",), partitions=("video/train",), mirror="eu",
        limit=3, shards="2,10", background=4, strict=True, discard_shards=True, runner="dask", dask_address="tcp://a:1",
        models=("moe", "gated"), seed=7, again=True, videos=("a.mp4", "b.mp4"), video_model="imagenet",
        detector="yolox-nano",
    )  # fmt: skip
    _, taken, _ = typed(forms.DetectObjectsForm, "--classes", "cup, wine glass", "--no-annotate", "--out", "here")
    assert taken == forms.DetectObjectsForm(
        sources=("a.mp4",), classes=("cup", "wine glass"), annotate=False, out=Path("here")
    )
    assert typed(forms.LabelVideosForm)[1] == forms.LabelVideosForm(sources=("a.mp4",))
    assert typed(forms.PrepareDatasetForm, "--background", "all")[1].background == "all"
    assert typed(forms.PrepareDatasetForm, "--background", "some")[0] == 2


@pytest.mark.parametrize(
    ("function", "form"),
    [
        pytest.param(reelsift.label, forms.LabelVideosForm, id="label"),
        pytest.param(reelsift.detect, forms.DetectObjectsForm, id="detect"),
        pytest.param(reelsift.build_dataset, forms.PrepareDatasetForm, id="build_dataset"),
        pytest.param(reelsift.import_dataset, forms.ImportDatasetForm, id="import_dataset"),
        pytest.param(reelsift.extract_dataset, forms.ExtractDatasetForm, id="extract_dataset"),
        pytest.param(reelsift.train, forms.TrainOptions, id="train"),
    ],
)
def test_a_function_of_the_package_has_the_defaults_of_the_form(function: Any, form: type[Form]) -> None:
    parameters = inspect.signature(function).parameters
    shared = parameters.keys() & form.model_fields.keys()
    given = {name for name in shared if not form.model_fields[name].is_required()}
    assert {name: parameters[name].default for name in given} == {
        name: form.model_fields[name].get_default() for name in given
    }
    here_alone = {"sources", "dataset", "where", "runner", "dask_address"}  # `source`, `data`, and what needs a flow
    assert form.model_fields.keys() - shared <= here_alone


class ReachedError(Exception):
    """A command began its work, so its line was understood."""


class NoSession:
    def __init__(self, **_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise ReachedError


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_the_example_of_a_command_is_one(
    name: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    example = re.fullmatch(r"Example: reelsift (.+)", COMMANDS[name].epilog or "")
    assert example
    words = shlex.split(example[1])
    assert tuple(words[: len(name)]) == name
    COMMANDS[name].make_context("reelsift", words[len(name) :])  # raises if there is no such option
    if name in WITH_FORM:  # whose values the form checks before the work
        monkeypatch.setattr(cli, "Session", NoSession)
        monkeypatch.chdir(tmp_path)
        run = CliRunner().invoke(cli.app, words)
        assert isinstance(run.exception, ReachedError), run.output
    shown = CliRunner().invoke(cli.app, [*name, "--help"], env={"COLUMNS": "200"}).output
    assert f" {example[0]} " in shown


def test_no_flag_has_a_type_in_the_help() -> None:
    for name in [(), *COMMANDS]:
        shown = CliRunner().invoke(cli.app, [*name, "--help"], env={"COLUMNS": "200"}).output
        assert "--help" in shown
        assert not re.search(r"<bool>|<int range>|<float range>", shown)


WITH_JSON = [name for name, options in all_options().items() if "--json" in options]


def failed(words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """Run a line as the console script does, in this process; return the code, and what came on both streams."""
    monkeypatch.setattr("sys.argv", ["reelsift", *words])
    with pytest.raises(SystemExit) as exit_:
        cli.run()
    out, err = capfd.readouterr()
    assert exit_.value.code == 2
    return json.loads(out) if out else None, err


@pytest.mark.parametrize("name", WITH_JSON, ids=" ".join)
def test_a_usage_error_is_an_object_with_json(
    name: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    answer, said = failed([*name, "--json", "--nonsense"], monkeypatch, capfd)
    assert answer.keys() == {"error"}
    assert answer["error"]["type"] == "NoSuchOption"
    assert answer["error"]["message"].startswith("No such option: --nonsense")
    assert "No such option: --nonsense" in said
    assert failed([*name, "--nonsense"], monkeypatch, capfd)[0] is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("detect --json", "Missing argument 'SOURCE'", id="argument"),
        pytest.param("dataset build --json", "Missing option '--label'", id="option"),
        pytest.param("dataset build -l x --limit 0 --json", "Invalid value for --limit: ", id="bound"),
        pytest.param("dataset build -l x --background some --json", "; or Input should be 'all', got", id="union"),
        pytest.param("dataset build -l x --limit many --json", "Invalid value for '--limit': ", id="number"),
        pytest.param("label a.mp4 --fps 61 --json", "Invalid value for --fps: ", id="named-otherwise"),
        pytest.param("shards plan --shards 3,2 --json", "--shards: must be X,Y with X from 1 to Y", id="share"),
        pytest.param("prune --older-than x --json", "must be a number and h, d or w", id="age"),
        pytest.param("up --cpu-runs 0 --json", "--cpu-runs: Input should be", id="stack"),
        pytest.param("nonsense --json", "No such command 'nonsense'", id="command"),
        pytest.param("detect -w4w9Wg_XcQ --json", "write it last, behind --: -- -w4w9Wg_XcQ", id="advice"),
    ],
)
def test_what_is_wrong_with_a_line_is_in_its_object(
    line: str, message: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    answer, said = failed(line.split(), monkeypatch, capfd)
    assert message in answer["error"]["message"]
    assert cast("str", answer["error"]["message"]).split()[0] in said
    assert "Traceback" not in said


def test_an_error_that_nobody_expected_is_an_object_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reelsift", "dataset", "list", "--json"])
    monkeypatch.setattr(cli, "Session", NoSession)
    with pytest.raises(ReachedError):  # the traceback of which is for stderr
        cli.run()
    assert json.loads(capfd.readouterr().out)["error"]["type"] == "ReachedError"
