"""The matching videos of a version of YouTube-8M as labelled clips, each fetched by its id."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.contracts.datasets import DatasetManifest
from tasks.contracts.errors import DatasetError, did_you_mean
from tasks.datasets.caveats import ID_LENGTH, OLD_ID_LENGTH, is_imported
from tasks.datasets.folders import in_use
from tasks.datasets.load import ID_BATCH_ROWS, flags, label_lists, read_batches
from tasks.datasets.manifest import Dataset, parts_checked
from tasks.imports.table import TRAIN, VALIDATE, ClipTable, LabelledClip, Origin
from tasks.video.sources import YT8M_MARK, watch_page

ABOUT_LABELS = ("match", "exclude_ids", "vocabulary_size")  # among the options of a version
Labelled = dict[str, tuple[int, ...]]  # a video's id -> its labels


def clips_of_version(dataset: Dataset, *, partitions: Sequence[str] = (), limit: int | None = None) -> ClipTable:
    """Return the matching videos of a version with their labels and sides; nothing is asked of any host.

    They come in the order of a hash of their ids: the first ones are a sample of all shards, and a higher limit takes
    the same ones and others. A version of one split is divided as labelled videos without a split are.

    Args:
        dataset: the version.
        partitions: those whose videos are taken; none: all.
        limit: videos of each partition at most.

    Raises:
        DatasetError: it is not of YouTube-8M, has no such partition, or ids that are none of YouTube's.
        DamagedDatasetError: a part cannot be read, or differs from its digest.
    """
    manifest = dataset.manifest
    if is_imported(manifest.options):
        raise DatasetError(
            f"{manifest.reference} is not of YouTube-8M: its features are in {manifest.space.name} already. `reelsift "
            "dataset list` shows the versions there are; for videos of your own, `reelsift dataset import FILE`."
        )
    splits = _chosen(manifest, partitions)
    names, taken, repeated = _names(manifest), set[str](), 0
    has_sides = set(splits) >= {TRAIN, VALIDATE}
    clips = list[LabelledClip]()
    for split in sorted(splits):  # what is in both is learnt from
        found = _matching(dataset, split)
        repeated += len(found.keys() & taken)
        ordered = sorted(found.keys() - taken, key=lambda video_id: hashlib.sha256(video_id.encode()).digest())
        taken |= found.keys()
        side = split if has_sides else None
        clips += (_clip(manifest, each, found[each], names, side) for each in ordered[:limit])
    if not clips:
        raise DatasetError(f"{manifest.reference} has no matching video in {', '.join(splits.values())}.")
    notes = (f"{repeated:,} videos are in more than one split; they are learnt from.",) if repeated else ()
    indices = {name: index for index, name in names.items()}
    about = {name: manifest.options[name] for name in ABOUT_LABELS if name in manifest.options}
    origin = Origin(manifest.reference, manifest.label_ids, about, indices)
    return ClipTable(Path(manifest.reference), tuple(clips), notes, origin)


def _chosen(manifest: DatasetManifest, partitions: Sequence[str]) -> dict[str, str]:
    """Return the splits that are taken, each with its partition."""
    known = manifest.splits
    for wanted in partitions:
        if wanted not in known.values():
            raise DatasetError(
                f"{manifest.reference} has no partition {wanted!r}.{did_you_mean(wanted, known.values())} It has "
                f"{', '.join(sorted(known.values()))}."
            )
    return {split: partition for split, partition in known.items() if not partitions or partition in partitions}


def _names(manifest: DatasetManifest) -> dict[int, str]:
    """Return the names of labels; those that share one have their indices behind it."""
    times = Counter(each.name for each in manifest.label_counts)
    return {
        each.index: each.name if times[each.name] == 1 else f"{each.name} ({each.index})"
        for each in manifest.label_counts
    }


def _matching(dataset: Dataset, split: str) -> Labelled:
    """Return the matching videos of a split, each once."""
    found = defaultdict[str, tuple[int, ...]](tuple)
    with in_use(dataset.folder), parts_checked(dataset, split):
        for path in dataset.paths(split):
            found.update(_read(path))
    return found


def _read(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for batch in read_batches(path, ("video_id", "labels", "is_match"), ID_BATCH_ROWS):
        offsets, labels = label_lists(batch)
        ids = batch.column("video_id")
        for row in flags(batch).nonzero()[0].tolist():
            yield ids[row].as_py(), tuple(labels[offsets[row] : offsets[row + 1]].tolist())


def _clip(
    manifest: DatasetManifest, video_id: str, labels: Sequence[int], names: Mapping[int, str], side: str | None
) -> LabelledClip:
    return LabelledClip(
        place=video_id,
        source=_source(manifest, video_id),
        named=video_id,
        labels=tuple(sorted({names[label] for label in labels})),
        side=side,
        video_id=video_id,
    )


def _source(manifest: DatasetManifest, video_id: str) -> str:
    """Return where a video is fetched from, whatever files there are of the id's name."""
    if len(video_id) == ID_LENGTH:
        return f"{YT8M_MARK}{video_id}"
    if len(video_id) == OLD_ID_LENGTH:  # before 2018 the ids were YouTube's own
        return watch_page(video_id)
    raise DatasetError(
        f"{manifest.reference} has a video {video_id[:40]!r}, which is no id of YouTube-8M's ({ID_LENGTH} characters) "
        f"or YouTube's ({OLD_ID_LENGTH}): its videos cannot be fetched."
    )
