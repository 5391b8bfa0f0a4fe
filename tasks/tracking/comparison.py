"""Models side by side, judged on the very same videos and labels: all labels that any of them knows.

Moves no alias. The order by GAP is the gate's: what it promotes over another stands above that in every comparison.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pydantic import Field

from tasks.classifier.config import GateConfig
from tasks.classifier.evaluate import Evaluation, Scores, evaluation_of, union_of_labels
from tasks.classifier.gate import Decision, decide
from tasks.contracts.errors import UnknownModelError
from tasks.contracts.model import FrozenModel
from tasks.datasets.load import Videos
from tasks.tracking.loading import scores_of
from tasks.tracking.registry import CHAMPION, TRAIN_HINT, ModelRow, list_models, resolve
from tasks.tracking.server import pages_answer
from tasks.tracking.store import TrackingStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEWEST = 12  # versions that are compared where none are named


class ComparisonRow(FrozenModel):
    """One model of a comparison. All metrics in [0, 1], on the matching videos and the comparison's labels."""

    model: str = Field(description="name/version")
    kind: str
    aliases: tuple[str, ...]
    gap: float
    map: float
    hit1: float
    perr: float
    coverage: float = Field(description="share of all positives that are of labels which the model knows")
    match_ap: float | None = Field(
        description="of 'does it match at all'; None where the model or the videos cannot say"
    )
    top_1: float | None = Field(default=None, description="where each video has one label: how often the best is it")
    top_5: float | None = Field(default=None, description="how often one of the five best is it")
    seconds: float = Field(description="of training")
    parameters: int | None = Field(default=None, description="that were learnt; None where an earlier release trained")
    videos_per_s: float | None = Field(default=None, description="learnt from in training, reading them included")
    peak_mb: float | None = Field(default=None, description="memory of training, 10^6 bytes")
    gain: float | None = Field(description="in GAP over the champion; None for itself, and without one")
    interval: tuple[float, float] | None = Field(description="of the gain")
    run_id: str
    experiment_id: str


class Comparison(FrozenModel):
    """Models on the same videos, the best by GAP first."""

    name: str = Field(description="of the registered model")
    dataset_id: str
    split_digest: str
    videos: int
    labels: int = Field(description="that are judged: all that one of the models knows")
    rows: tuple[ComparisonRow, ...]
    compare_url: str = Field(description="MLflow's own comparison of exactly these runs")
    registry_url: str = Field(description="the registered model's page, with champion and challenger")
    ui_command: str | None = Field(
        description="what to run first for these addresses to answer; None where something answers there already"
    )

    @property
    def best(self) -> ComparisonRow:
        """The model of the highest GAP."""
        return self.rows[0]


@dataclass(frozen=True)
class Judged:
    """A registered model with what it says of the matching videos."""

    row: ModelRow
    scores: Scores

    @classmethod
    def of(cls, store: TrackingStore, row: ModelRow, videos: Videos) -> Self:
        """Let the model score the videos, or find what it has said of them."""
        return cls(row, scores_of(store, row, videos))

    def evaluation(self, videos: Videos, label_ids: Collection[int] = ()) -> Evaluation:
        """Return how good it is over its own labels and `label_ids`."""
        return evaluation_of(self.scores, videos, label_ids)


def labels_of_all(models: Collection[Judged]) -> tuple[int, ...]:
    """Return the ids of all labels that one of the models knows, ascending."""
    return union_of_labels(*(model.scores.label_ids for model in models))


