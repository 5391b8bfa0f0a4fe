"""The vocabulary's file, read with suspicion."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.errors import VocabularyError
from tasks.vocabulary.table import is_vocabulary, read_segment_labels, read_vocabulary

HEADER = "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,WikiDescription"
GAME = '0,788288,/m/03bt1gh,Game,https://en.wikipedia.org/wiki/Game,Games,,,"rules, and\nplay"'
BARE = "7,12,/m/0dxrf,,,Food & Drink,Shopping,Food & Drink,"


def table(tmp_path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "vocabulary.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_values(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(table(tmp_path, HEADER, GAME, BARE, ""))
    game, bare = vocabulary.labels
    assert (game.index, game.name, game.train_count, game.verticals) == (0, "Game", 788288, ("Games",))
    assert game.wiki_url == "https://en.wikipedia.org/wiki/Game"
    assert (bare.index, bare.name, bare.verticals) == (7, "", ("Food & Drink", "Shopping"))
    assert vocabulary.filled["Name"] == 1
    assert vocabulary.filled["WikiDescription"] == 1
    assert vocabulary.filled["Index"] == 2


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(f"{HEADER}\n{GAME}".encode("utf-8-sig"), id="byte-order-mark"),
        pytest.param(f"{HEADER}\r\n{BARE}\r\n".encode(), id="windows-line-ends"),
        pytest.param(
            "\n".join([HEADER.removesuffix(",WikiDescription"), "3,4,/m/0x,A,,B,,"]).encode(), id="no-description"
        ),
        pytest.param(f"{HEADER}\n{BARE}\n\n\r\n".encode(), id="blank-lines"),
        pytest.param("label_id,label_name\n7,Soup\n".encode("utf-16"), id="utf-16"),
        pytest.param(b"label_id;label_name\r\n7;Soup, of peas\r\n", id="semicolons"),
        pytest.param(b"label_name\tlabel_id\nSoup\t7\n", id="tabs"),
        pytest.param(b"Label_ID, Label_Name\n7,Soup\n", id="another-case"),
    ],
)
def test_harmless_variants(tmp_path: Path, encoded: bytes) -> None:
    path = tmp_path / "vocabulary.csv"
    path.write_bytes(encoded)
    assert len(read_vocabulary(path).labels) == 1
    assert is_vocabulary(path)


def test_the_synthetic_vocabulary_is_one(synthetic_mirror: Path) -> None:
    vocabulary = read_vocabulary(synthetic_mirror / "youtube8m" / "csv" / "2" / "vocabulary.csv")
    assert vocabulary.find("Cooking").index == 22


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([], r"line 1: no column Index or label_id, Name or label_name in ''", id="empty-file"),
        pytest.param(["<!DOCTYPE html>", "<p>"], r"line 1: no column .* in '<!DOCTYPE html>'", id="html"),
        pytest.param(
            [HEADER.replace("Name", "Title"), GAME],
            r"line 1: no column Name or label_name in 'Index,",
            id="missing-column",
        ),
        pytest.param([HEADER], r"it has a header and no labels", id="no-rows"),
        pytest.param([HEADER, GAME, "1,2"], r"line 4: 2 values for 9 columns", id="short-row"),
        pytest.param([HEADER, BARE + ",,"], r"line 2: 11 values for 9 columns", id="long-row"),
        pytest.param([HEADER, BARE.replace("12", "1_2")], r"line 2: TrainVideoCount .* got '1_2'", id="not-a-number"),
        pytest.param([HEADER, BARE.replace("12", "-1")], r"from 0 to 999,999,999, got '-1'", id="negative"),
        pytest.param([HEADER, BARE.replace("12", "9" * 5000)], r"got '9{40}'", id="huge-number"),
        pytest.param([HEADER, BARE.replace("7,", "100000,", 1)], r"Index must be .* 0 to 99,999, got", id="huge-index"),
        pytest.param([HEADER, BARE, BARE], r"line 3: 7 stands on line 2 already", id="index-twice"),
        pytest.param(
            [HEADER, BARE, BARE.replace("7,", "8,", 1)], r"line 3: '/m/0dxrf' stands on line 2 already", id="id-twice"
        ),
        pytest.param(
            [HEADER, BARE.replace("/m/", "../")], r"KnowledgeGraphId must look like '/m/01mtb'", id="wrong-id"
        ),
        pytest.param(
            [HEADER, BARE.replace("rf,,", "rf,\x1b[2J,")], r"Name must be .*got '\\x1b\[2J'", id="escape-codes"
        ),
        pytest.param([HEADER, BARE.replace("rf,,", f"rf,{'n' * 401},")], r"Name must be at most 400", id="long-name"),
        pytest.param([HEADER, GAME + "x" * 10 + '"'], r"line 3: ", id="broken-quoting"),
        pytest.param([HEADER, BARE + "d" * 200_000], r"line 2: field larger than field limit", id="huge-field"),
    ],
)
def test_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    path = table(tmp_path, *lines)
    with pytest.raises(VocabularyError, match=message) as caught:
        read_vocabulary(path)
    assert str(caught.value).startswith(f"{path} is not a vocabulary of YouTube-8M: ")
    assert str(caught.value).endswith("may be deleted instead, and is fetched again")


def test_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER, GAME, BARE.replace("Food", "Caf\u00e9"), encoding="latin-1")
    with pytest.raises(VocabularyError, match=r"line 4: not UTF-8"):
        read_vocabulary(path)


def test_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.csv"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: takes no space
    with pytest.raises(VocabularyError, match=r"it is larger than 64 MB"):
        read_vocabulary(path)


def test_missing_file(tmp_path: Path) -> None:
    message = r"none\.csv cannot be read: No such file or directory\. `reelsift vocabulary` fetches it$"
    with pytest.raises(VocabularyError, match=message):
        read_vocabulary(tmp_path / "none.csv")


def test_reading_needs_no_pandas_numpy_or_pyarrow() -> None:
    code = "import sys, tasks.vocabulary.table; print(sorted({'pandas', 'numpy', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def segment_labels(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "segment_label_ids.csv"
    path.write_bytes(content.encode())
    return path


def test_labels_of_segments_are_read_in_their_order(tmp_path: Path) -> None:
    assert read_segment_labels(segment_labels(tmp_path, "Index\n3\n7\n1805\n12\n")) == (3, 7, 1805, 12)
    assert read_segment_labels(segment_labels(tmp_path, "\ufeffIndex,Name\r\n3,Dance\r\n7,Car\r\n")) == (3, 7)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("3\n7\n", "line 1: no column Index or label_id", id="no-header"),
        pytest.param(
            "Index\n3\n3.5\n", r"line 3: Index must be a whole number from 0 to 99,999, got '3.5'", id="fraction"
        ),
        pytest.param("Index\n3\n-1\n", "line 3: Index must be a whole number", id="negative"),
        pytest.param("Index\n3\n7\n3\n", "line 4: 3 stands on line 2 already", id="twice"),
        pytest.param("Index\n", "it has a header and no labels", id="empty"),
    ],
)
def test_what_is_no_list_of_labels_of_segments_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(VocabularyError, match=said):
        read_segment_labels(segment_labels(tmp_path, content))
