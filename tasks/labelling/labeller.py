"""What every model that labels videos can do, and how one is opened by name."""

from tasks.labelling.config import IMAGENET
from tasks.labelling.scores import Labeller
from tasks.tracking.store import TrackingStore
from tasks.weights.store import WeightsStore


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
