"""The Markdown descriptions of models and versions in MLflow's registry, updated whenever an alias moves."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from tasks.contracts.text import in_markdown
from tasks.tracking.client import MlflowClient
from tasks.tracking.logged import log_comparable
from tasks.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION, ModelRow, list_models
from tasks.tracking.store import RUNS_VIEW, TrackingStore, comparison_page, run_page, version_page

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


# What the page of an experiment's runs plots: over the epochs, of the labels that each knows; at the end, of all.
PLOTTED = (
    ("epoch/gap_at_20_own_labels", "gap_at_20"),
    ("epoch/map_own_labels", "map"),
    ("epoch/match_ap", "match_ap"),
)
CLASSIC = "custom_model_development"  # as MLflow's pages call what is not about language models
SHOWN_RUNS = 10


def runs_view_tags() -> dict[str, str]:
    """Return the tags of an experiment by which MLflow's pages show its runs, with these charts where a link asks.

    The form is that of MLflow 3's own button "Share", which keeps the state of the page in such a tag, too.
    """
    shown = {"deleted": False, "isGenerated": False, "runsCountToCompare": SHOWN_RUNS, "metricSectionId": RUNS_VIEW}
    lines, bars = [], []
    for by_epoch, final in PLOTTED:
        line = {"type": "LINE", "metricKey": by_epoch, "selectedMetricKeys": [by_epoch], "xAxisKey": "step"}
        line |= {"scaleType": "linear", "xAxisScaleType": "linear", "yAxisKey": "metric", "yAxisExpressions": []}
        line |= {"lineSmoothness": 0, "selectedXAxisMetricKey": "", "useGlobalLineSmoothing": True}
        line |= {"range": dict.fromkeys(("xMin", "xMax", "yMin", "yMax"))}
        lines.append({**shown, **line, "uuid": by_epoch})
        bars.append({**shown, "type": "BAR", "metricKey": final, "uuid": final})
    section = {"uuid": RUNS_VIEW, "name": "GAP, MAP and match AP", "display": True, "isReordered": True}
    state = {"compareRunCharts": [*lines, *bars], "compareRunSections": [section], "isAccordionReordered": True}
    return {"mlflow.experimentKind": CLASSIC, f"mlflow.sharedViewState.{RUNS_VIEW}": json.dumps(state, sort_keys=True)}


DESCRIBING = "descriptions"  # what only one process of a home does at a time


def describe(client: MlflowClient, store: TrackingStore, name: str, version: int | None = None) -> None:
    """Let the model's page, and those of its versions and of their runs, say what the registry holds.

    A new version may know more labels than the others, which changes their figures too: so all that have a section
    get a new one where it differs, and `version` gets one in any case; the runs' metrics follow. The registry is read
    after an alias has moved, by one process at a time: so the last one to write has seen every move.
    """
    with store.alone(DESCRIBING):
        rows = list_models(store, name)
        _describe_model(client, name, model_section(rows))
        for row in rows:
            _describe_version(client, name, row.version, version_section(row), begin=row.version == version)
            log_comparable(client, row)


def _describe_model(client: MlflowClient, name: str, section: str) -> None:
    was = client.get_registered_model(name).description or ""
    if (now := described(was, section)) != was:
        client.update_registered_model(name, now)


def _describe_version(client: MlflowClient, name: str, version: int, section: str, *, begin: bool) -> None:
    was = client.get_model_version(name, str(version)).description or ""
    if (begin or is_described(was)) and (now := described(was, section)) != was:
        client.update_model_version(name, str(version), now)
