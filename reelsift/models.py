"""`reelsift train` and `reelsift models`: candidates trained, compared and promoted."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.forms import TrainClassifierForm
from reelsift.console import note, print_json, print_table, print_warning, say
from reelsift.options import AsJson, Commands, argument, option, with_form
from reelsift.pipeline import (
    COST_TITLES,
    FIGURE_TITLES,
    class_figures,
    cost_cells,
    open_in_browser,
    print_comparison,
    print_ways_to_look,
)
from reelsift.session import Session, announce
from tasks.contracts.files import check_folder

if TYPE_CHECKING:
    from tasks.classifier.evaluate import Evaluation
    from tasks.datasets.load import Videos
    from tasks.datasets.manifest import Dataset
    from tasks.tracking.registry import ModelRow

app = Commands("Registered models: list, compare, evaluate, promote, roll back, predict segments.")

SHARDS_NAMED = 5
LOGGED_NAMES = {"gap": "gap_at_20", "hit1": "hit_at_1"}  # of figures that MLflow has under another name
SHOWN_MISTAKES = 3  # labels that one is taken for
VERDICT_LENGTH = 60  # characters of the gate's reason that fit beside the other columns

MODEL = "champion, SLUG@champion, SLUG/3, models:/SLUG/3 or a run's id"
DatasetToJudgeOn = Annotated[
    str | None, option("--dataset", metavar="REF", help="Judge on this version. \\[default: the model's own]")
]


@app.command("list", example="reelsift models list")
def list_versions(
    context: typer.Context,
    name: Annotated[str | None, argument("SLUG", "Only the models of this slug.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the registered models, the newest first."""
    from tasks.tracking.registry import list_models, unknown_name

    session: Session = context.obj
    rows = list_models(session.store, name)
    if name and not rows and list_models(session.store):
        raise unknown_name(session.store, name)
    if as_json:
        print_json({"models": [row.model_dump(mode="json") for row in rows]})
        return
    print_table(
        f"Models at {session.store.uri}",
        ("model", "alias", "kind", "GAP@20", "MAP", "coverage", "dataset", "trained", "verdict"),
        map(_model_row, rows),
    )
    if not rows:
        note("There are none yet: `reelsift train --dataset latest`.")


def _model_row(row: "ModelRow") -> tuple[object, ...]:
    trained = f"{row.created_at:%Y-%m-%d %H:%M}"
    verdict = (row.verdict or "")[:VERDICT_LENGTH]
    figures = row.gap, row.map, row.coverage
    return row.reference, ", ".join(row.aliases), row.kind, *figures, row.dataset_id, trained, verdict


