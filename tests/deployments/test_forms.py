"""The forms of the UI: what it makes of the parameters of every flow that is deployed."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.register import PREFECT_FILE, read_yaml
from tasks.shards.plan import split_of

BOUNDS = ("minimum", "exclusiveMinimum", "maximum")
DEPLOYMENTS = {each["name"]: each for each in read_yaml(PREFECT_FILE)["deployments"]}
# What has no default that is anybody's: which videos, of which batch.
FOR_A_PERSON_TO_SAY = {"source", "sources", "batch"}


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
    ],
)
def test_choices_are_choices(name: str, field: str, choices: set[str]) -> None:
    offered = {each for kind in kinds(form(name)["properties"][field]) for each in kind.get("enum", ())}
    assert choices <= offered


def test_every_partition_that_is_offered_is_one() -> None:
    (items,) = (kind["items"] for kind in kinds(form("retrain")["properties"]["partitions"]) if "items" in kind)
    assert {split_of(partition) for partition in items["enum"]} == {"train", "validate"}