def compare(
    store: TrackingStore,
    videos: Videos,
    *,
    dataset_id: str,
    name: str,
    gate: GateConfig,
    references: Sequence[str] = (),
) -> Comparison:
    """Judge the models named by `references`, or the newest of `name`, and the champion of `name`.

    Raises:
        UnknownModelError: a reference names nothing, or `name` has no version yet.
        ModelError: a model cannot be read, or no video matches.
    """
    rows = _chosen(store, name, references)
    champion_row = next((row for row in rows if row.name == name and CHAMPION in row.aliases), None)
    judged = [Judged.of(store, row, videos) for row in rows]
    champion = next((model for model in judged if model.row == champion_row), None)
    label_ids = labels_of_all(judged)
    compared = [
        _compared(model, model.evaluation(videos, label_ids), _decision(champion, model, videos, gate, label_ids))
        for model in judged
    ]
    return Comparison(
        name=name,
        dataset_id=dataset_id,
        split_digest=videos.digest,
        videos=len(judged[0].scores),
        labels=len(label_ids),
        rows=tuple(sorted(compared, key=lambda row: (-row.gap, CHAMPION not in row.aliases))),
        compare_url=store.compare_url([row.experiment_id for row in rows], [row.run_id for row in rows]),
        registry_url=store.registry_url(name),
        ui_command=None if pages_answer(store, rows[0].run_id) else store.ui_command,
    )


def draw(comparison: Comparison) -> "Figure":
    """Draw the comparison."""
    # Imported here: a promotion judges as well, and draws nothing.
    from tasks.reports.figures import ComparedModel, comparison_figure  # noqa: PLC0415

    models = [
        ComparedModel(
            title=f"{row.kind}  {row.model}",
            gap=row.gap,
            map=row.map,
            gain=row.gain,
            interval=row.interval,
        )
        for row in comparison.rows
    ]
    return comparison_figure(
        models, f"{comparison.videos:,} matching videos of {comparison.dataset_id}, {comparison.labels:,} labels"
    )


def log_comparison(store: TrackingStore, comparison: Comparison) -> str:
    """Keep the figure and the table with the run of the best model; return where MLflow serves the figure.

    Raises:
        TrackingError: the store cannot be used.
    """
    from tasks.reports.figures import laid_out  # noqa: PLC0415 - only where it is kept, both
    from tasks.tracking.client import connect, temporary_files, translated  # noqa: PLC0415

    folder = f"comparisons/{comparison.dataset_id}"
    run_id = comparison.best.run_id
    client = connect(store)
    with temporary_files(store), translated(store):
        client.log_figure(run_id, laid_out(draw(comparison)), f"{folder}/comparison.png")
        client.log_text(run_id, comparison.model_dump_json(indent=2), f"{folder}/comparison.json")
    return store.artifact_url(run_id, f"{folder}/comparison.png")


def _chosen(store: TrackingStore, name: str, references: Sequence[str]) -> list[ModelRow]:
    """Return the models to compare, each once, the champion of `name` among them."""
    known = list_models(store, name)
    if references:
        chosen = [resolve(store, reference) for reference in references]
    elif known:
        chosen = known[:NEWEST]
    else:
        raise UnknownModelError(f"There is no model of {name!r} at {store.uri} to compare. {TRAIN_HINT}")
    champion = [row for row in known if CHAMPION in row.aliases]
    return list({row.reference: row for row in [*chosen, *champion]}.values())


def _decision(
    champion: Judged | None, model: Judged, videos: Videos, gate: GateConfig, label_ids: Collection[int]
) -> Decision | None:
    if champion is None or model is champion:
        return None
    return decide(champion.scores, model.scores, videos, gate, label_ids)


def _compared(model: Judged, evaluation: Evaluation, decision: Decision | None) -> ComparisonRow:
    gain = decision.gain if decision else None
    return ComparisonRow(
        model=model.row.reference,
        kind=model.row.kind,
        aliases=model.row.aliases,
        gap=evaluation.gap,
        map=evaluation.map,
        hit1=evaluation.hit1,
        perr=evaluation.perr,
        coverage=evaluation.coverage,
        match_ap=evaluation.match_ap,
        **(evaluation.classes.named() if evaluation.classes else {}),
        seconds=model.row.seconds,
        parameters=model.row.parameters,
        videos_per_s=model.row.videos_per_s,
        peak_mb=model.row.peak_mb,
        gain=gain.gain if gain else None,
        interval=(gain.low, gain.high) if gain else None,
        run_id=model.row.run_id,
        experiment_id=model.row.experiment_id,
    )
