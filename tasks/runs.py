"""What runs of Prefect share: results, progress, retries; and the artifacts, lines and states that its UI shows."""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

from prefect import Task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.exceptions import MissingContextError
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.tasks import exponential_backoff

from tasks.contracts.datasets import DatasetManifest
from tasks.contracts.errors import DownloadError, ReelsiftError, VideosFailedError
from tasks.contracts.media import FAILED, VideoOutcome, in_short, told
from tasks.contracts.progress import LineProgress, Progress, listener
from tasks.contracts.text import in_markdown, markdown_row
from tasks.datasets.caveats import absence, caveats_of
from tasks.datasets.manifest import Dataset
from tasks.tracking.registry import resolve
from tasks.tracking.store import TrackingStore

P = ParamSpec("P")
ROUNDED = 4  # decimals of the figures that are shown: what is behind them is chance, and MLflow has them all


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a table with its figures rounded, those within lists too."""
    return {name: _rounded(value) for name, value in row.items()}


def _rounded(value: object) -> Any:  # noqa: ANN401 - what a cell holds
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if not isinstance(value, float):
        return value
    return round(value, ROUNDED) if abs(value) < 10 else round(value, 1)


def says(headline: Callable[[Any], str]) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Let a task's run end in a state whose message says what was made of it; as a plain function it returns just that.

    A task that is called rather than submitted then returns its state: `result_of` takes the result out of it.
    """

    def saying(function: Callable[P, Any]) -> Callable[P, Any]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - what the task returns, or a state
            made = function(*args, **kwargs)
            return Completed(message=headline(made), data=made) if TaskRunContext.get() else made

        return run

    return saying


