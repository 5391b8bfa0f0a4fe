"""Labelled videos read from tables and folders of every kind; what is wrong is one line that names its place."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import DatasetError
from tasks.imports.table import ClipTable, read_clips


def table(folder: Path, content: str | bytes, name: str = "clips.csv") -> ClipTable:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_clips(path)


def told(found: ClipTable) -> list[tuple[object, ...]]:
    return [(clip.named, clip.labels, clip.side, clip.group, clip.part) for clip in found.clips]


EXPECTED = [
    ("a.mp4", ("cooking",), "train", "kitchen 1", (None, 2.5)),
    ("https://example.org/b.mp4", ("dancing",), "validate", "7", (1.0, None)),
]
ROWS = [
    {"source": "a.mp4", "label": "cooking", "split": "train", "group": "kitchen 1", "start_s": 0, "end_s": 2.5},
    {"source": "https://example.org/b.mp4", "label": "dancing", "split": "val", "group": 7, "start_s": 1.0},
]
CSV = "source,label,split,group,start_s,end_s\na.mp4,cooking,train,kitchen 1,0,2.5\n"
CSV += "https://example.org/b.mp4,dancing,val,7,1.0,\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CSV.encode(), id="csv"),
        pytest.param(CSV.encode("utf-8-sig"), id="bom"),
        pytest.param(CSV.encode("utf-16"), id="utf-16"),
        pytest.param(CSV.replace(",", ";").encode(), id="semicolons"),
        pytest.param(CSV.replace(",", "\t").encode(), id="tabs"),
        pytest.param(CSV.replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(CSV.replace("\n", "\n\n,,\n").encode(), id="empty-lines"),
        pytest.param(CSV.replace("source,label", " Source , LABEL").encode(), id="header-case"),
        pytest.param(CSV.replace("source,label", "path,class").encode(), id="other-names"),
        pytest.param(CSV.replace("cooking", '"cooking"').encode(), id="quotes"),
        pytest.param("\n".join(map(json.dumps, ROWS)).encode(), id="json-lines"),
        pytest.param(json.dumps(ROWS, indent=1).encode(), id="json"),
    ],
)
def test_a_table_is_read_in_every_writing(tmp_path: Path, content: bytes) -> None:
    assert told(table(tmp_path, content)) == EXPECTED


def test_parquet_is_read_with_dictionaries_and_numbers(tmp_path: Path) -> None:
    columns = {name: [row.get(name) for row in ROWS] for name in ROWS[0]} | {"group": ["kitchen 1", "7"]}
    whole = pa.table(columns | {"features": [[1.0], [2.0]]})
    whole = whole.set_column(1, "Label", whole["label"].dictionary_encode())
    pq.write_table(whole, tmp_path / "clips")
    assert told(read_clips(tmp_path / "clips")) == EXPECTED


def test_several_labels_are_a_list_or_one_text(tmp_path: Path) -> None:
    rows = [{"source": "a", "labels": ["b", "a", "b"]}, {"source": "b", "labels": "x | y"}]
    expected = [("a", "b"), ("x", "y")]
    assert [clip.labels for clip in table(tmp_path, "\n".join(map(json.dumps, rows))).clips] == expected
    assert [clip.labels for clip in table(tmp_path, "source,labels\na,b|a|b\nb,x | y\n").clips] == expected
    pq.write_table(pa.Table.from_pylist([rows[0], rows[0]]), tmp_path / "lists")
    assert [clip.labels for clip in read_clips(tmp_path / "lists").clips] == [("a", "b")] * 2


def test_a_file_beside_the_table_goes_before_an_address_or_an_id(tmp_path: Path) -> None:
    (tmp_path / "ZU9H").write_bytes(b"")
    (tmp_path / "dQw4w9WgXcQ").write_bytes(b"")
    text = "source,label\nZU9H,a\ndQw4w9WgXcQ,a\nAU9H,b\neQw4w9WgXcQ,b\nmissing.mp4,b\n/else/where.mp4,b\n"
    expected = [tmp_path / "ZU9H", tmp_path / "dQw4w9WgXcQ", "AU9H", "eQw4w9WgXcQ", tmp_path / "missing.mp4"]
    assert [clip.source for clip in table(tmp_path, text).clips] == [*map(str, expected), "/else/where.mp4"]


def test_names_that_are_no_utf8_are_written_out(tmp_path: Path) -> None:
    found = table(tmp_path, b"source,label\ncaf\xe9.mp4,a\nb.mp4,b\n")
    assert found.clips[0].named == r"caf\xe9.mp4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "no rows", id="empty"),
        pytest.param("source,label\n", "no rows", id="header-alone"),
        pytest.param(
            "sauce,label\na,b\n", r"no column 'source'. It has 'sauce', 'label'. Did you mean 'sauce'", id="s"
        ),
        pytest.param("source,lable\na,b\n", r"no column 'label'. It has 'source', 'lable'. Did you mean", id="label"),
        pytest.param("a,b\nc,d\n", r"no column 'source' or 'label'. It has 'a', 'b'", id="no-header"),
        pytest.param(
            "source,label,spilt\na,b,train\n", r"column 'spilt' is none that is read.* mean 'split'", id="slip"
        ),
        pytest.param("source,label,labels\na,b,c\n", "both columns 'label' and 'labels'", id="both"),
        pytest.param("source,label,label\na,b,c\n", "2 columns 'label'", id="twice"),
        pytest.param("source,label\na,b,c\n", "line 2 has 3 values for 2 columns, 'c'", id="comma"),
        pytest.param('source,label\na,"b\n', "line 2 is no CSV", id="quote"),
        pytest.param("source,label\n,b\n", "line 2 has no source", id="no-source"),
        pytest.param("source,label\na, \n", "line 2 has no label", id="no-label"),
        pytest.param("source,label\n@a.txt,b\n", "line 2: '@a.txt' is a list of videos", id="list"),
        pytest.param("source,label\na,b|c\n", r"line 2: label 'b\|c' holds a |", id="separator"),
        pytest.param("source,label\na,caf\x1b[31m\n", "line 2: .* cannot be a label", id="escape"),
        pytest.param(b"source,label\na,caf\xe9\n", r"line 2: the label 'caf.udce9' is no UTF-8 text", id="latin-1"),
        pytest.param('{"source": "a", "label": "\\ud800"}\n', "line 1: the label .* is no UTF-8 text", id="surrogate"),
        pytest.param('{"source": "\\ud800", "labels": []}\n', "line 1 has no label", id="surrogate source"),
        pytest.param(
            "source,label,split\na,b,trian\n", "line 2: unknown split 'trian'. Did you mean 'train'", id="split"
        ),
        pytest.param("source,label,start_s\na,b,nan\n", "line 2: start_s must be seconds from 0 on, got nan", id="nan"),
        pytest.param(
            "source,label,start_s\na,b,-1\n", "line 2: start_s must be seconds from 0 on, got -1", id="negative"
        ),
        pytest.param(
            "source,label,end_s\na,b,0:10\n", "line 2: end_s must be seconds, as 12.5, got '0:10'", id="clock"
        ),
        pytest.param("source,label,start_s,end_s\na,b,3,2\n", "line 2: end_s must lie after .* 3 to 2", id="reversed"),
        pytest.param('{"source": "a"}\n{"label": 1}\n', "line 1 has no label", id="json-none"),
        pytest.param('{"source": "a", "label": "b"}\n{oops\n', "line 2 is no JSON", id="json"),
        pytest.param("[[1]]", "row 1 is no object", id="json-list"),
        pytest.param('{"source": ["a"], "label": "b"}', "line 1: source must be text", id="json-kind"),
        pytest.param(b"\0\0\0\x18ftypmp42", "is no table of labelled videos: it must be text", id="video"),
        pytest.param(b"PAR1\0\0", "cannot be read as Parquet", id="parquet"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        table(tmp_path, text)
    assert str(tmp_path / "clips.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def media(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"video")


def test_a_folder_has_a_folder_for_each_class(tmp_path: Path) -> None:
    home = tmp_path / "home"
    media(
        home,
        "b class/2.mp4",
        "b class/1.MP4",
        "a/x.png",
        "a/deeper/y.mov",
        "a/notes.txt",
        "a/.hidden.mp4",
        ".git/z.mp4",
    )
    media(home, "loose.mp4")
    media(tmp_path, "outside.mp4")
    os.mkfifo(home / "a" / "pipe.mp4")
    (home / "a" / "out.mp4").symlink_to(tmp_path / "outside.mp4")
    (home / "a" / "within.mp4").symlink_to(home / "b class" / "2.mp4")
    (home / "a" / "gone.mp4").symlink_to(home / "nothing")
    (home / "empty").mkdir()
    found = read_clips(home)
    within = [(clip.named, clip.labels[0], clip.side) for clip in found.clips]
    assert within == [
        ("a/within.mp4", "a", None),
        ("a/x.png", "a", None),
        ("a/deeper/y.mov", "a", None),
        ("b class/1.MP4", "b class", None),
        ("b class/2.mp4", "b class", None),
    ]
    assert ["empty" in found.notes[0], "loose.mp4" in found.notes[1]] == [True, True]


def test_a_folder_of_splits_has_the_classes_below(tmp_path: Path) -> None:
    media(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "test/b/4.mp4")
    found = [(clip.named, clip.labels, clip.side) for clip in read_clips(tmp_path).clips]
    assert found == [
        ("test/b/4.mp4", ("b",), "validate"),
        ("train/a/1.mp4", ("a",), "train"),
        ("train/b/2.mp4", ("b",), "train"),
        ("val/a/3.mp4", ("a",), "validate"),
    ]


def test_a_folder_without_classes_and_a_name_of_nothing_are_refused(tmp_path: Path) -> None:
    media(tmp_path, "1.mp4")
    with pytest.raises(DatasetError, match="no videos in folders of their classes"):
        read_clips(tmp_path)
    with pytest.raises(DatasetError, match=r"there is no such file or folder\. Name a CSV file"):
        read_clips(tmp_path / "nothing.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DatasetError, match="is a pipe or a device"):
        read_clips(tmp_path / "pipe.csv")
