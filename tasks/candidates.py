"""Tasks: candidates of a dataset version are trained, compared with the champion, and the best goes through the gate.

The cache key of a training is the version and the config; the caller checks that MLflow still has the model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks.classifier.config import GateConfig, TrainConfig
from tasks.classifier.splits import frozen_split
from tasks.contracts.errors import TrackingAwayError, TrackingError
from tasks.contracts.text import markdown_row
from tasks.datasets.catalogue import open_dataset
from tasks.runs import current_progress, rounded, says
from tasks.tracking.kept_training import train_candidate, training_key
from tasks.tracking.registry import list_models, resolve
from tasks.tracking.store import TrackingStore

if TYPE_CHECKING:
    from tasks.tracking.comparison import Comparison
    from tasks.tracking.promotion import Promotion


def _cache_key(_: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    return training_key(parameters["version"], parameters["config"], parameters["store"])


def in_headline(candidate: Mapping[str, Any]) -> str:
    """Say of a candidate how good it is."""
    metrics = candidate["metrics"]
    return f"{candidate['name']}/{candidate['version']}: GAP {metrics['gap_at_20']:.3f}, MAP {metrics['map']:.3f}"


@task(
    name="fit-classifier",
    task_run_name="train {config.model}",
    cache_key_fn=_cache_key,
    persist_result=True,
    result_serializer="json",
)
@says(in_headline)
def fit_classifier(version: str, config: TrainConfig, store: TrackingStore, *, root: Path) -> dict[str, Any]:
    """Train on the train split of `version` (slug/id), judge on its validate split, log, register.

    Raises:
        TrainingError: the dataset holds too little to learn from, or the loss became NaN or infinite.
        TrackingAwayError: MLflow does not answer; what was trained is kept, and logged by the next run.
        TrackingError: MLflow's store cannot be used.
    """
    list_models(store)  # that MLflow cannot be used, or wants a password, is said before hours of training, not after
    candidate = train_candidate(
        open_dataset(root, version),
        config,
        store,
        progress=current_progress(),
        flow_run=(str(flow_run.id), _page_of_this_run()) if flow_run.id else None,
    )
    return candidate.model_dump(mode="json")


def _page_of_this_run() -> str | None:
    """Return the address of the flow's run; where no server has pages, Prefect's begins with `None/`."""
    return flow_run.ui_url if str(flow_run.ui_url).startswith("http") else None


def is_kept(candidate: Mapping[str, Any], store: TrackingStore) -> bool:
    """Say whether MLflow still has what a cached training made."""
    try:
        return any(row.run_id == candidate["run_id"] for row in list_models(store))
    except TrackingAwayError:
        raise  # it may well have it, and could not take another
    except TrackingError:
        return False


@task(name="rank-candidates", persist_result=False, cache_policy=NO_CACHE)
def rank_candidates(
    version: str, candidates: Sequence[Mapping[str, Any]], store: TrackingStore, *, root: Path
) -> list[dict[str, Any]]:
    """Return the candidates with their metrics over all labels that one of them knows, the best by GAP first.

    They were trained on `version` (slug/id) and are judged on its frozen split.
    When it is trained, each is judged over its own labels. Where these are the same, nothing is left to be judged.
    """
    ranked = [dict(each) for each in candidates]
    if len({tuple(each.get("label_ids", ())) or each["run_id"] for each in candidates}) > 1:
        # Imported here, as in `compare_models`.
        from tasks.tracking.comparison import Judged, labels_of_all  # noqa: PLC0415
        from tasks.tracking.logged import final_metrics  # noqa: PLC0415

        videos = frozen_split(open_dataset(root, version))
        judged = [Judged.of(store, resolve(store, f"{each['name']}/{each['version']}"), videos) for each in ranked]
        label_ids = labels_of_all(judged)
        for each, model in zip(ranked, judged, strict=True):
            each["metrics"] = final_metrics(model.evaluation(videos, label_ids))
    return sorted(ranked, key=lambda each: -each["metrics"]["gap_at_20"])


def _comparison_in_short(comparison: Mapping[str, Any]) -> str:
    best, *others = comparison["rows"]
    beside = f", {others[0]['model']} {others[0]['gap']:.3f}" if others else ""
    return f"the best is {best['model']}: GAP {best['gap']:.3f}{beside}"


@task(name="compare-models", task_run_name="compare on {version}")
@says(_comparison_in_short)
def compare_models(
    version: str, references: Sequence[str], store: TrackingStore, gate: GateConfig, *, root: Path
) -> dict[str, Any]:
    """Judge the models on the frozen split of `version` (slug/id), and show how they compare."""
    # Imported here: a retraining with nothing to do needs neither torch nor mlflow, 10 s of imports.
    from tasks.tracking.comparison import compare, log_comparison  # noqa: PLC0415

    dataset = open_dataset(root, version)
    comparison = compare(
        store,
        frozen_split(dataset),
        dataset_id=dataset.manifest.id,
        name=dataset.manifest.slug,
        references=references,
        gate=gate,
    )
    picture_url = log_comparison(store, comparison)
    show_comparison(comparison, picture_url)
    return comparison.model_dump(mode="json")


@task(name="show-comparison", persist_result=False, cache_policy=NO_CACHE)
def show_comparison(comparison: "Comparison", picture_url: str) -> None:
    """Create the artifacts `comparison-<slug>`: the table, a link to MLflow's own comparison, and the picture."""
    key = f"comparison-{comparison.name}"
    create_table_artifact(
        [markdown_row(rounded(row.model_dump(mode="json", exclude=_left_out(comparison)))) for row in comparison.rows],
        key=key,
        description=(
            f"{comparison.videos:,} matching videos of {comparison.dataset_id}, {comparison.labels:,} labels, "
            "the best by GAP first"
        ),
    )
    create_link_artifact(comparison.compare_url, link_text="Compare these runs in MLflow", key=f"{key}-mlflow")
    create_markdown_artifact(f"![GAP and MAP of each model]({picture_url})", key=f"{key}-picture")


