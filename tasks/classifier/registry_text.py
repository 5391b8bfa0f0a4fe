"""What the pages of MLflow's registry say of a model and of each version, in markdown.

In: rows of the registry, and the description that is there. Out: the new description, in which a person's own text
stays: the program writes the part between two comments, which MLflow's pages do not show. Links are within these pages,
so they work wherever the database is served. Does not read or write the registry.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from tasks.classifier.registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, ModelRow
from tasks.classifier.tracking import comparison_page, run_page, version_page
from tasks.contracts.text import in_markdown

# The first one stands at the end of the first line: the list of versions shows how a description begins, as it is.
BEGINS = "<!-- reelsift: from this line -->"
ENDS = "<!-- reelsift: to this one; what is above and below is kept -->"
SECTION = re.compile(rf"[^\n]*{re.escape(BEGINS)}(?:(?!{re.escape(BEGINS)}).)*?{re.escape(ENDS)}", re.DOTALL)
DESCRIPTION_LENGTH = 5000  # characters, the most that MLflow's tables hold
VERDICT_LENGTH = 600
GAP = "&emsp;"
SHOWN = {CHAMPION: "champion", CHALLENGER: "challenger", PREVIOUS_CHAMPION: "previous champion"}
COLUMNS = ("", "version", "kind", "GAP@20", "MAP", "coverage", "dataset", "trained", "champion since")


def model_section(rows: Sequence[ModelRow]) -> str:
    """Return what is to be said of a registered model with these versions: who holds which alias, and why."""
    holders = {alias: row for alias in SHOWN for row in rows if alias in row.aliases}
    champion = holders.get(CHAMPION)
    first = f"**Champion: {_version(champion)}**, {_figures(champion)}" if champion else "**There is no champion yet.**"
    table = [_line(COLUMNS), "|---" * len(COLUMNS) + "|", *(_holder(alias, holders.get(alias)) for alias in SHOWN)]
    notes = (
        "GAP@20 and MAP are on the validate split of each model's dataset, over all labels that a version of that "
        "dataset knows; coverage is the share of all positives that a version's own labels have. The gate judges both "
        "on one split. Times: UTC."
    )
    return _section(first, ["\n".join(table), notes, *_comparisons(holders), *_verdicts(holders)])


def version_section(row: ModelRow) -> str:
    """Return what is to be said of a version: its dataset, its figures, and the runs that made it."""
    run = f"[the run with its curves and files]({run_page(row.experiment_id, row.run_id)})"
    facts = [
        f"Trained {_time(row.created_at)} UTC in {row.seconds:.1f} s: {run}",
        f"Prefect run: {_flow_run(row)}",
        f"Gate: {_plain(row.verdict) if row.verdict else 'has not judged it yet'}",
    ]
    first = f"{_plain(row.kind)}, {_figures(row)} on the validate split of {_plain(row.dataset_id)}"
    return _section(first, ["\n".join(f"- {fact}" for fact in facts)])


def is_described(description: str) -> bool:
    """Say whether a description has a section of the program's."""
    return SECTION.search(description) is not None


def described(description: str | None, section: str) -> str:
    """Return a description with its section brought up to date, or with one added below what a person wrote.

    Where both are too much for MLflow, the person's text stays and the section goes.
    """
    text = description or ""
    found = SECTION.search(text)
    if found is None:
        merged = f"{text.rstrip()}\n\n{section}" if text.strip() else section
    else:  # where somebody copied the section, its copies are no text of theirs
        merged = text[: found.start()] + section + SECTION.sub("", text[found.end() :])
    if len(merged) <= DESCRIPTION_LENGTH:
        return merged
    return SECTION.sub("", text).strip()


def _section(first: str, blocks: Sequence[str]) -> str:
    return "\n\n".join([f"{first} {BEGINS}", *blocks, ENDS])


def _holder(alias: str, row: ModelRow | None) -> str:
    if row is None:
        return _line([SHOWN[alias], "none", *[""] * (len(COLUMNS) - 2)])
    since = _time(row.champion_since) if alias == CHAMPION and row.champion_since else ""
    figures = _figure(row.gap), _figure(row.map), _figure(row.coverage)
    return _line(
        [SHOWN[alias], _version(row), _plain(row.kind), *figures, _plain(row.dataset_id), _time(row.created_at), since]
    )


def _comparisons(holders: Mapping[str, ModelRow]) -> list[str]:
    """Return a link to MLflow's comparison of the champion with each of the others."""
    champion = holders.get(CHAMPION)
    others = {alias: row for alias, row in holders.items() if champion and row != champion}
    return [
        f"[Compare champion and {SHOWN[alias]} in MLflow]({_compare_link([champion, row])})"
        for alias, row in others.items()
        if champion
    ]


def _compare_link(rows: Sequence[ModelRow]) -> str:
    return comparison_page([row.experiment_id for row in rows], [row.run_id for row in rows])


def _verdicts(holders: Mapping[str, ModelRow]) -> list[str]:
    judged = {row.version: row for alias, row in holders.items() if alias != PREVIOUS_CHAMPION and row.verdict}
    return [f"The gate on {_version(row)}: {_plain(row.verdict or '')}" for row in judged.values()]


def _version(row: ModelRow) -> str:
    return f"[{_plain(row.reference)}]({version_page(row.name, row.version)})"


def _figures(row: ModelRow) -> str:
    coverage = "" if row.coverage is None else f", coverage {row.coverage:.4f}"
    return f"GAP@20 {_figure(row.gap)}, MAP {_figure(row.map)}{coverage}"


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"


def _flow_run(row: ModelRow) -> str:
    if row.flow_run_id is None:
        return "none; it was trained without Prefect"
    name, url = _plain(row.flow_run_id), row.flow_run_url or ""
    is_link = url.startswith(("http://", "https://")) and not re.search(r"[\s()<>\"]", url)
    return f"[{name}]({url})" if is_link else name


def _line(cells: Sequence[str]) -> str:
    """Return a row; MLflow's pages put cells side by side without a gap, so each brings one."""
    return f"| {' | '.join(f'{cell}{GAP}' if cell else '' for cell in cells)} |"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _plain(text: str) -> str:
    return in_markdown(text, VERDICT_LENGTH)
