"""The Compose file as Compose sees it, and what is wrong with one."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "deployments" / "compose.yaml"
EXAMPLE = ROOT / "deployments" / "env.example"

REFERENCE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<rest>[^}]*))?\})")
PINNED = re.compile(r":v?\d+\.\d+(\.\d+)?[\w.-]*(@sha256:[0-9a-f]{64})?$")
SECRET_NAME = re.compile(r"(PASSWORD|SECRET_KEY|SECRET_ACCESS_KEY|AUTH_STRING)$")
# user:password@ or user:password, where the password is not from outside
LITERAL_PASSWORD = re.compile(r"://[^/@\s:]*:(?!\$\{)[^@\s]+@")

Service = dict[str, Any]


def variables_of_example(value: str = "0123456789abcdef") -> dict[str, str]:
    """Return the variables that `env.example` asks for, each with a value."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: given or value for name, given in pairs}


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Fill in `${NAME}`, `${NAME:-default}` and `${NAME:?message}`, and turn `$$` into `$`, as Compose does.

    Raises:
        LookupError: a variable that must be there is missing or empty.
    """

    def value(reference: re.Match[str]) -> str:
        name, how, rest = reference["name"], reference["how"], reference["rest"]
        if name is None:
            return "$"
        if found := variables.get(name):
            return found
        if how == ":-":
            return rest
        raise LookupError(f"{name} {rest or 'is not set'}")

    return REFERENCE.sub(value, text)


def services(text: str, variables: Mapping[str, str] | None = None) -> dict[str, Service]:
    """Return the services by name; with `variables`, as Compose would run them.

    Raises:
        LookupError: a variable that must be there is missing or empty.
    """
    document = yaml.safe_load(text)
    return (document if variables is None else _filled(document, variables))["services"]


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return interpolated(value, variables) if isinstance(value, str) else value


def complaints(text: str) -> Iterator[str]:
    """Yield what is wrong with a Compose file."""
    document = yaml.safe_load(text)
    for name, service in document["services"].items():
        yield from (f"{name}: {wrong}" for wrong in _complaints_about(service, document))
    asked = {reference["name"] for reference in REFERENCE.finditer(text) if reference["name"]}
    told = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    yield from (f"{variable} is not in {EXAMPLE.name}" for variable in sorted(asked - told))


def _complaints_about(service: Service, document: dict[str, Any]) -> Iterator[str]:
    if not PINNED.search(service["image"]):
        yield f"the image {service['image']} has no version"
    yield from (f"port {port} is open to the network" for port in service.get("ports", []) if not _is_local(port))
    for variable, value in service.get("environment", {}).items():
        if _is_literal_secret(variable, str(value)):
            yield f"{variable} holds a password"
    yield from _waits_in_vain(service, document["services"])
    volumes = [str(volume).split(":")[0] for volume in service.get("volumes", [])]
    named = {volume for volume in volumes if re.fullmatch(r"\w+", volume)}
    yield from (f"there is no volume {volume}" for volume in sorted(named - document["volumes"].keys()))


def _is_local(port: object) -> bool:
    return str(port).startswith("127.0.0.1:")


def _is_literal_secret(variable: str, value: str) -> bool:
    if LITERAL_PASSWORD.search(value):
        return True
    return bool(SECRET_NAME.search(variable)) and not value.rpartition("}:")[2].startswith("${")


def _waits_in_vain(service: Service, everything: Mapping[str, Service]) -> Iterator[str]:
    for name, wait in service.get("depends_on", {}).items():
        condition, awaited = wait["condition"], everything[name]
        if condition == "service_healthy" and "healthcheck" not in awaited:
            yield f"waits for the health of {name}, which has no check"
        if condition == "service_completed_successfully" and awaited.get("restart") != "no":
            yield f"waits for the end of {name}, which is started again"