@app.command("compare", example="reelsift models compare cooking/1 cooking/2")
def compare_versions(
    context: typer.Context,
    model: Annotated[list[str] | None, argument("MODEL", "Which ones. \\[default: the newest]")] = None,
    dataset: Annotated[
        str | None,
        option("--dataset", metavar="REF", help="Judge on this version. \\[default: that of the newest of them]"),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open MLflow's comparison of these runs in the browser.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge models on the same videos, side by side with the champion; a picture goes to the reports' folder.

    Where a Prefect server runs (PREFECT_API_URL, or that of `reelsift up`), its artifacts show the same.
    """
    session: Session = context.obj
    version = session.open_dataset(dataset or _own_dataset(session, model or ()))

    # These take seconds, which a wrong name need not wait for; so in the commands below.
    from tasks.classifier.splits import frozen_split
    from tasks.reports.figures import save_png
    from tasks.tracking.comparison import compare, draw, log_comparison

    comparison = compare(
        session.store,
        frozen_split(version),
        dataset_id=version.manifest.id,
        name=version.manifest.slug,
        references=model or (),
        gate=session.settings.gate,
    )
    picture = save_png(draw(comparison), session.settings.paths.reports / f"comparison-{version.manifest.id}.png")
    session.prepare_prefect()
    if session.has_prefect_server:
        from tasks.candidates import show_comparison

        show_comparison(comparison, log_comparison(session.store, comparison))
    table = comparison.model_dump(mode="json")
    if as_json:
        print_json(table | {"picture": str(picture)})
    else:
        print_comparison(table)
        note(f"Picture: {picture}")
        print_ways_to_look(table)
    if open_page:
        open_in_browser(table)


@app.command("evaluate", example="reelsift models evaluate champion --dataset latest")
def evaluate_version(
    context: typer.Context,
    model: Annotated[str, argument("MODEL", f"{MODEL}.")] = "champion",
    dataset: DatasetToJudgeOn = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model on all matching videos of a dataset version, of whichever shards it was made.

    The figures are over every label that these videos have, so those of several models compare; `gap_own_labels`
    is over the labels that the model knows, and `coverage` says what share of all positives these have. Where people
    have rated segments of the videos, `segment_map` is MAP@100,000 of the challenge of 2019 over these.
    """
    session: Session = context.obj
    row, version = _model_and_dataset(session, model, dataset)

    from tasks.classifier.evaluate import evaluation_of, labels_of
    from tasks.classifier.splits import all_videos
    from tasks.tracking.loading import scores_of

    videos = all_videos(version)
    scores = scores_of(session.store, row, videos)
    segments = _segment_figures(session, row, version, videos)
    result = evaluation_of(scores, videos, labels_of(videos))
    learnt = _learnt_from(session, row, version)
    figures = {
        "gap": result.gap,
        "map": result.map,
        "hit1": result.hit1,
        "perr": result.perr,
        "match_ap": result.match_ap,
        "coverage": result.coverage,
        **(result.classes.named() if result.classes else {}),
        "gap_own_labels": evaluation_of(scores, videos).gap,
        **segments,
        "videos": result.videos,
        "model": row.reference,
        "dataset": version.manifest.id,
    }
    if as_json:
        print_json(figures | {"learnt_from": learnt} | _classes_of(result, version))
        return
    if learnt is None:
        note(f"Which shards it learnt from is not known: its dataset {row.dataset} is not here.")
    elif learnt["shards"]:
        shards = learnt["shards"]
        named = ", ".join(shards[:SHARDS_NAMED]) + (", ..." if len(shards) > SHARDS_NAMED else "")
        note(
            f"Warning: it learnt from {len(shards):,} of these {len(version.manifest.shards):,} shards, which have "
            f"{learnt['matches']:,} of the matching videos: {named}. Judge it on a version of other shards to see how "
            "well it generalises."
        )
    print_table(
        f"{row.reference} on all {result.videos:,} matching videos of {version.manifest.id}", ("", ""), figures.items()
    )
    if classes := _classes_of(result, version):
        print_table("Each label", ("label", "videos", "precision", "recall", "taken for"), _class_rows(classes))


def _segment_figures(
    session: Session, row: "ModelRow", version: "Dataset", videos: "Videos"
) -> dict[str, float | None]:
    """Return MAP@K where people have rated segments of these videos."""
    counts = version.manifest.frames
    if counts is None or not sum(counts.rated.values()):
        return {}
    from tasks.classifier.scoring import segment_map
    from tasks.datasets.frames import load_ratings
    from tasks.tracking.loading import load_classifier

    assert videos.moments is not None, "a version with rated segments has frames"
    ratings = load_ratings(version).take(videos.moments.rows)
    found = segment_map(load_classifier(session.store, row), videos.moments, ratings)
    return {"segment_map": found, "rated_segments": len(ratings.label)}


@app.command(
    "predict-segments", example="reelsift models predict-segments champion --dataset latest --output submission.csv"
)
def predict_segments(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="Where the submission goes.", dir_okay=False)
    ],
    model: Annotated[str, argument("MODEL", f"{MODEL}.")] = "champion",
    dataset: Annotated[
        str | None, option("--dataset", metavar="REF", help="Of these videos. \\[default: the model's own]")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="segment_label_ids.csv: only these labels. \\[default: those that the version has ratings of, if any]",
        ),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=1, max=100_000, help="Segments of each label at most.")
    ] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Write which five-second segments show each label best: the submission file of the challenge of 2019.

    A line for each label: its index, and `VIDEO:START` of its segments, best first. The version must hold frames.
    """
    session: Session = context.obj
    check_folder(output.parent)
    row, version = _model_and_dataset(session, model, dataset)

    from tasks.classifier.scoring import Segments, best_segments, write_submission
    from tasks.classifier.splits import all_videos
    from tasks.datasets.frames import require_frames
    from tasks.tracking.loading import load_classifier
    from tasks.vocabulary.table import read_segment_labels

    require_frames(version)
    wanted = (
        read_segment_labels(classes) if classes else version.manifest.frames and version.manifest.frames.rated_labels
    )
    videos, classifier = all_videos(version), load_classifier(session.store, row)
    classifier.space.check_same(videos.space, who=row.reference, what=version.manifest.reference)
    assert videos.moments is not None, "a version of frames has moments"
    columns = [n for n, label in enumerate(classifier.label_ids) if not wanted or label in set(wanted)]
    segments = Segments.every(videos.moments.counts())
    found = best_segments(classifier, videos.moments, segments, columns, most)
    best = dict(zip((classifier.label_ids[n] for n in columns), found, strict=True))
    write_submission(output, best, videos.video_ids, segments)
    told = {"model": row.reference, "dataset": version.manifest.id, "file": str(output)}
    if as_json:
        print_json(told | {"labels": len(best), "videos": len(videos), "segments": len(segments)})
        return
    say(
        f"{output}: the best of {len(segments):,} segments of {len(videos):,} videos of {version.manifest.id} for each "
        f"of {len(best):,} labels, by {row.reference}."
    )


def _classes_of(result: "Evaluation", version: "Dataset") -> dict[str, Any]:
    """Return each label's precision and recall, and the confusion matrix, where each video has one label."""
    if result.classes is None:
        return {}
    names = {count.index: count.name for count in version.manifest.label_counts}
    return {"classes": result.classes.rows(names), "confusion": result.classes.confusion_LL.tolist()}


