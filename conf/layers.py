"""The layers of the settings, where each value came from, and the error for one that is refused."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from tasks.contracts.errors import ConfigError

CONF_FOLDER = Path(__file__).parent
SHIPPED = ("smoke", "full")  # settings for an occasion, beside the defaults
ENV_PREFIX = "REELSIFT_"
ENV_DELIMITER = "__"
# Not settings: which file to read, where the tests find real data, the stack, worker, server and `up` that a process
# belongs to, by which names a server may be called, and how long a benchmark of kills goes on.
OTHER_VARIABLES = frozenset(
    {
        "REELSIFT_CONFIG",
        "REELSIFT_REAL_DATA",
        "REELSIFT_STACK",
        "REELSIFT_WORKER",
        "REELSIFT_UP",
        "REELSIFT_SERVER_OF",
        "REELSIFT_SERVER_OWNER",
        "REELSIFT_SERVER_HOSTS",
        "REELSIFT_SERVER_ORIGINS",
        "REELSIFT_KILLS",
        "REELSIFT_KILLED",
    }
)
BUILT_IN = "built-in"

Values = Mapping[str, Any]  # nested, as TOML and the environment give them


@dataclass(frozen=True)
class Layer:
    """Values and the place where a person finds them."""

    origin: str
    values: Values


def defaults_layer() -> Layer:
    """Return what reelsift ships with."""
    return toml_layer(CONF_FOLDER / "default.toml", origin="conf/default.toml")


def toml_layer(path: Path, origin: str | None = None) -> Layer:
    """Read a TOML file; a name without a folder or suffix means one of `conf/` (`smoke`, `full`).

    Raises:
        ConfigError: there is no such file, or it is not TOML.
    """
    found = config_file(path)
    path = path if found == path.expanduser().absolute() else found  # named as the person named it
    try:
        return Layer(origin or str(path), tomllib.loads(found.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(
            f"No configuration file {str(path)!r}; name a TOML file, or {' or '.join(SHIPPED)}."
        ) from error
    except OSError as error:
        raise ConfigError(f"The configuration file {str(path)!r} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error


def config_file(path: Path) -> Path:
    """Return the absolute path of the file that `--config` names: one of the person's own goes first."""
    shipped = CONF_FOLDER / f"{path}.toml"
    given = path.expanduser().absolute()
    return shipped if str(path) in SHIPPED and not given.exists() else given


def environment_layer(settings: type[BaseSettings]) -> Layer:
    """Read the `REELSIFT_*` variables; sections and their keys are joined by two underscores.

    Raises:
        ConfigError: a variable names no setting, or should hold JSON and does not.
    """
    for name in os.environ:
        _check_variable(name, settings)
    try:
        return Layer("environment", EnvSettingsSource(settings)())
    except SettingsError as error:
        raise ConfigError(
            f'A {ENV_PREFIX}* variable cannot be read: {error}. Lists are JSON: \'["us", "eu"]\'.'
        ) from error


def _check_variable(name: str, settings: type[BaseSettings]) -> None:
    if not name.startswith(ENV_PREFIX) or name in OTHER_VARIABLES:
        return
    field = name.removeprefix(ENV_PREFIX).split(ENV_DELIMITER)[0].lower()
    if field not in settings.model_fields:
        known = ", ".join(f"{ENV_PREFIX}{field.upper()}" for field in settings.model_fields)
        raise ConfigError(
            f"The environment variable {name} names no setting. There are {known}; unset it or correct it."
        )


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """Merge the layers key by key, the last one winning."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge_into(merged, layer.values)
    return merged


def _merge_into(target: dict[str, Any], values: Values) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge_into(target[key], value)
        else:
            target[key] = dict(value) if isinstance(value, Mapping) else value


def origin_of(location: Sequence[str], layers: Sequence[Layer]) -> str:
    """Return the last layer that sets the value at `location`, as a person would look for it."""
    for layer in reversed(layers):
        if _has(layer.values, location):
            return variable_of(location) if layer.origin == "environment" else layer.origin
    return BUILT_IN


def variable_of(location: Sequence[str]) -> str:
    """Return the environment variable that sets the value at `location`."""
    return ENV_PREFIX + ENV_DELIMITER.join(location).upper()


def _has(values: Any, location: Sequence[str]) -> bool:  # noqa: ANN401 - whatever a TOML value may be
    for key in location:
        if not isinstance(values, Mapping) or key not in values:
            return False
        values = values[key]
    return True


def leaves(values: Values, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the location and value of everything that is not itself a table; an empty table is a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


NEXT_STEP = "`reelsift config show` prints what is in force."


def refusal(error: ValidationError, layers: Sequence[Layer], model: type[BaseModel]) -> str:
    """Say all that is wrong in one line."""
    reasons = [_reason(detail, layers, model) for detail in error.errors(include_url=False)]
    return " ".join([*dict.fromkeys(reasons), NEXT_STEP])


def _reason(detail: Any, layers: Sequence[Layer], model: type[BaseModel]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    location = [str(key) for key in detail["loc"]]
    where = f"{'.'.join(location)} (from {_origin(location, layers)})"
    if detail["type"] == "extra_forbidden":
        return f"There is no setting {where}{_hint(location, model)}"
    return f"The setting {where} is {detail['input']!r}: {_lower_first(detail['msg'].removeprefix('Value error, '))}."


def _origin(location: Sequence[str], layers: Sequence[Layer]) -> str:
    """Find the layer; pydantic's location may go on into a list or a union, where no layer has a key."""
    for length in range(len(location), 0, -1):
        origin = origin_of(location[:length], layers)
        if origin != "built-in":
            return origin
    return "built-in"


def _hint(location: Sequence[str], model: type[BaseModel]) -> str:
    names = _names_beside(location, model)
    near = difflib.get_close_matches(location[-1], names, n=2)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {', '.join(names)}." if names else "."


def _names_beside(location: Sequence[str], model: type[BaseModel]) -> list[str]:
    for key in location[:-1]:
        field = model.model_fields.get(key)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return list(model.model_fields)


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
