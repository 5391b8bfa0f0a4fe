"""What a vocabulary looks like at a glance.

In: its columns. Out: figures, as a user of pandas would ask for them. Does not need pandas, which takes
longer to import than the vocabulary to read, and does not know of labels.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import Field

from tasks.contracts.model import FrozenModel


class Spread(FrozenModel):
    """The distribution of a column of numbers; quartiles interpolated linearly, as pandas and NumPy do."""

    count: int
    mean: float
    minimum: float
    lower_quartile: float
    median: float
    upper_quartile: float
    maximum: float


class VocabularySummary(FrozenModel):
    """The size of a vocabulary, what is filled, and how its labels are distributed."""

    rows: int
    non_null: dict[str, int] = Field(description="column of the file -> rows where it is not empty")
    train_counts: Spread | None = Field(
        description="videos of the train partition for each label, where they are known"
    )
    verticals: dict[str, int] = Field(
        description="vertical -> labels in it, most labels first; a label with several counts for each"
    )


def summarise(
    non_null: Mapping[str, int], train_counts: Sequence[int], verticals: Sequence[Sequence[str]]
) -> VocabularySummary:
    """Return the summary of a vocabulary from its columns, each with a value a row; counts may be missing."""
    in_vertical = Counter(name for names in verticals for name in names)
    ordered = sorted(in_vertical.items(), key=lambda item: (-item[1], item[0]))
    return VocabularySummary(
        rows=len(verticals),
        non_null=dict(non_null),
        train_counts=_spread(train_counts) if train_counts else None,
        verticals=dict(ordered),
    )


def _spread(values: Sequence[int]) -> Spread:
    # `quantiles` wants two values at least; a value twice has the quartiles of the value once.
    lower, median, upper = statistics.quantiles(values if len(values) > 1 else [*values, *values], method="inclusive")
    return Spread(
        count=len(values),
        mean=statistics.fmean(values),
        minimum=min(values),
        lower_quartile=lower,
        median=median,
        upper_quartile=upper,
        maximum=max(values),
    )
