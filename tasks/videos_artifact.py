"""What a run shows of its videos in Prefect's UI.

In: outcomes. Out: an artifact: a table with one row for each video. Does not label or detect anything.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import create_table_artifact

from tasks.contracts.outcomes import VideoOutcome
from tasks.contracts.text import in_markdown, markdown_row

SHOWN = 500  # rows: the manifest has them all, and a page of thousands helps nobody


def show_videos(outcomes: Sequence[VideoOutcome], *, key: str, made_by: str, manifest: Path | None = None) -> None:
    """Create the artifact `key`: failures first, as they are what somebody must look at."""
    counts = Counter(outcome.status for outcome in outcomes)
    counted = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    rows = sorted(outcomes, key=lambda outcome: outcome.status != "failed")[:SHOWN]
    where = f". All rows: {in_markdown(str(manifest))}" if manifest else ""
    create_table_artifact(
        [_row(outcome) for outcome in rows], key=key, description=f"{counted}, by {in_markdown(made_by)}{where}"
    )


def _row(outcome: VideoOutcome) -> dict[str, object]:
    return markdown_row(
        {
            "source": outcome.source,
            "status": outcome.status,
            "answer": outcome.answer or outcome.reason,
            "seconds": outcome.seconds,
            "report": str(outcome.report or ""),
        }
    )
