"""The labels of a release of YouTube-8M: looked up by name, and summarised."""

import difflib
import shlex
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import Field

from tasks.contracts.errors import UnknownLabelError, VocabularyError
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


SUGGESTIONS = 3


class Label(FrozenModel):
    """One row of the vocabulary."""

    index: int = Field(ge=0, description="the number that shards hold")
    name: str = Field(description="empty for the rows whose entity has lost its name (56 of 3,862)")
    knowledge_graph_id: str = Field(default="", description="e.g. `/m/01mtb`; empty where the file has none")
    verticals: tuple[str, ...] = Field(default=(), description="up to three of the 24 top-level ones, or `(Unknown)`")
    train_count: int | None = Field(
        default=None, ge=0, description="videos of the train partition that have it; None where the file has no counts"
    )
    wiki_url: str = ""

    @property
    def shown_name(self) -> str:
        """The name, or the knowledge-graph id where there is none, or the index where there is neither."""
        return self.name or self.knowledge_graph_id or f"label {self.index}"


@dataclass(frozen=True)
class Vocabulary:
    """All labels in the order of their file, the commonest first."""

    labels: tuple[Label, ...]
    filled: Mapping[str, int]  # column of the file -> rows where it is not empty

    def find(self, text: str) -> Label:
        """Return the label of that name, index or knowledge-graph id; case counts only between names that differ in it.

        Raises:
            UnknownLabelError: no label, or several, go by `text`.
        """
        wanted = text.strip()
        found = self._by_name.get(wanted) or self._by_folded.get(fold(wanted)) or self._by_key.get(wanted.lower())
        if not wanted or not found:
            raise UnknownLabelError(self._unknown(wanted))
        if len(found) > 1:
            indices = ", ".join(str(label.index) for label in found)
            raise UnknownLabelError(
                f"{len(found)} labels are named {wanted!r}. Name one by its index: {indices}. "
                f"`reelsift vocabulary --search {shlex.quote(wanted)}` shows them"
            )
        return found[0]

    def search(self, text: str, vertical: str | None = None) -> tuple[Label, ...]:
        """Return the labels whose name or knowledge-graph id contains `text`, whatever its case and accents.

        Raises:
            VocabularyError: no label is of that `vertical`.
        """
        among = self.labels if vertical is None else self._of_vertical(vertical)
        wanted = fold(text.strip())
        return tuple(label for label in among if wanted in fold(label.name) or wanted in label.knowledge_graph_id)

    def summary(self) -> VocabularySummary:
        """Return what `DataFrame.info()` and `describe()` would say of the file."""
        counts = [label.train_count for label in self.labels if label.train_count is not None]
        return summarise(self.filled, counts, [label.verticals for label in self.labels])

    @cached_property
    def _by_name(self) -> dict[str, list[Label]]:
        return _grouped((label.name, label) for label in self.labels if label.name)

    @cached_property
    def _by_folded(self) -> dict[str, list[Label]]:
        return _grouped((fold(label.name), label) for label in self.labels if label.name)

    @cached_property
    def _by_key(self) -> dict[str, list[Label]]:
        by_index = [(str(label.index), label) for label in self.labels]
        by_graph = [(label.knowledge_graph_id.lower(), label) for label in self.labels if label.knowledge_graph_id]
        return _grouped(by_index + by_graph)

    @property
    def is_complete(self) -> bool:
        """Whether every index has a label."""
        return self.size == len(self.labels)

    @property
    def size(self) -> int:
        """How many indices there are: one more than the largest, as a file may leave some out."""
        return 1 + max(label.index for label in self.labels)

    def _of_vertical(self, vertical: str) -> tuple[Label, ...]:
        names = {fold(name): name for label in self.labels for name in label.verticals}
        name = names.get(fold(vertical.strip()))
        if name is None:
            near = difflib.get_close_matches(fold(vertical), names, n=SUGGESTIONS, cutoff=0.4)
            hint = f"Did you mean {_listed([repr(names[each]) for each in near])}? " if near else ""
            raise VocabularyError(f"No vertical {vertical!r}. {hint}There are: {', '.join(sorted(names.values()))}")
        return tuple(label for label in self.labels if name in label.verticals)

    def _vertical(self, wanted: str) -> str | None:
        """Return the vertical that is meant, however its ampersand is written."""
        names = {_spelled(name): name for label in self.labels for name in label.verticals}
        return names.get(_spelled(wanted))

    def _unknown(self, wanted: str) -> str:
        message = f"No label {wanted!r} in the vocabulary."
        if vertical := self._vertical(wanted):
            return (
                f"{message} {vertical!r} is a vertical, a group of labels: "
                f"`reelsift vocabulary --vertical {shlex.quote(vertical)}` lists them"
            )
        near = self._nearest(wanted)
        if not near:
            return f"{message} `reelsift vocabulary` lists all {len(self.labels):,}"
        stem = wanted[: max(4, len(wanted) // 2)].strip().lower()
        if not self.search(stem):
            stem = near[0].shown_name
        names = _listed([f"{label.shown_name!r} ({label.index})" for label in near])
        return f"{message} Did you mean {names}? `reelsift vocabulary --search {shlex.quote(stem)}`"

    def _nearest(self, wanted: str) -> list[Label]:
        """Return the commonest labels that contain `wanted`, then those whose names look most like it."""
        if not wanted:
            return []
        keys = difflib.get_close_matches(fold(wanted), self._by_folded, n=SUGGESTIONS, cutoff=0.6)
        similar = [label for key in keys for label in self._by_folded[key]]
        return list({label.index: label for label in (*self.search(wanted), *similar)}.values())[:SUGGESTIONS]


def fold(text: str) -> str:
    """Return `text` without case, accents or repeated space, so that `pokemon` is `Pokémon`."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(char for char in decomposed if not unicodedata.combining(char)).split())


def _spelled(vertical: str) -> str:
    return fold(vertical.replace("&", " and "))


def _grouped(pairs: Iterable[tuple[str, Label]]) -> dict[str, list[Label]]:
    groups: dict[str, list[Label]] = {}
    for key, label in pairs:
        groups.setdefault(key, []).append(label)
    return groups


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"
