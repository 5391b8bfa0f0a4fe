"""How a model that labels is named.

In: what a person says. Out: a name that means the same model for good. Does not load models.
"""

from tasks.classifier.registry import resolve
from tasks.classifier.tracking import TrackingStore

IMAGENET = "imagenet"  # the model that is embedded and needs no registry


def exact_reference(reference: str, store: TrackingStore) -> str:
    """Return `imagenet`, or name/version of the registered model that a reference names now: an alias may move.

    Raises:
        UnknownModelError: there is no such model, or an alias names several.
        TrackingError: the registry cannot be read.
    """
    return reference if reference == IMAGENET else resolve(store, reference, others=[IMAGENET]).reference
