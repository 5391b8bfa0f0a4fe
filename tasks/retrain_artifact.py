"""What a run shows of a retraining in Prefect's UI.

In: what the flow did. Out: the artifact `retrain-<slug>`: what was looked at, what was new, what was made of it, and
the verdict with its figures and links to MLflow. Does not do any of it.
"""

from collections.abc import Mapping
from typing import Any

from prefect.artifacts import create_markdown_artifact

from tasks.classifier.registry import resolve
from tasks.classifier.tracking import TrackingStore
from tasks.contracts.text import in_markdown


def show_retraining(done: Mapping[str, Any], store: TrackingStore) -> None:
    """Create the artifact of what `flows.retrain` returns."""
    rows = {"shards in the plan": _shards(done), "dataset version": _dataset(done), **_models(done, store)}
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    slug = done["dataset"]["slug"]
    create_markdown_artifact(
        f"### {slug}: {_outcome(done)}\n\n| | |\n|---|---|\n{table}\n",
        key=f"retrain-{slug}",
        description=_outcome(done),
    )


def _outcome(done: Mapping[str, Any]) -> str:
    promotion = done["promotion"]
    if promotion is None:
        return f"nothing to do, {done['champion']} stays the champion"
    return f"{done['champion']} {'is the new' if promotion['promoted'] else 'stays the'} champion"


def _shards(done: Mapping[str, Any]) -> str:
    gone = f"; {done['gone_shards']:,} of the version before are gone from it" if done["gone_shards"] else ""
    return f"{done['shards']:,}, of which {done['new_shards']:,} are new{gone}"


def _dataset(done: Mapping[str, Any]) -> str:
    version = done["dataset"]
    when = "published by this run" if done["published"] else "published before"
    return f"`{version['slug']}/{version['id']}`, {when}: {version['matches']:,} matches in {version['rows']:,} rows"


def _models(done: Mapping[str, Any], store: TrackingStore) -> dict[str, str]:
    """Describe what was trained, compared and decided."""
    comparison, promotion, champion = done["comparison"], done["promotion"], _linked(done["champion"], store)
    if comparison is None:
        return {"trained": "nothing", "champion": champion}
    figures = ", ".join(
        f"{_linked(row['model'], store)} ({in_markdown(row['kind'])}) {row['gap']:.4f}" for row in comparison["rows"]
    )
    judged = f"{comparison['videos']:,} matching videos of the frozen split"
    return {
        f"GAP@20 on {judged}": f"{figures}; [side by side in MLflow]({comparison['compare_url']})",
        "verdict": in_markdown(f"{promotion['model']}: {promotion['reason']}"),
        "champion": champion,
    }


def _linked(reference: str, store: TrackingStore) -> str:
    row = resolve(store, reference)
    return f"[{in_markdown(reference)}]({store.model_url(row.name, row.version)})"