def _class_rows(classes: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield a line for each label, with what its videos are taken for instead, the commonest first."""
    names = [row["name"] for row in classes["classes"]]
    for own, (row, counts) in enumerate(zip(classes["classes"], classes["confusion"], strict=True)):
        wrong = sorted(((count, names[to]) for to, count in enumerate(counts) if count and to != own), reverse=True)
        taken = ", ".join(f"{name} {count}" for count, name in wrong[:SHOWN_MISTAKES])
        yield row["name"], row["videos"], row["precision"], row["recall"], taken


@app.command("promote", example="reelsift models promote cooking/2")
def promote_version(
    context: typer.Context,
    model: Annotated[
        str | None, argument("MODEL", f"{MODEL}. \\[default: the best version by the gate's measure]")
    ] = None,
    dataset: DatasetToJudgeOn = None,
    force: Annotated[
        str | None,
        typer.Option("--force", metavar="REASON", help="Promote whatever the gate says; the reason is kept."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a model the champion if it is better on the frozen split, and say why or why not.

    Without a name, all versions are judged on the split, and the best but for the champion goes to the gate. Where a
    Prefect server runs (PREFECT_API_URL, or that of `reelsift up`), its automations hear of a new champion.
    """
    session: Session = context.obj
    row = None
    if model is None:
        name, version = _name_and_dataset(session, dataset)
    else:
        row, version = _model_and_dataset(session, model, dataset)
        name = row.name

    from tasks.classifier.splits import frozen_split
    from tasks.tracking.promotion import best_challenger, nominate, promote

    videos = frozen_split(version)
    if row is None:
        row = nominate(session.store, best_challenger(session.store, name, videos).reference)
    promotion = promote(
        session.store,
        row.reference,
        videos,
        dataset_id=version.manifest.id,
        gate=session.settings.gate,
        force=force,
    )
    if promotion.promoted:
        announce(session.settings.paths, promotion, print_warning)
    if as_json:
        print_json(promotion.model_dump(mode="json"))
        return
    outcome = "is the new champion" if promotion.promoted else "was not promoted"
    say(f"{promotion.model} {outcome}: {promotion.reason}")


@app.command("rollback", example="reelsift models rollback cooking")
def roll_back(
    context: typer.Context,
    name: Annotated[str, argument("SLUG", "Of the dataset that its models were trained on.")],
    as_json: AsJson = False,
) -> None:
    """Make the previous champion the champion again; automations hear of it as of any new champion."""
    from tasks.tracking.promotion import rollback
    from tasks.tracking.registry import resolve

    session: Session = context.obj
    promotion = rollback(session.store, name)
    announce(session.settings.paths, promotion, print_warning)
    if as_json:
        print_json(resolve(session.store, promotion.model).model_dump(mode="json"))
        return
    say(f"{promotion.model} is the champion of {name} again.")


def _own_dataset(session: Session, models: "Sequence[str]") -> str:
    """Name the dataset that the newest of the models was trained on: of those named, else of all."""
    from tasks.tracking.registry import list_models, resolve

    rows = [resolve(session.store, model) for model in models] or list_models(session.store)
    newest = max(rows, key=lambda row: (row.created_at, row.version), default=None)
    others = sorted({row.dataset for row in rows} - {newest.dataset}) if newest and models else []
    if newest and others:
        note(f"Judged on {newest.dataset}, the newest one's; the others were trained on {', '.join(others)}.")
    return newest.dataset if newest else "latest"


def _learnt_from(session: Session, row: "ModelRow", version: "Dataset") -> "dict[str, Any] | None":
    """Say which shards of a version the model learnt from; None where its own dataset is not to be found."""
    from tasks.classifier.splits import learnt_shards
    from tasks.contracts.errors import DatasetError

    try:
        own = session.open_dataset(row.dataset).manifest
    except DatasetError:
        return None
    shards = learnt_shards(own, version.manifest)
    return {
        "shards": [f"{shard.partition}/{shard.name}" for shard in shards],
        "matches": sum(shard.matches for shard in shards),
    }


def _name_and_dataset(session: Session, dataset: str | None) -> tuple[str, "Dataset"]:
    """Find the slug whose versions are up for promotion, and the version of the dataset to judge them on.

    That is the one named, or the one that the newest model was trained on.

    Raises:
        UnknownModelError: there is no model of the slug, or there are several slugs and none is named.
    """
    from tasks.contracts.errors import UnknownModelError
    from tasks.tracking.registry import TRAIN_HINT, list_models, unknown_name

    rows = list_models(session.store)
    names = sorted({row.name for row in rows})
    if dataset is not None:
        version = session.open_dataset(dataset)
        if version.manifest.slug not in names:
            raise unknown_name(session.store, version.manifest.slug)
        return version.manifest.slug, version
    if not rows:
        raise UnknownModelError(f"There is no model at {session.store.uri} to promote. {TRAIN_HINT}")
    if len(names) > 1:
        ways = ", ".join(f"`reelsift models promote --dataset {name}`" for name in names)
        raise UnknownModelError(f"There are models of {len(names)} slugs. Say which: {ways}.")
    return names[0], session.open_dataset(rows[0].dataset)


def _model_and_dataset(session: Session, model: str, dataset: str | None) -> tuple["ModelRow", "Dataset"]:
    """Find the model, and the version to judge it on: the one named, or the one that it was trained on."""
    from tasks.tracking.registry import resolve

    row = resolve(session.store, model)
    return row, session.open_dataset(dataset or row.dataset)


@with_form
def train(context: typer.Context, form: TrainClassifierForm, as_json: AsJson = False) -> None:
    """Train candidates, log them to MLflow, and register them under the dataset's slug."""
    session: Session = context.obj
    # What cannot be trained fails at once, before any server starts.
    configs, version = session.settings.candidates(form.models), session.open_dataset(form.dataset)
    if over_time := [config.model for config in configs.values() if config.model.is_over_time]:
        from tasks.datasets.moments import require_moments

        require_moments(version, over_time[0])
    trained = session.run_flow("train_classifier", form)
    for warning in trained["warnings"]:
        note(f"Warning: {warning}")
    if as_json:
        print_json(trained)
        return
    of_classes = class_figures([each["metrics"] for each in trained["candidates"]])
    figures = ("gap", "map", *of_classes, "hit1", "perr", "match_ap", "coverage")
    print_table(
        f"Candidates on {trained['slug']}/{trained['dataset']}, judged on its validate split",
        ("model", "kind", *(FIGURE_TITLES[name] for name in figures), *COST_TITLES),
        (_candidate_row(candidate, figures) for candidate in trained["candidates"]),
    )
    note(f"MLflow's page of these runs: {session.store.runs_url(trained['candidates'][0]['experiment_id'])}")
    note("`reelsift models compare` sets them beside the champion; `reelsift models promote` asks the gate.")


def _candidate_row(candidate: dict[str, Any], figures: Sequence[str]) -> tuple[object, ...]:
    metrics = candidate["metrics"]
    values = (metrics.get(LOGGED_NAMES.get(name, name)) for name in figures)
    return (f"{candidate['name']}/{candidate['version']}", candidate["kind"], *values, *cost_cells(candidate))
