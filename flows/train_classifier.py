"""Flow: from a dataset version to candidates in MLflow.

    dataset ─► fit a candidate for each preset ─► MLflow runs and registered versions

What was trained before with the same data and settings is found again, unless the form says otherwise.
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import flow, get_run_logger
from conf.forms import TrainClassifierForm
from flows.dataset_requests import store_of
from tasks.candidates import fit_classifier, is_kept, rank_candidates
from tasks.datasets.caveats import caveats_of
from tasks.datasets.stored import open_anywhere
from tasks.runs import show_candidates


@flow(name="train-classifier")
def train_classifier(form: TrainClassifierForm) -> dict[str, Any]:
    """Train, log and register the candidates one after the other: each uses the whole machine."""
    settings = running_settings()
    root = settings.paths.datasets
    dataset = open_anywhere(root, form.dataset, settings.storage)
    warnings = caveats_of(dataset.manifest)
    for warning in warnings:
        get_run_logger().warning("%s", warning)
    store = store_of(settings)
    fit = fit_classifier.with_options(refresh_cache=form.again)
    trained = []
    configs = settings.candidates(form.models, form.seed, whole_vocabulary=dataset.manifest.is_whole_vocabulary)
    for config in configs.values():
        candidate = fit(dataset.manifest.reference, config, store, root=root)
        if not is_kept(candidate, store):
            candidate = fit.with_options(refresh_cache=True)(dataset.manifest.reference, config, store, root=root)
        trained.append(candidate)
    ranked = rank_candidates(dataset.manifest.reference, trained, store, root=root)
    show_candidates(dataset.manifest, ranked, store)
    return {
        "dataset": dataset.manifest.id,
        "slug": dataset.manifest.slug,
        "candidates": ranked,
        "warnings": list(warnings),
    }
