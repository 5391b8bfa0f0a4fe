"""What a person should know of a dataset version before trusting it, in sentences."""

from collections.abc import Mapping
from typing import Any

from tasks.contracts.datasets import VOCABULARY_SIZE, Damage, DatasetManifest, DropReason, Level

ID_LENGTH, OLD_ID_LENGTH = 4, 11  # characters of a video's id in the release of 2018, and in those before
OTHER_RELEASE = (
    "the same number means another label there (22 is Nature and 26 Cooking in 2017; in 2018 Cooking is 22). Put the "
    "label names of the shards' own release beside them: a CSV file with the columns label_id,label_name"
)
SHOWN_LABELS = 5  # each with a sentence of its own; of more the first
SHOWN_DAMAGE = 20  # places in a summary; the manifest has them all
HINTS = {  # why all records of some shards may have been dropped for one reason
    DropReason.MISSING_FEATURE: "they lack the features of whole videos (mean_rgb, mean_audio): frame level? "
    "`--level frame` reads frames",
    DropReason.WRONG_LENGTH: "their features have other sizes than 1024 and 128",
    DropReason.NO_LABELS: "they have no labels, as those of the test partition",
    DropReason.NO_FRAMES: "they have not a single frame",
    DropReason.UNEVEN_FRAMES: "they have not as many frames of the picture (rgb) as of the sound (audio)",
    DropReason.LABEL_OUT_OF_RANGE: "they have labels beyond the vocabulary: shards of another release?",
}
FRAME_HINTS = HINTS | {  # of records of frames
    DropReason.MISSING_FEATURE: "they lack frames (rgb, audio): whole videos? `--level video` reads their features",
    DropReason.WRONG_LENGTH: "their frames have other sizes than 1024 and 128 bytes, or their segments do not add up",
}


def caveats_of(manifest: DatasetManifest) -> tuple[str, ...]:
    """Return what may be wrong with a version although its files are whole."""
    if is_imported(manifest.options):
        return (*_repeats(manifest), *_one_sided(manifest))
    return (*_repeats(manifest), *_releases(manifest), *_levels(manifest))


def is_imported(options: Mapping[str, object]) -> bool:
    """Say whether a version of these options is of a person's own videos, rather than of YouTube-8M's."""
    return options.get("origin") == "import"


def expected_id_length(options: Mapping[str, object]) -> int | None:
    """Return how many characters the ids of the release have to which a vocabulary of the filter's size belongs.

    Those of a person's own videos have any number, for which None stands.
    """
    if is_imported(options):
        return None
    return ID_LENGTH if _vocabulary_size(options) <= VOCABULARY_SIZE else OLD_ID_LENGTH


def damage_of(manifest: DatasetManifest) -> list[Damage]:
    """Return the places where the shards of a version are damaged."""
    return [damage for shard in manifest.shards for damage in shard.damage]


def summary_of(manifest: DatasetManifest) -> dict[str, Any]:
    """Return what a flow hands on of a version."""
    return {
        "id": manifest.id,
        "slug": manifest.slug,
        "rows": manifest.rows,
        "matches": manifest.matches,
        "records": manifest.records,
        "drops": {str(reason): count for reason, count in manifest.drops.items()},
        "damage": [damage.model_dump(mode="json") for damage in damage_of(manifest)[:SHOWN_DAMAGE]],
        "warnings": list(caveats_of(manifest)),
        "absent": [],
    } | ({"without_sound": manifest.without_sound or 0} if is_imported(manifest.options) else {})


def absence(shard: Mapping[str, Any]) -> str:
    """Return the sentence about a shard that is in no version because no mirror gives it."""
    where = "is in no mirror" if shard.get("is_absent", True) else "is given by no mirror"
    return f"{shard['partition']}/{shard['name']} {where}, and left out. {shard['reason']}"


def drops_in_words(drops: Mapping[DropReason, int], level: Level = "video") -> str:
    """Return what was dropped and why, the most frequent reason first: `12 missing-feature (...), 3 bad-crc`."""
    ordered = sorted(drops.items(), key=lambda item: -item[1])
    hints = hints_of(level)
    return ", ".join(
        f"{count:,} {reason}{f' ({hints[reason]})' if reason in hints else ''}" for reason, count in ordered if count
    )


def hints_of(level: Level) -> Mapping[DropReason, str]:
    """Return why all records of some shards of a level may have been dropped for one reason."""
    return FRAME_HINTS if level == "frame" else HINTS


def _repeats(manifest: DatasetManifest) -> list[str]:
    oddities = manifest.oddities
    if oddities is None:
        return []
    found = [
        f"{count:,} rows of the {split} split hold a video that stands in it before; each is used once."
        for split, count in sorted(oddities.repeated.items())
        if count
    ]
    if oddities.shared:
        found.append(
            f"{oddities.shared:,} videos are in more than one split; they are trained on and kept out of validation."
        )
    return found


def _releases(manifest: DatasetManifest) -> list[str]:
    """Say where the shards seem to be of another release than the vocabulary that named the labels."""
    size = _vocabulary_size(manifest.options)
    lengths = manifest.oddities.id_lengths if manifest.oddities else {}
    old, beyond = lengths.get(OLD_ID_LENGTH, 0), manifest.drops.get(DropReason.LABEL_OUT_OF_RANGE, 0)
    found = list[str]()
    if beyond:
        found.append(
            f"{beyond:,} records have labels beyond the {size:,} of the vocabulary, and were dropped: the shards "
            f"are of another release than the vocabulary, and {OTHER_RELEASE}."
        )
    if old and size <= VOCABULARY_SIZE:
        found.append(
            f"{old:,} videos have ids of {OLD_ID_LENGTH} characters, as in the releases before 2018, and the "
            f"vocabulary has {size:,} labels, as that of 2018: {OTHER_RELEASE}."
        )
    if lengths.get(ID_LENGTH, 0) and size > VOCABULARY_SIZE:
        found.append(
            f"{lengths[ID_LENGTH]:,} videos have ids of {ID_LENGTH} characters, as in the release of 2018, whose "
            f"vocabulary has {VOCABULARY_SIZE:,} labels and not {size:,}: {OTHER_RELEASE}."
        )
    return found


def _one_sided(manifest: DatasetManifest) -> list[str]:
    """Say which labels of videos with several are learnt and never judged, or the other way round."""
    purposes = {"train": "learnt from no video", "validate": "judged on no video"}
    found = list[str]()
    for split, purpose in purposes.items():
        labels = sorted(manifest.label_counts, key=lambda label: label.index)
        names = [repr(label.name) for label in labels if not label.by_split.get(split, 1)]
        if len(names) <= SHOWN_LABELS:
            found += [f"The label {name} is {purpose}: all that have it are on the other side." for name in names]
        else:
            some = ", ".join(names[:SHOWN_LABELS])
            found.append(f"{len(names):,} labels are {purpose}: all that have them are on the other side. {some}, ...")
    return found


def _vocabulary_size(options: Mapping[str, object]) -> int:
    return int(str(options.get("vocabulary_size", VOCABULARY_SIZE)))


def _levels(manifest: DatasetManifest) -> list[str]:
    lacking = manifest.drops.get(DropReason.MISSING_FEATURE, 0)
    if not lacking:
        return []
    reason = DropReason.MISSING_FEATURE
    return [f"{lacking:,} records were dropped as {reason}: {hints_of(manifest.level)[reason]}"]
