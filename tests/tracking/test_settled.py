"""Whether the gate has judged a dataset version, wherever a promotion was killed."""

import pytest

from tasks.tracking.client import connect
from tasks.tracking.registry import CHALLENGER, CHAMPION, DATASET_TAG, PROMOTED_TAG, VERDICT_TAG, settled_champion
from tasks.tracking.store import TrackingStore
from tests.support.classifiers import DATASET_ID, registered

OLDER = "ds-000000000000"
PROMOTED, KEPT = {VERDICT_TAG: "better", PROMOTED_TAG: "true"}, {VERDICT_TAG: "chance", PROMOTED_TAG: "false"}


@pytest.mark.parametrize(
    ("alias", "tags", "is_settled"),
    [
        pytest.param(CHALLENGER, {}, False, id="trained"),
        pytest.param(CHALLENGER, {VERDICT_TAG: "better"}, False, id="killed-within-the-verdict"),
        pytest.param(CHALLENGER, PROMOTED, False, id="killed-before-the-alias-moved"),
        pytest.param(CHALLENGER, KEPT, True, id="judged-and-not-promoted"),
        pytest.param(None, KEPT, True, id="judged-and-another-challenges"),
        pytest.param(None, PROMOTED, True, id="promoted-and-rolled-back"),
    ],
)
def test_a_version_is_settled_once_the_gate_has_spoken_and_it_was_done(
    store: TrackingStore, alias: str | None, tags: dict[str, str], is_settled: bool
) -> None:
    champion, candidate, client = registered(store, alias=CHAMPION), registered(store, alias=alias), connect(store)
    client.set_model_version_tag(champion.name, str(champion.version), DATASET_TAG, OLDER)
    for key, value in tags.items():
        client.set_model_version_tag(candidate.name, str(candidate.version), key, value)
    found = settled_champion(store, champion.name, DATASET_ID)
    assert (found and found.reference) == (champion.reference if is_settled else None)


def test_the_champion_of_a_version_settles_it_and_no_champion_leaves_it_open(store: TrackingStore) -> None:
    candidate = registered(store)
    assert settled_champion(store, candidate.name, DATASET_ID) is None
    connect(store).set_registered_model_alias(candidate.name, CHAMPION, str(candidate.version))
    assert settled_champion(store, candidate.name, DATASET_ID) is not None
    assert settled_champion(store, candidate.name, OLDER) is None
