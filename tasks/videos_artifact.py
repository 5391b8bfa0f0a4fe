"""What a run shows of its videos in Prefect's UI: a table of them, lines in its log, and its final state."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from tasks.contracts.errors import VideosFailedError
from tasks.contracts.outcomes import FAILED, VideoOutcome, in_short, told
from tasks.contracts.text import in_markdown, markdown_row

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


def final_state(outcomes: Sequence[VideoOutcome], made: dict[str, Any]) -> State[dict[str, Any]]:
    """Log what went wrong, and return the state in which a run over videos ends.

    A run whose other videos are done is completed, as whatever follows can go on with those; its state's name and
    message say that some failed. A run of which nothing is left has failed.

    Raises:
        VideosFailedError: every video failed.
    """
    troubles = [outcome for outcome in outcomes if outcome.status == FAILED or outcome.warning]
    for outcome in troubles[:LOGGED]:
        get_run_logger().warning("%s", told(outcome))
    if len(troubles) > LOGGED:
        get_run_logger().warning("And %d more: the artifact has them.", len(troubles) - LOGGED)
    if outcomes and all(outcome.status == FAILED for outcome in outcomes):
        raise VideosFailedError(in_short(outcomes), made)
    return completed_state(outcomes, made)


def completed_state(outcomes: Sequence[VideoOutcome], made: dict[str, Any]) -> State[dict[str, Any]]:
    """Return the state of a completed run, whose name says whether videos failed."""
    has_failed = any(outcome.status == FAILED for outcome in outcomes)
    return Completed(name=PARTLY_FAILED if has_failed else None, message=in_short(outcomes), data=made)


def _row(outcome: VideoOutcome) -> dict[str, object]:
    return markdown_row(
        {
            "source": outcome.source,
            "status": outcome.status,
            "answer": outcome.answer or outcome.reason,
            "missing": outcome.warning or "",
            "seconds": outcome.seconds,
            "report": str(outcome.report or ""),
        }
    )