def _left_out(comparison: "Comparison") -> set[str]:
    """Name what the table does not show: ids, and figures of a classification where videos have several labels."""
    of_classes = {"top_1", "top_5"} if all(row.top_1 is None for row in comparison.rows) else set()
    return {"run_id", "experiment_id"} | of_classes


def promotion_in_short(promotion: Mapping[str, Any]) -> str:
    """Say what the gate decided, and why."""
    return f"{promotion['model']} {_outcome(promotion['promoted'], promotion['champion'])}: {promotion['reason']}"


def _outcome(promoted: bool, champion: str | None) -> str:
    return "is the new champion" if promoted else f"does not replace {champion}"


@task(name="promote-model", task_run_name="judge {reference}")
@says(promotion_in_short)
def promote_model(
    version: str, reference: str, store: TrackingStore, gate: GateConfig, *, root: Path
) -> dict[str, Any]:
    """Make the model the challenger, and the champion if the gate lets it, judged on `version` (slug/id)."""
    # Imported here, as in `compare_models`: a retraining with nothing to do needs none of it.
    from tasks.tracking.promotion import nominate, promote  # noqa: PLC0415

    dataset = open_dataset(root, version)
    nominate(store, reference)
    promotion = promote(store, reference, frozen_split(dataset), dataset_id=dataset.manifest.id, gate=gate)
    create_markdown_artifact(_verdict(promotion), key=f"promotion-{dataset.manifest.slug}")
    if promotion.promoted:
        emit_event(**promotion.event())
    return promotion.model_dump(mode="json")


def _verdict(promotion: "Promotion") -> str:
    outcome = _outcome(promotion.promoted, promotion.champion)
    return f"### {promotion.model} {outcome}\n\n{promotion.reason}\n"
