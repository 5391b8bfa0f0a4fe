"""The feature spaces there are: which of them are available here, and what computes their features."""

from tasks.contracts.errors import ConfigError, MissingWeightsError, WeightsError, did_you_mean
from tasks.contracts.features import YT8M_FEATURE_SPACE
from tasks.features.backbone import open_onnx, section
from tasks.features.extractor import Extractor
from tasks.features.shipped import EfficientNetExtractor, embedded_weights, load_yt8m
from tasks.weights.config import EFFICIENTNET_LITE0, NEEDED_WEIGHTS, YT8M_GROUP
from tasks.weights.store import WeightsStore, by_hand, configured_weights, missing_weights

SHORT_NAMES = {YT8M_GROUP: YT8M_FEATURE_SPACE}


def space_names(store: WeightsStore) -> tuple[str, ...]:
    """Return the names of all feature spaces, as a person types them."""
    return (EFFICIENTNET_LITE0, YT8M_GROUP, *store.backbones)


def full_name(name: str, store: WeightsStore) -> str:
    """Return the name that datasets and models carry: `yt8m` is short for that of the release of 2018.

    Raises:
        ConfigError: there is no such space.
    """
    known = space_names(store)
    found = SHORT_NAMES.get(name, name)
    if name in known or found in SHORT_NAMES.values():
        return found
    raise ConfigError(
        f"No feature space {name!r}.{did_you_mean(name, known)} There are {', '.join(known)}; one of your own goes "
        "into [feature_spaces.NAME] of a file for `--config`."
    )


def missing_for(name: str, store: WeightsStore) -> tuple[str, ...]:
    """Return the weights that a space needs and that are not here; neither PyTorch nor TensorFlow is imported.

    Raises:
        ConfigError: there is no such space, or it names weights that no table has.
    """
    found = full_name(name, store)
    if found == EFFICIENTNET_LITE0:
        try:
            embedded_weights()
        except WeightsError:
            return (EFFICIENTNET_LITE0,)
        return ()
    if found == YT8M_FEATURE_SPACE:
        return tuple(missing_weights(NEEDED_WEIGHTS, store))
    wanted = store.backbones[found].weights
    return () if wanted in store.table and store.path(wanted) else (wanted,)


def is_available(name: str, store: WeightsStore) -> bool:
    """Say whether the features of a space can be computed here: it is known, and all its weights are here."""
    try:
        return not missing_for(name, store)
    except ConfigError:
        return False


def how_to_have(name: str, store: WeightsStore) -> str:
    """Say what makes a space available: what to fetch, to install or to configure; empty where it is.

    Raises:
        ConfigError: there is no such space.
    """
    missing = missing_for(name, store)
    if not missing:
        return ""
    if missing == (EFFICIENTNET_LITE0,):
        return "Install what requirements.lock names: `make install`."
    entry = store.table.get(missing[0])
    if entry is None:
        return f"Describe the weights {missing[0]} in [weight_files.{missing[0]}] of a file for `--config`."
    group = YT8M_GROUP if full_name(name, store) == YT8M_FEATURE_SPACE else missing[0]
    fetch = f"`reelsift weights fetch {group}`, or " if entry.urls else ""
    advice = f"{fetch}{by_hand(entry, store)}"
    return f"{advice[0].upper()}{advice[1:]}"


def open_extractor(name: str, store: WeightsStore) -> Extractor:
    """Return what computes the features of a space; every file of weights is looked for before the first is read.

    Raises:
        ConfigError: there is no such space, or what was configured of it does not fit.
        MissingWeightsError: a file of weights is not here.
        WeightsError: a file of weights is not what it should be.
    """
    # PLC0415: TensorFlow, PyTorch and ONNX Runtime are imported for those that need them alone.
    found = full_name(name, store)
    backbone = store.backbones.get(found)
    missing = missing_for(found, store)
    if missing and (backbone is None or backbone.weights in store.table):
        named = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here"
        raise MissingWeightsError(
            f"The feature space {found} is not available, as its weights {named}. {how_to_have(found, store)}"
        )
    if found == EFFICIENTNET_LITE0:
        return EfficientNetExtractor.open()
    if found == YT8M_FEATURE_SPACE:
        return load_yt8m(store)
    assert backbone is not None
    weights = configured_weights(section(found), backbone.weights, store)
    if backbone.model is None:
        return open_onnx(found, backbone, weights)
    from tasks.features.torchvision_backbone import open_torchvision  # noqa: PLC0415

    return open_torchvision(found, backbone, weights)
