"""What the feature spaces of one's own share: their weights held to the table, their layers pooled, their sound."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tasks.contracts.errors import ConfigError, WeightsError
from tasks.contracts.features import FeatureSpace, Modality, SpaceWeights
from tasks.contracts.media import WeightsRecord
from tasks.features.batches import FrameNetwork
from tasks.features.efficientnet import PICTURE, SOUND
from tasks.features.sound_network import STATISTICS_SAMPLES, STATISTICS_SIZE, band_statistics
from tasks.weights.config import Backbone
from tasks.weights.store import Weights, WeightsStore, find_weights

VERSION = 1  # raise by hand when the same backbone gives other features


def section(name: str) -> str:
    """Return how a message names the settings of a space."""
    return f"[feature_spaces.{name}]"


def backbone_weights(name: str, backbone: Backbone, store: WeightsStore) -> Weights:
    """Return the file of weights of a space.

    Raises:
        ConfigError: the table has no such entry.
        MissingWeightsError: the file is not here.
        WeightsError: it is not the one whose digest the table has.
    """
    if backbone.weights not in store.table:
        try:
            store.entry(backbone.weights)
        except WeightsError as error:
            raise ConfigError(
                f"{section(name)} weights: {error} An entry of your own goes into [weight_files.{backbone.weights}]."
            ) from error
    found, entry = find_weights(backbone.weights, store), store.entry(backbone.weights)
    if entry.sha256 and not entry.archive_member and found.record.sha256 != entry.sha256:
        raise WeightsError(
            f"The weights {found.path} have sha256 {found.record.sha256}, and {backbone.weights} should have "
            f"{entry.sha256}: put the right file there, or correct `sha256` in [weight_files.{backbone.weights}]."
        )
    return found


@dataclass(frozen=True)
class BackboneExtractor:
    """A network of one's own, and the statistics of the sound where they are wanted."""

    space: FeatureSpace
    records: tuple[WeightsRecord, ...]
    network: FrameNetwork
    mean_s: float | None = None

    @property
    def sound_samples(self) -> int:
        """Samples that describe a moment; 0 without sound."""
        return STATISTICS_SAMPLES if len(self.space.modalities) > 1 else 0

    def frame_network(self) -> FrameNetwork:
        """Return the network."""
        return self.network

    def of_sound(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean over time of each of the 64 bands, then the deviations: (n, 128)."""
        return band_statistics(windows)


def extractor_of(
    name: str, backbone: Backbone, weights: Weights, network: FrameNetwork, words: str
) -> BackboneExtractor:
    """Put a network and the sound together; `words` say all that the features depend on beside the weights.

    Raises:
        ConfigError: the network gives more values than a space may have.
    """
    sound = "; mean and deviation of 64 log-mel bands" if backbone.sound else ""
    try:
        space = FeatureSpace(
            name=name,
            modalities=(
                Modality(name=PICTURE, size=network.columns),
                *([Modality(name=SOUND, size=STATISTICS_SIZE)] if backbone.sound else []),
            ),
            rate_hz=backbone.rate_hz,
            extractor=f"{words}{sound}; {VERSION}",
            weights=(SpaceWeights(name=weights.record.name, sha256=weights.record.sha256),),
        )
    except ValidationError as error:
        raise ConfigError(
            f"{section(name)}: the network gives {network.columns:,} values for a picture, more than a feature space "
            "may have: name a later layer or output, after a pooling."
        ) from error
    return BackboneExtractor(space, (weights.record,), network)


def pooled(values: NDArray[Any], places: tuple[int, ...]) -> NDArray[np.float32]:
    """Return what a layer says of n pictures, (n, columns), averaged over places.

    Args:
        values: (n, columns), (n, tokens, columns), or with two axes of places and one of columns.
        places: axes of the places, of four.
    """
    axes = {2: (), 3: (1,), 4: places}[values.ndim]
    return values.mean(axis=axes, dtype=np.float32) if axes else values.astype(np.float32)


def check_values(values: NDArray[Any], count: int, what: str) -> None:
    """See that a layer or output describes each of `count` pictures by numbers.

    Raises:
        ConfigError: it has another shape, or holds what is not finite.
    """
    if values.ndim not in {2, 3, 4} or len(values) != count or values.dtype.kind != "f" or not values.size:
        raise ConfigError(
            f"{what} gives {values.dtype} of shape {values.shape} for {count} pictures, and not floats of shape "
            "(n, values), (n, places, values) or (n, values, height, width): name another."
        )
    if not np.isfinite(values).all():
        raise ConfigError(f"{what} gives values that are not finite for a black picture: its weights are damaged.")
