"""Settings: TOML files and environment variables, layered into the frozen configs of the stages."""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from conf.home import Home
from conf.layers import (
    ENV_PREFIX,
    Layer,
    defaults_layer,
    environment_layer,
    leaves,
    merge,
    refusal,
    toml_layer,
    variable_of,
)
from tasks.classifier.config import PRESETS, GateConfig, TrainConfig
from tasks.contracts.datasets import VOCABULARY_SIZE
from tasks.contracts.errors import ConfigError, did_you_mean
from tasks.contracts.features import SpaceName
from tasks.contracts.model import FrozenModel
from tasks.detection.config import DETECTORS, DetectOptions
from tasks.fan_out.config import PoolConfig
from tasks.labelling.config import LabelOptions
from tasks.shards.config import PUBLIC, DownloadConfig
from tasks.video.config import FetchConfig, MediaBounds, ShotOptions
from tasks.weights.config import SHIPPED_SPACES, Backbone, OnnxDetector, WeightsEntry


class FilterSection(FrozenModel):
    """How records are filtered; the labels themselves are named with each run."""

    background: int | Literal["all"] = Field(
        default="all", description="unmatched videos kept for each match, so that a model learns what is not it"
    )
    vocabulary_size: int = Field(
        default=VOCABULARY_SIZE, ge=1, le=1_000_000, description="labels of the release; 4716 in early 2017"
    )
    check_crc: bool = Field(default=True, description="check the CRC-32C of every record")
    strict: bool = Field(default=False, description="fail on a damaged shard instead of reporting it")


class TrainSection(FrozenModel):
    """Which candidates are trained."""

    models: tuple[str, ...] = Field(
        default=("logistic", "moe", "gated"), min_length=1, description="presets; one candidate each"
    )
    vocabulary_models: tuple[str, ...] = Field(
        default=("logistic", "gated", "chain"),
        min_length=1,
        description="the same for a dataset of the whole vocabulary (`--label all`)",
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of every candidate")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where there is one")


class TrackingSection(FrozenModel):
    """Where models are kept and compared."""

    uri: str | None = Field(
        default=None, description="MLflow server, e.g. http://127.0.0.1:5000; default: a database in the home"
    )
    ui_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/@\s]+(/\S*)?$",
        description="where browsers find MLflow's pages, if not at the server's address; links lead there",
    )
    artifacts: str | None = Field(
        default=None,
        description="URI for the files of a database's new experiments, e.g. s3://BUCKET/mlflow; default: the home",
    )


class FlowSection(FrozenModel):
    """How patient flows are with a batch that fails, after the stages' own retries."""

    retries: int = Field(default=2, ge=0, le=20, description="further tries of a failed batch")
    retry_delay_s: float = Field(
        default=10.0, ge=0, le=3600, description="seconds before the first; doubles, with jitter"
    )
    runner: Literal["local", "dask"] = Field(
        default="local", description="what downloads and filters shards: threads here, or processes of a Dask cluster"
    )
    dask_address: str | None = Field(
        default=None, description="a Dask scheduler, e.g. tcp://10.0.0.7:8786; default: a cluster made here for the run"
    )
    dask_processes: int = Field(default=2, ge=1, le=256, description="processes of a cluster that is made here")
    videos_per_batch: int = Field(default=16, ge=1, le=10_000, description="videos that make one task run")


def _refuse_shipped(named: dict[str, Backbone] | dict[str, OnnxDetector], shipped: tuple[str, ...], what: str) -> None:
    if taken := [name for name in shipped if name in named]:
        raise ValueError(f"{taken[0]} is {what} that reelsift ships with: give yours another name")


