"""Flow: what is new in the plan becomes a new version, and the version perhaps a new champion.

    plans ─► new shards? ─► prepare dataset ─► train classifier ─► compare models ─► promote the best, if the gate
               │                                                                      lets it
               └─ none, and the gate has judged what there is ─► nothing, and says so

A run that was interrupted, wherever it was, is completed by the next: what it did is found again.
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import flow
from conf.forms import RetrainForm
from flows.dataset_requests import handing_on, request_of, store_of
from flows.pipeline import champion_from, dataset_for
from tasks.contracts.text import in_list
from tasks.datasets.caveats import summary_of
from tasks.datasets.request import manifests_here, news_of
from tasks.datasets.stored import stored_manifests
from tasks.runs import ended, outcome_of, show_retraining
from tasks.tracking.registry import settled_champion


@flow(name="retrain", called=lambda form: f"retrain {in_list('labels', form.labels)}")
def retrain(form: RetrainForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
    """Publish a version if the plan has new shards, train on what the gate has not judged, and say what was done."""
    settings = running_settings()
    settings.candidates(form.models, form.seed)  # a wrong name fails now, not after hours of downloads
    store = store_of(settings)
    request = request_of(form, settings)
    stored = stored_manifests(request.slug, settings.storage) if settings.storage else []
    known = [*stored, *manifests_here(settings.paths.datasets, request.slug)]
    news = news_of(request, known)
    settled = settled_champion(store, request.slug, news.holder.id) if news.holder else None
    # The version asked for is prepared although it is there: a damaged one is repaired by that.
    if news.holder and (settled or news.holder.id != request.id):
        version = summary_of(news.holder)
    else:
        with handing_on(request, form, settings):
            version = dataset_for(form)
    if news.holder is None:  # what no mirror has is new every night, and makes no other version
        settled = settled_champion(store, version["slug"], version["id"])
    made = {} if settled and not form.again else champion_from(f"{version['slug']}/{version['id']}", form, settings)
    promotion = made.get("promotion")
    done = {
        "shards": news.shards,
        "new_shards": news.new,
        "gone_shards": news.gone,
        "published": version["id"] not in {manifest.id for manifest in known},
        "dataset": version,
        "comparison": made.get("comparison"),
        "promotion": promotion,
        "champion": (promotion["model"] if promotion["promoted"] else promotion["champion"])
        if promotion
        else settled and settled.reference,
    }
    show_retraining(done, store)
    return ended(done, outcome_of(done))
