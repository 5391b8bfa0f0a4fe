"""Flow: from a dataset version to candidates in MLflow.

    dataset ─► fit a candidate for each preset ─► MLflow runs and registered versions

What was trained before with the same data and settings is found again, unless the form says otherwise.
"""

from typing import Any

from conf.environment import running_settings
from conf.flow import flow, get_run_logger
from conf.forms import TrainClassifierForm
from flows.dataset_requests import store_of
from tasks.candidates import fit_classifier, in_headline, is_kept, rank_candidates
from tasks.datasets.caveats import caveats_of
from tasks.datasets.stored import open_anywhere
from tasks.runs import ended, result_of, show_candidates


@flow(name="train-classifier", called=lambda form: f"train on {form.dataset}")
def train_classifier(form: TrainClassifierForm) -> Any:  # noqa: ANN401 - a state; who calls it gets what that holds
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
        candidate = result_of(fit, dataset.manifest.reference, config, store, root=root)
        if not is_kept(candidate, store):
            trained_again = fit.with_options(refresh_cache=True)
            candidate = result_of(trained_again, dataset.manifest.reference, config, store, root=root)
        trained.append(candidate)
    ranked = rank_candidates(dataset.manifest.reference, trained, store, root=root)
    show_candidates(dataset.manifest, ranked, store)
    made = {
        "dataset": dataset.manifest.id,
        "slug": dataset.manifest.slug,
        "candidates": ranked,
        "warnings": list(warnings),
    }
    of_several = f", the best of {len(ranked)}" if len(ranked) > 1 else ""
    return ended(made, in_headline(ranked[0]) + of_several)