def result_of(task: Task[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the task's own
    """Run a task here, and return what it made, whether or not it was cached."""
    return task(*args, **kwargs, return_state=True).result()


def ended(made: Any, headline: str) -> State[Any]:  # noqa: ANN401 - each flow has its own answer
    """Return the state of a run of a flow that is completed, and whose message says what came of it."""
    return Completed(message=headline, data=made)


def gather(*stages: Sequence[PrefectFuture[Any]]) -> list[Any]:
    """Wait for all stages and return the results of the last.

    Raises:
        Exception: the first failure of the earliest stage that has one; further ones are added as notes.
    """
    wait([future for stage in stages for future in stage])
    for stage in stages:
        failures = [error for future in stage if (error := _failure(future)) is not None]
        if failures:
            for another in failures[1:]:
                failures[0].add_note(str(another))
            raise failures[0]
    return [future.result() for future in stages[-1]]


def _failure(future: PrefectFuture[Any]) -> BaseException | None:
    result = future.result(raise_on_failure=False)
    return result if isinstance(result, BaseException) else None


LOG_EVERY_S = 10.0


def current_progress() -> Progress:
    """Return the terminal's listener where there is one, else one that writes to the run's log."""
    watching = listener()
    if watching is not None:
        return watching
    try:
        return LineProgress(get_run_logger().info, LOG_EVERY_S)
    except MissingContextError:  # called as a plain function, outside of any run
        return LineProgress(logging.getLogger("reelsift").info, LOG_EVERY_S)


async def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say yes to a mirror's failure and to what nobody foresaw, no to an input that will not get better."""
    try:
        await state.aresult()
    except DownloadError:
        return True
    except ReelsiftError:
        return False
    except Exception:  # noqa: BLE001 - whatever it was, it is only judged here; Prefect has recorded it
        return True
    return False


def retrying(retries: int, delay_s: float) -> dict[str, Any]:
    """Return the options of a task that is tried again with exponential back-off and jitter."""
    return {
        "retries": retries,
        "retry_delay_seconds": exponential_backoff(delay_s),
        "retry_jitter_factor": 0.5,
        "retry_condition_fn": worth_retrying,
    }


COMMONEST = 20


def show_dataset(dataset: Dataset, absent: Sequence[Mapping[str, Any]] = ()) -> None:
    """Create the artifacts `dataset-<slug>` and `dataset-<slug>-labels`."""
    manifest = dataset.manifest
    warnings = [*caveats_of(manifest), *map(absence, absent)]
    text = _figures(manifest, dataset) + "".join(f"\n- {in_markdown(warning)}" for warning in warnings)
    create_markdown_artifact(text, key=f"dataset-{manifest.slug}", description=manifest.id)
    create_table_artifact(
        [
            markdown_row({"index": label.index, "name": label.name, **label.by_split})
            for label in manifest.label_counts[:COMMONEST]
        ],
        key=f"dataset-{manifest.slug}-labels",
        description=f"The {COMMONEST} commonest labels among the matches of {manifest.id}",
    )


def _figures(manifest: DatasetManifest, dataset: Dataset) -> str:
    splits = ", ".join(
        f"{in_markdown(split)} {sum(part.matches for part in manifest.parts if part.split == split):,}"
        for split in manifest.splits
    )
    drops = "\n".join(
        f"| dropped: {in_markdown(reason)} | {count:,} |" for reason, count in sorted(manifest.drops.items()) if count
    )
    return (
        f"### {manifest.reference}\n\n| | |\n|---|---|\n| shards | {len(manifest.shards):,} |\n"
        f"| records read | {manifest.records:,} |\n| matches | {manifest.matches:,} ({splits}) |\n"
        f"| rows | {manifest.rows:,} |\n{drops}\n\nIn {in_markdown(str(dataset.folder))}, made by code "
        f"{in_markdown(manifest.code_revision)}. `reelsift dataset show {manifest.reference}` shows more.\n"
    )


def show_candidates(manifest: DatasetManifest, candidates: Sequence[Mapping[str, Any]], store: TrackingStore) -> None:
    """Create the artifacts `candidates-<slug>` and `candidates-<slug>-mlflow`."""
    create_table_artifact(
        [
            markdown_row(
                {"model": f"{each['name']}/{each['version']}", "kind": each["kind"], **rounded(each["metrics"])}
            )
            | {"run": each["run_url"]}
            for each in candidates
        ],
        key=f"candidates-{manifest.slug}",
        description=(
            f"Candidates trained on {manifest.id}, judged on its validate split over all labels that one of them knows"
        ),
    )
    create_link_artifact(
        store.compare_url([each["experiment_id"] for each in candidates], [each["run_id"] for each in candidates]),
        link_text="Compare these runs in MLflow",
        key=f"candidates-{manifest.slug}-mlflow",
    )


def show_retraining(done: Mapping[str, Any], store: TrackingStore) -> None:
    """Create the artifact of what `flows.retrain` returns."""
    rows = {"shards in the plan": _shards(done), "dataset version": _dataset(done), **_models(done, store)}
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    slug = done["dataset"]["slug"]
    create_markdown_artifact(
        f"### {slug}: {outcome_of(done)}\n\n| | |\n|---|---|\n{table}\n",
        key=f"retrain-{slug}",
        description=outcome_of(done),
    )


def outcome_of(done: Mapping[str, Any]) -> str:
    """Say in a headline what `flows.retrain` returns."""
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


SHOWN = 500  # rows: the manifest has them all, and a page of thousands helps nobody
LOGGED = 50  # lines
PARTLY_FAILED = "Partly failed"


def show_videos(outcomes: Sequence[VideoOutcome], *, key: str, made_by: str, manifest: Path | None = None) -> None:
    """Create the artifact `key`: failures first, as they are what somebody must look at."""
    counts = Counter(outcome.status for outcome in outcomes)
    counted = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    rows = sorted(outcomes, key=lambda outcome: (outcome.status != FAILED, not outcome.warning))[:SHOWN]
    where = f". All rows: {in_markdown(str(manifest))}" if manifest else ""
    create_table_artifact(
        [_row(outcome) for outcome in rows], key=key, description=f"{counted}, by {in_markdown(made_by)}{where}"
    )


def final_state(outcomes: Sequence[VideoOutcome], made: dict[str, Any]) -> State[Any]:
    """Log what went wrong, and return the state in which a run over videos ends.

    A run whose other videos are done is completed, as whatever follows can go on with those; its state's name and
    message say that some failed. A run of which nothing is left has failed: whoever called it gets a
    `VideosFailedError`.
    """
    troubles = [outcome for outcome in outcomes if outcome.status == FAILED or outcome.warning]
    for outcome in troubles[:LOGGED]:
        get_run_logger().warning("%s", told(outcome))
    if len(troubles) > LOGGED:
        get_run_logger().warning("And %d more: the artifact has them.", len(troubles) - LOGGED)
    if outcomes and all(outcome.status == FAILED for outcome in outcomes):
        return Failed(message=in_short(outcomes), data=VideosFailedError(in_short(outcomes), made))
    return completed_state(outcomes, made)


def completed_state(
    outcomes: Sequence[VideoOutcome], made: dict[str, Any], *, before: str = ""
) -> State[dict[str, Any]]:
    """Return the state of a completed run, whose name says whether videos failed, as lists of runs show it."""
    has_failed = any(outcome.status == FAILED for outcome in outcomes)
    return Completed(name=PARTLY_FAILED if has_failed else None, message=before + in_short(outcomes), data=made)


def _row(outcome: VideoOutcome) -> dict[str, object]:
    return markdown_row(
        {
            "source": outcome.source,
            "status": outcome.status,
            "answer": outcome.answer or outcome.reason,
            "missing": outcome.warning or "",
            "seconds": outcome.seconds and round(outcome.seconds, 1),
            "report": str(outcome.report or ""),
        }
    )
