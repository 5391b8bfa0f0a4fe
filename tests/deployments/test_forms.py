"""The forms of the UI: what it makes of the parameters of every flow that is deployed."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from conf import forms, pages
from conf.pages import Form
from conf.settings import load_settings
from deployments.register import PREFECT_FILE, fill_pages, read_yaml
from tasks.labelling.config import LabelOptions
from tasks.shards.plan import split_of

FORMS = [
    kind for kind in vars(forms).values() if isinstance(kind, type) and issubclass(kind, Form) and kind is not Form
]
GIVEN = {"labels": ["Cooking"], "source": "clips.csv", "sources": ["a.mp4"], "batch": "batch.json"}
BOUNDS = ("minimum", "exclusiveMinimum", "maximum")
DEPLOYMENTS = {each["name"]: each for each in read_yaml(PREFECT_FILE)["deployments"]}
# What has no default that is anybody's: which videos, of which batch.
FOR_A_PERSON_TO_SAY = {"source", "sources", "batch"}


@pytest.fixture(scope="module", autouse=True)
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What deploying knows of a home: its settings, presets and models."""
    home = tmp_path_factory.mktemp("home")
    config = home / "mine.toml"
    config.write_text('[filter]\nbackground = 7\n[label]\nwindow = 9\n[presets.mine]\nmodel = "moe"\n')
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("REELSIFT_HOME", str(home))
        patched.setattr(pages, "page", pages.Page())
        fill_pages(load_settings(config))
        yield


@cache
def form(name: str) -> dict[str, Any]:
    """Return the JSON schema of a flow's form, with references to definitions put in place."""
    schema = parameter_schema(load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])).model_dump()
    assert list(schema["properties"]) == ["form"]
    definitions: dict[str, Any] = schema["definitions"]
    return definitions[schema["properties"]["form"]["$ref"].rpartition("/")[2]]


def kinds(field: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield everything that a value of the field may be, and what the elements of a list may be."""
    yield field
    for kind in field.get("anyOf", ()):
        yield from kinds(kind)
    if "items" in field:
        yield from kinds(field["items"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_field_says_what_it_is(name: str) -> None:
    fields = form(name)["properties"]
    assert fields
    for field, schema in fields.items():
        assert {"title", "description", "position"} <= schema.keys(), field
        assert schema["description"][0].isupper() or ":" in schema["description"], field
        assert not schema["description"].endswith("."), field
        numbers = [kind for kind in kinds(schema) if kind.get("type") in ("integer", "number")]
        for bound in (kind[bound] for kind in numbers for bound in BOUNDS if bound in kind):
            assert str(bound) in schema["description"], field
        assert all(BOUNDS[0] in kind or BOUNDS[1] in kind for kind in numbers), field


def test_no_deployment_is_named_twice() -> None:
    assert len(DEPLOYMENTS) == len(read_yaml(PREFECT_FILE)["deployments"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_form_is_in_order_and_valid_as_it_opens(name: str) -> None:
    schema = form(name)
    positions = [field["position"] for field in schema["properties"].values()]
    assert len(set(positions)) == len(positions)
    prefilled = DEPLOYMENTS[name].get("parameters", {}).get("form", {})
    assert set(schema.get("required", ())) <= {*prefilled, *FOR_A_PERSON_TO_SAY}
    assert prefilled.keys() <= schema["properties"].keys()


@pytest.mark.parametrize(
    ("name", "field", "choices"),
    [
        pytest.param("prepare-dataset", "match", {"any", "all"}, id="match"),
        pytest.param("retrain", "partitions", {"video/train", "video/validate"}, id="partitions"),
        pytest.param("detect-objects", "detector", {"auto", "pointrend", "yolox-nano"}, id="detector"),
        pytest.param("detect-objects", "speed", {"normal", "fast", "rapid"}, id="speed"),
        pytest.param("detect-objects", "classes", {"bottle", "person"}, id="classes"),
        pytest.param("prepare-dataset", "background", {"all"}, id="background"),
        pytest.param("label-videos", "model", {"auto", "imagenet", "champion"}, id="model"),
        pytest.param("pipeline", "video_model", {"auto", "imagenet", "champion"}, id="video-model"),
        pytest.param("train-classifier", "models", {"logistic", "gated", "mine"}, id="presets"),
        pytest.param("retrain", "models", {"logistic", "gated", "mine"}, id="presets-of-a-schedule"),
    ],
)
def test_choices_are_choices(name: str, field: str, choices: set[str]) -> None:
    offered = {each for kind in kinds(form(name)["properties"][field]) for each in kind.get("enum", ())}
    assert choices <= offered


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_field_shows_none_or_a_constant_that_nobody_can_choose(name: str) -> None:
    for field, schema in form(name)["properties"].items():
        assert schema.get("default", ...) is not None, field
        assert not [kind for kind in kinds(schema) if kind.get("type") == "null" or "const" in kind], field
        assert all("title" in kind for kind in schema.get("anyOf", ())), field  # what its buttons say


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_only_what_can_be_empty_says_what_that_means(name: str) -> None:
    for field, schema in form(name)["properties"].items():
        says = "; empty: " in schema["description"]
        assert not (says and schema.get("type") == "boolean"), field
        assert "--" not in schema["description"], field  # an option of the command line


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)
def test_null_is_what_was_not_filled_in(kind: type[Form]) -> None:
    given = {name: GIVEN[name] for name, field in kind.model_fields.items() if field.is_required()}
    as_it_opens = kind.model_validate(given)
    assert kind.model_validate({**dict.fromkeys(kind.model_fields), **given}) == as_it_opens
    for name in given:
        with pytest.raises(ValidationError) as refused:
            kind.model_validate({**given, name: None})
        (error,) = refused.value.errors()
        assert (error["type"], error["loc"]) == ("missing", (name,))
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.model_validate({**given, "sauces": None})


def test_fields_are_filled_in_with_what_is_configured() -> None:
    """Of another section than the form's, a setting of the same name says nothing: detecting has a rate of its own."""
    assert form("prepare-dataset")["properties"]["background"]["default"] == 7
    assert form("label-videos")["properties"]["window"]["default"] == 9
    assert form("label-videos")["properties"]["rate_hz"]["default"] == LabelOptions().rate_hz
    assert "default" not in form("detect-objects")["properties"]["rate_hz"]
    assert form("retrain")["properties"]["seed"]["default"] == 0


def test_every_partition_that_is_offered_is_one() -> None:
    (items,) = (kind["items"] for kind in kinds(form("retrain")["properties"]["partitions"]) if "items" in kind)
    assert {split_of(partition) for partition in items["enum"]} == {"train", "validate"}
