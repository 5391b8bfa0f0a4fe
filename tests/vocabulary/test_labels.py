"""Labels by name, index and knowledge-graph id."""

from pathlib import Path

import pytest

from tasks.contracts.errors import UnknownLabelError, VocabularyError
from tasks.vocabulary.labels import Label, Vocabulary
from tasks.vocabulary.table import read_vocabulary

NAMES = ("Game", "Cooking", "Cooking show", "Pokémon", "", "Mercury", "Mercury", "game", "1984")


@pytest.fixture
def vocabulary() -> Vocabulary:
    """Nine labels, among them one without a name, two that share one and two that differ in case."""
    labels = tuple(
        Label(
            index=10 + place,
            name=name,
            knowledge_graph_id=f"/m/0{place}x",
            verticals=("Games", "Sports") if place % 2 else ("Food & Drink",),
            train_count=1000 - place,
            wiki_url="",
        )
        for place, name in enumerate(NAMES)
    )
    return Vocabulary(labels=labels, filled={"Name": 8})


@pytest.fixture(scope="module")
def real_vocabulary(real_mirror: Path) -> Vocabulary:
    return read_vocabulary(real_mirror / "youtube8m" / "csv" / "2" / "vocabulary.csv")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        pytest.param("Cooking", 11, id="name"),
        pytest.param("cOOKING  sHOW ", 12, id="case-and-space"),
        pytest.param("Game", 10, id="exact-name-before-other-case"),
        pytest.param("game", 17, id="exact-name-in-lower-case"),
        pytest.param("pokemon", 13, id="without-accent"),
        pytest.param("Poke\u0301mon", 13, id="decomposed-accent"),
        pytest.param("14", 14, id="index"),
        pytest.param("/m/04x", 14, id="knowledge-graph-id"),
        pytest.param("/M/04X", 14, id="knowledge-graph-id-upper-case"),
        pytest.param("1984", 18, id="name-of-digits"),
    ],
)
def test_find(vocabulary: Vocabulary, text: str, index: int) -> None:
    assert vocabulary.find(text).index == index


def test_a_label_without_a_name_shows_its_id(vocabulary: Vocabulary) -> None:
    assert vocabulary.find("14").shown_name == "/m/04x"
    assert vocabulary.find("11").shown_name == "Cooking"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "Cookng",
            r"^No label 'Cookng' in the vocabulary\. Did you mean 'Cooking' \(11\) or 'Cooking show' \(12\)\? `",
            id="typo",
        ),
        pytest.param(
            "cook",
            r"'Cooking' \(11\) or 'Cooking show' \(12\)\? `reelsift vocabulary --search cook`$",
            id="part-of-names",
        ),
        pytest.param("Kooking show", r"'Cooking show' \(12\).*--search 'Cooking show'`$", id="nothing-begins-like-it"),
        pytest.param(
            "zzzz", r"^No label 'zzzz' in the vocabulary\. `reelsift vocabulary` lists all 9$", id="nothing-near"
        ),
        pytest.param("  ", r"^No label '' in the vocabulary\. `reelsift vocabulary` lists all 9$", id="empty"),
        pytest.param("99999", r"^No label '99999' in the vocabulary", id="index-out-of-range"),
        pytest.param(
            "Mercury",
            r"^2 labels are named 'Mercury'\. Name one by its index: 15, 16\. `reelsift vocabulary --search Mercury`",
            id="ambiguous-name",
        ),
        pytest.param("GAME", r"^2 labels are named 'GAME'\. Name one by its index: 10, 17", id="ambiguous-in-case"),
    ],
)
def test_find_says_what_there_is(vocabulary: Vocabulary, text: str, message: str) -> None:
    with pytest.raises(UnknownLabelError, match=message):
        vocabulary.find(text)


@pytest.mark.parametrize(
    ("text", "vertical", "indices"),
    [
        pytest.param("COOK", None, [11, 12], id="part-of-a-name"),
        pytest.param("pokemon", None, [13], id="without-accent"),
        pytest.param("/m/04", None, [14], id="part-of-an-id"),
        pytest.param("cook", "food & drink", [12], id="in-a-vertical"),
        pytest.param("", "SPORTS", [11, 13, 15, 17], id="second-vertical"),
        pytest.param("nothing", None, [], id="no-match"),
    ],
)
def test_search(vocabulary: Vocabulary, text: str, vertical: str | None, indices: list[int]) -> None:
    assert [label.index for label in vocabulary.search(text, vertical)] == indices


def test_an_unknown_vertical_names_the_nearest_and_all(vocabulary: Vocabulary) -> None:
    message = r"^No vertical 'Fod'\. Did you mean 'Food & Drink'\? There are: Food & Drink, Games, Sports$"
    with pytest.raises(VocabularyError, match=message):
        vocabulary.search("", "Fod")


def test_summary_counts_each_of_a_label_s_verticals(vocabulary: Vocabulary) -> None:
    summary = vocabulary.summary()
    assert summary.rows == 9
    assert summary.non_null == {"Name": 8}
    assert list(summary.verticals.items()) == [("Food & Drink", 5), ("Games", 4), ("Sports", 4)]
    assert summary.train_counts is not None
    assert (summary.train_counts.minimum, summary.train_counts.maximum) == (992, 1000)


def test_summary_of_one_label(vocabulary: Vocabulary) -> None:
    spread = Vocabulary(labels=vocabulary.labels[:1], filled={}).summary().train_counts
    assert spread is not None
    assert spread.lower_quartile == spread.median == spread.upper_quartile == spread.mean == 1000


def test_real_vocabulary_agrees_with_pandas(real_mirror: Path, real_vocabulary: Vocabulary) -> None:
    import pandas as pd

    table = pd.read_csv(real_mirror / "youtube8m" / "csv" / "2" / "vocabulary.csv")
    summary = real_vocabulary.summary()
    described = table["TrainVideoCount"].describe()
    assert summary.rows == len(table) == 3862
    assert summary.non_null == table.notna().sum().to_dict()
    spread = summary.train_counts
    assert spread is not None
    assert [spread.minimum, spread.lower_quartile, spread.median, spread.upper_quartile, spread.maximum] == [
        described[key] for key in ("min", "25%", "50%", "75%", "max")
    ]
    assert spread.mean == pytest.approx(described["mean"])


def test_every_label_of_the_real_vocabulary_is_found_by_all_its_names(real_vocabulary: Vocabulary) -> None:
    assert sum(not label.name for label in real_vocabulary.labels) == 56
    for label in real_vocabulary.labels:
        keys = [str(label.index), label.knowledge_graph_id, label.shown_name]
        assert [real_vocabulary.find(key).index for key in keys] == [label.index] * 3


def test_the_typo_of_the_manual(real_vocabulary: Vocabulary) -> None:
    message = r"No label 'Cookng' .* Did you mean 'Cooking' \(22\), .*\? `reelsift vocabulary --search cook`"
    with pytest.raises(UnknownLabelError, match=message):
        real_vocabulary.find("Cookng")
