"""Which models label videos where none is named, and how one is opened by its name."""

from tasks.contracts.errors import ConfigError, TrackingError
from tasks.contracts.features import YT8M
from tasks.contracts.model import FrozenModel
from tasks.features.spaces import how_to_have, is_available
from tasks.labelling.config import IMAGENET
from tasks.labelling.scores import Labeller
from tasks.tracking.registry import CHAMPION, ModelRow, champions
from tasks.tracking.store import TrackingStore
from tasks.weights.config import EFFICIENTNET_LITE0
from tasks.weights.store import WeightsStore

LOOK_WITHIN_S = 3.0  # that a server has to say which champions there are, before a video is labelled without it


class Choice(FrozenModel):
    """The model that labels where none is named."""

    model: str  # `imagenet`, or name/version
    why: str  # in one line, the model's name first
    left_out: tuple[str, ...] = ()  # champions whose features cannot be computed here, with what to do


def choose_model(store: TrackingStore, weights: WeightsStore, rate_hz: float = YT8M.rate_hz) -> Choice:
    """Choose the newest champion whose features can be computed here, of so many frames a second, else imagenet.

    A local registry is read without MLflow, and not made where there is none. One that cannot be read is no reason not
    to label: that is said.
    """
    try:
        found = champions(store, within_s=LOOK_WITHIN_S)
    except TrackingError as error:
        return Choice(model=IMAGENET, why=f"{IMAGENET}: whether there is a champion is not known. {error}")
    here = [
        row
        for row in found
        if is_available(row.feature_space, weights) and _rate_hz(row.feature_space, weights) == rate_hz
    ]
    left_out = tuple(_left_out(row, weights, rate_hz) for row in found if row not in here)
    if here:
        return Choice(model=here[0].reference, why=_why(here[0]), left_out=left_out)
    none = "no champion can label here" if found else "there is no champion yet"
    return Choice(model=IMAGENET, why=f"{IMAGENET}: {none}", left_out=left_out)


def _why(row: ModelRow) -> str:
    is_embedded = row.feature_space == EFFICIENTNET_LITE0
    how = "are embedded" if is_embedded else "can be computed here"
    return f"{_named(row)}: its features, {row.feature_space}, {how}"


def _named(row: ModelRow) -> str:
    """Name a champion, its version, and when it became champion."""
    since = f"promoted {row.champion_since:%Y-%m-%d}" if row.champion_since else f"trained {row.created_at:%Y-%m-%d}"
    return f"{row.name}@{CHAMPION} (v{row.version}, {since})"


def _rate_hz(space: str, weights: WeightsStore) -> float:
    """Return how many frames a second the features of a space are of: the shipped ones are as YouTube-8M's."""
    own = weights.backbones.get(space)
    return own.rate_hz if own else YT8M.rate_hz


def _left_out(row: ModelRow, weights: WeightsStore, rate_hz: float) -> str:
    """Say why a champion cannot label here, and what to do about it."""
    about, space = f"{_named(row)} is left out: its features, {row.feature_space},", row.feature_space
    try:
        if how := how_to_have(space, weights):
            return f"{about} need what is not here. {how}"
    except ConfigError:
        return f"{about} are not known here. Describe them under [feature_spaces.{space}] of a file for `--config`."
    own_hz = _rate_hz(space, weights)
    frames = "one frame" if own_hz == 1 else f"{own_hz:g} frames"
    return f"{about} are of {frames} a second, not {rate_hz:g}. `--fps {own_hz:g}` lets it label."


def open_labeller(reference: str, *, store: TrackingStore, weights: WeightsStore) -> Labeller:
    """Return the model that a reference names, ready to score; a missing file is missed here, not at the first video.

    Args:
        reference: `imagenet`, or a model of the registry (see `tasks.tracking.registry.resolve`).
        store: of the registry.
        weights: of the networks that turn frames and sound into features.

    Raises:
        UnknownModelError: the registry has no such model.
        MissingWeightsError: a model of the registry looks at features, and the weights for these are not there.
        FeatureSpaceError: it looks at features of another space.
        ModelError, TrackingError: it cannot be loaded.
    """
    # PLC0415: each costs seconds of imports that the other does not need.
    if reference == IMAGENET:
        from tasks.labelling.imagenet import ImagenetLabeller  # noqa: PLC0415

        return ImagenetLabeller.open()
    from tasks.labelling.registered import RegisteredLabeller  # noqa: PLC0415

    return RegisteredLabeller.open(reference, store, weights)