class Settings(BaseSettings):
    """Everything that can be configured, complete and within bounds."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    home: Path = Field(default=Path(".reelsift"), description="folder of everything that is written")
    mirror: str | None = Field(default=None, description="us, eu, asia, a URL or a folder; goes before all others")
    download: DownloadConfig = DownloadConfig()
    filter: FilterSection = FilterSection()
    train: TrainSection = TrainSection()
    presets: dict[str, TrainConfig] = Field(default={}, description="models of your own, beside the built-in presets")
    gate: GateConfig = GateConfig()
    tracking: TrackingSection = TrackingSection()
    fetch: FetchConfig = FetchConfig()
    media: MediaBounds = MediaBounds()
    label: LabelOptions = LabelOptions()
    detect: DetectOptions = DetectOptions()
    shots: ShotOptions = ShotOptions()
    weights: Path | None = Field(default=None, description="folder of weights that are used as they are")
    clips: Path | None = Field(
        default=None, description="labelled videos that `reelsift demo` trains on, as `dataset import` takes them"
    )
    weight_files: dict[str, WeightsEntry] = Field(
        default={}, description="entries that go before those of conf/weights.toml, e.g. for a mirror of your own"
    )
    feature_spaces: dict[SpaceName, Backbone] = Field(
        default={}, description="feature spaces of your own, beside yt8m and efficientnet-lite0"
    )
    detectors: dict[SpaceName, OnnxDetector] = Field(
        default={},
        description="detectors of your own, ONNX files of DETR's kind, beside the shipped ones",
    )
    storage: str | None = Field(
        default=None,
        description="where finished things are kept for every machine: s3://BUCKET/PREFIX, gs://… or file:///FOLDER",
    )
    flow: FlowSection = FlowSection()
    pool: PoolConfig = PoolConfig()

    @field_validator("home", "weights", "clips", mode="before")
    @classmethod
    def _names_a_folder(cls, value: object) -> object:
        """Refuse an empty path, e.g. of a variable that a script left unset: it would mean the working folder."""
        if isinstance(value, str) and not value.strip():
            raise ValueError(
                "it must name a folder; an empty one would mean the working folder. Name one or leave it out"
            )
        return value

    @field_validator("feature_spaces")
    @classmethod
    def _leaves_the_shipped_spaces(cls, value: dict[str, Backbone]) -> dict[str, Backbone]:
        """Refuse the name of a space that there is: features of two spaces would pass for the same."""
        _refuse_shipped(value, SHIPPED_SPACES, "a feature space")
        return value

    @field_validator("detectors")
    @classmethod
    def _leaves_the_shipped_detectors(cls, value: dict[str, OnnxDetector]) -> dict[str, OnnxDetector]:
        """Refuse the name of a detector that there is: it would never be opened."""
        _refuse_shipped(value, DETECTORS, "a detector")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load_settings` has layered and nothing else, so that each value's origin is known."""
        return (init_settings,)

    @property
    def paths(self) -> Home:
        """Where things lie below `home`."""
        return Home(self.home.expanduser().absolute())

    def download_from(self, mirror: str | None = None) -> DownloadConfig:
        """Return the downloads' config; a mirror named here, or as `mirror`, is tried in place of the listed ones."""
        chosen = mirror or self.mirror
        return self.download.model_copy(update={"mirrors": (chosen,)}) if chosen else self.download

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: the server that is set, else the database in the home."""
        return self.tracking.uri or self.paths.default_tracking_uri

    @property
    def weights_table(self) -> dict[str, WeightsEntry]:
        """What is known of each file of weights; an entry of one's own stays in the group of the shipped one."""
        shipped = load_weights_table()
        own = {
            name: entry.model_copy(update={"group": shipped[name].group})
            if name in shipped and not entry.group
            else entry
            for name, entry in self.weight_files.items()
        }
        return {**shipped, **own}

    def check_detector(self, name: str) -> None:
        """See that there is a detector of that name.

        Raises:
            ConfigError: there is none.
        """
        if name not in (known := (*DETECTORS, *self.detectors)):
            raise ConfigError(
                f"detector: there is no {name!r}.{did_you_mean(name, known)} There are {', '.join(known)}; one of your "
                "own goes into [detectors.NAME] of a file for `--config`."
            )

    def candidates(
        self, models: tuple[str, ...] = (), seed: int | None = None, *, whole_vocabulary: bool = False
    ) -> dict[str, TrainConfig]:
        """Return the configs of the presets named, or of those in the section `train`, by name.

        That has others for a dataset of the whole vocabulary.

        Raises:
            ConfigError: there is no such preset.
        """
        known = {**PRESETS, **self.presets}
        chosen = {"seed": self.train.seed if seed is None else seed, "device": self.train.device}
        names = models or (self.train.vocabulary_models if whole_vocabulary else self.train.models)
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(
                f"No model preset {unknown[0]!r}; there are {', '.join(known)}.{did_you_mean(unknown[0], known)} "
                f"Define one of your own under `[presets.{unknown[0]}]` in a file for `--config`; `reelsift config "
                "show` prints what is in force."
            )
        return {name: known[name].model_copy(update=chosen) for name in names}


def path_variables(settings: Settings) -> dict[str, str]:
    """Return variables for the relative paths in the settings, made absolute: workers run in folders of their own."""
    found = {
        variable_of(location): str(value.expanduser().absolute())
        for location, value in leaves(settings.model_dump(exclude={"home"}))
        if isinstance(value, Path)
    }
    if settings.mirror:
        found[variable_of(["mirror"])] = absolute_mirror(settings.mirror)
    mirrors = list(map(absolute_mirror, settings.download.mirrors))
    if mirrors != list(settings.download.mirrors):
        found[variable_of(["download", "mirrors"])] = json.dumps(mirrors)
    return found


def absolute_mirror(name: str) -> str:
    """Return the name of a mirror that means the same in any folder."""
    is_folder = name not in PUBLIC and "://" not in name
    return str(Path(name).expanduser().absolute()) if is_folder else name


def load_settings(config: Path | None = None, options: Layer | None = None) -> Settings:
    """Layer the defaults, `config`, the environment and the command line's options.

    Raises:
        ConfigError: a file is missing or not TOML, a key is unknown, or a value is out of bounds.
    """
    return settings_of(setting_layers(config, options))


def setting_layers(config: Path | None = None, options: Layer | None = None) -> list[Layer]:
    """Return the layers in the order in which they are applied, the last one winning."""
    layers = [defaults_layer()]
    if config is not None:
        layers.append(toml_layer(config))
    layers.append(environment_layer(Settings))
    return [*layers, options] if options else layers


def settings_of(layers: list[Layer]) -> Settings:
    """Check what the layers say together.

    Raises:
        ConfigError: a key is unknown, or a value is out of bounds.
    """
    try:
        return Settings(**merge(layers))
    except ValidationError as error:
        raise ConfigError(refusal(error, layers, Settings)) from error


TABLE = Path(__file__).with_name("weights.toml")


@cache
def load_weights_table() -> dict[str, WeightsEntry]:
    """Return the entries of the shipped table, in its order."""
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: WeightsEntry.model_validate(entry) for name, entry in entries.items()}
