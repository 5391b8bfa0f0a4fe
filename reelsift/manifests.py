"""How a dataset version is printed and drawn."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelsift.console import note, print_table, say

if TYPE_CHECKING:
    from tasks.contracts.datasets import DatasetManifest, FrameCounts
    from tasks.datasets.manifest import Dataset

SHOWN = 20


def print_warnings(version: dict[str, Any]) -> None:
    """Print what a person should know of a version before trusting it, as a flow returned it."""
    from tasks.datasets.caveats import absence

    for warning in (*version["warnings"], *map(absence, version["absent"])):
        note(f"Warning: {warning}")


def say_built(dataset: "Dataset") -> None:
    """Say that a version is there, and since when."""
    from tasks.datasets.manifest import MANIFEST_NAME

    built = datetime.fromtimestamp((dataset.folder / MANIFEST_NAME).stat().st_mtime, UTC)
    note(f"Already built: {dataset.manifest.reference}, on {built:%Y-%m-%d %H:%M} UTC. There is nothing to do.")


def draw(dataset: "Dataset", folder: Path) -> None:
    """Write pictures of the labels into a folder, and say where."""
    from tasks.reports.figures import cooccurrence_figure, label_counts_figure, save_png

    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (("labels", label_counts_figure), ("cooccurrence", cooccurrence_figure)):
        note(f"Picture: {save_png(figure(dataset.manifest), folder / f'{dataset.manifest.id}-{name}.png')}")


def print_manifest(dataset: "Dataset") -> None:
    """Print what a version holds: splits, labels, what was dropped and what is damaged."""
    from tasks.datasets.caveats import is_imported

    manifest = dataset.manifest
    say(f"{manifest.reference}: {_kind(manifest)}, in {dataset.folder}")
    if is_imported(manifest.options):
        silent = f" {manifest.without_sound:,} of them are without sound." if manifest.without_sound else ""
        say(f"{manifest.rows:,} of {manifest.records:,} videos, by their features in {manifest.space.name}.{silent}")
    else:
        say(
            f"{manifest.records:,} records of {len(manifest.shards):,} shards read, {manifest.matches:,} match, "
            f"{manifest.rows - manifest.matches:,} kept as background."
        )
    if manifest.frames:
        say(_frames_in_words(manifest.frames))
    print_table(
        "Splits", ("split", "partition", "matches", "rows"), (_split_row(dataset, split) for split in manifest.splits)
    )
    drops = [(reason, count) for reason, count in manifest.drops.items() if count]
    if drops:
        print_table("Dropped", ("reason", "records"), drops)
    print_table(
        f"The commonest of {len(manifest.label_counts):,} labels among the matches",
        ("index", "label", *manifest.splits, "most often with"),
        _label_rows(manifest),
    )
    for damage in [damage for shard in manifest.shards for damage in shard.damage][:SHOWN]:
        note(f"Damaged: {damage.path} at byte {damage.offset:,}: {damage.reason}, {damage.detail}")


def _frames_in_words(counts: "FrameCounts") -> str:
    """Say how many frames there are, and what people said of segments."""
    rated, confirmed = sum(counts.rated.values()), sum(counts.confirmed.values())
    said = f"{sum(counts.frames.values()):,} frames, one a second, {counts.longest:,} in the longest video."
    if rated:
        said += f" Segments: {rated:,} ratings of {len(counts.rated_labels):,} labels, {confirmed:,} confirmed."
    return said


def _kind(manifest: "DatasetManifest") -> str:
    """Say which labels make a video match, or which classes there are."""
    from tasks.datasets.caveats import is_imported

    origin = manifest.options.get("extracted_from")
    if is_imported(manifest.options) and not origin:
        return f"{len(manifest.label_names):,} classes"
    names = f" {'or' if manifest.options['match'] == 'any' else 'and'} ".join(manifest.label_names)
    names = f"all {len(manifest.label_names):,} labels" if manifest.is_whole_vocabulary else names
    return f"{names}, of {origin}" if origin else names


def _split_row(dataset: "Dataset", split: str) -> tuple[object, ...]:
    parts = dataset.parts(split)
    rows, matches = sum(part.rows for part in parts), sum(part.matches for part in parts)
    return split, dataset.manifest.splits[split], matches, rows


def _label_rows(manifest: "DatasetManifest") -> list[tuple[object, ...]]:
    """Return a row for each of the commonest labels, with those it occurs with most often."""
    ids, counts = manifest.cooccurrence.label_ids, manifest.cooccurrence.counts
    names = {label.index: label.name for label in manifest.label_counts}
    rows = []
    for label in manifest.label_counts[:SHOWN]:
        beside = counts[ids.index(label.index)] if label.index in ids else ()
        pairs = sorted(zip(beside, ids, strict=False), reverse=True)
        together = [f"{names[other]} {count:,}" for count, other in pairs if count and other != label.index][:2]
        by_split = (label.by_split.get(split, 0) for split in manifest.splits)
        rows.append((str(label.index), label.name, *by_split, ", ".join(together)))
    return rows
