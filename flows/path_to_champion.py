"""The path that flows share: from a form to a dataset version, and from that to a promotion.

In: a form and the settings. Out: what each step made. Does not know whether a person or a schedule asked for it.
"""

from typing import Any

from prefect import tags

from conf.forms import PrepareDatasetForm, TrainClassifierForm, TrainOptions
from conf.settings import Settings
from flows.prepare_dataset import prepare_dataset
from flows.tracked import store_of
from flows.train_classifier import train_classifier
from tasks.compare_models import compare_models
from tasks.promote_model import promote_model
from tasks.publish_dataset import TRAINING_FOLLOWS_TAG


def dataset_for(form: PrepareDatasetForm) -> dict[str, Any]:
    """Publish what the form asks for, and say that this run trains on it: no trigger has to start another training."""
    asked = PrepareDatasetForm.model_validate(form.model_dump(include=set(PrepareDatasetForm.model_fields)))
    with tags(TRAINING_FOLLOWS_TAG):
        return prepare_dataset(asked)


def champion_from(version: str, options: TrainOptions, settings: Settings) -> dict[str, Any]:
    """Train candidates on `version` (slug/id), compare them with the champion, and let the gate judge the best."""
    root, store = settings.paths.datasets, store_of(settings)
    trained = train_classifier(
        TrainClassifierForm(dataset=version, models=options.models, seed=options.seed, again=options.again)
    )
    candidates = [f"{each['name']}/{each['version']}" for each in trained["candidates"]]
    comparison = compare_models(version, candidates, store, settings.gate, root=root)
    best = next(row["model"] for row in comparison["rows"] if row["model"] in candidates)
    promotion = promote_model(version, best, store, settings.gate, root=root)
    return {"comparison": comparison, "promotion": promotion}
