"""The id and the slug of a dataset version."""

import re
import subprocess
import sys

import pytest

from tasks.contracts.datasets import PlannedShard
from tasks.datasets.manifest import ID_PATTERN, SLUG_PATTERN, dataset_id, slug_of
from tests.datasets.made import OPTIONS, tally

PLANNED = [PlannedShard(name=f"train{name}.tfrecord", partition="video/train", md5=name * 16) for name in ("0a", "1b")]


def test_the_id_is_known() -> None:
    # Anybody's dataset changes its id if this does: raise FILTER_VERSION instead.
    assert dataset_id(PLANNED, {"label_ids": [22]}, 1) == "ds-cae1646d0c20"


def test_order_does_not_count() -> None:
    options = {"background": 2, "label_ids": [22]}
    backwards = {"label_ids": [22], "background": 2}
    assert dataset_id(PLANNED, options, 1) == dataset_id(PLANNED[::-1], backwards, 1)


def test_planned_and_filtered_shards_give_the_same_id() -> None:
    filtered = [tally(shard.name, shard.partition, rows=3, matches=1) for shard in PLANNED]
    planned = [PlannedShard(name=each.name, partition=each.partition, md5=each.md5) for each in filtered]
    assert dataset_id(planned, OPTIONS, 1) == dataset_id(filtered, OPTIONS, 1)


@pytest.mark.parametrize(
    ("shards", "options", "version"),
    [
        pytest.param(PLANNED[:1], OPTIONS, 1, id="fewer-shards"),
        pytest.param([PLANNED[0], PLANNED[1].model_copy(update={"md5": "f" * 32})], OPTIONS, 1, id="other-md5"),
        pytest.param(
            [PLANNED[0], PLANNED[1].model_copy(update={"partition": "video/test"})], OPTIONS, 1, id="other-partition"
        ),
        pytest.param(PLANNED, OPTIONS | {"label_ids": [23]}, 1, id="other-label"),
        pytest.param(PLANNED, OPTIONS | {"background": "all"}, 1, id="other-background"),
        pytest.param(PLANNED, OPTIONS, 2, id="other-filter"),
    ],
)
def test_whatever_decides_the_rows_counts(shards: list[PlannedShard], options: dict, version: int) -> None:
    changed = dataset_id(shards, options, version)
    assert re.fullmatch(ID_PATTERN, changed)
    assert changed != dataset_id(PLANNED, OPTIONS, 1)


@pytest.mark.parametrize(
    ("names", "options", "slug"),
    [
        pytest.param(["Cooking"], {}, "cooking", id="one"),
        pytest.param(["Food", "Cooking"], {}, "cooking-or-food", id="any-in-any-order"),
        pytest.param(["Cooking", "Food"], {"match": "all"}, "cooking-and-food", id="all"),
        pytest.param(["Cooking"], {"exclude": ["Game"]}, "cooking-not-game", id="exclude"),
        pytest.param(["Cooking"], {"exclude": ["Toy", "Game"]}, "cooking-not-game-not-toy", id="exclude-two"),
        pytest.param(["Pokémon X & Y"], {}, "pokemon-x-y", id="accent-and-signs"),
        pytest.param(["Škoda Auto"], {}, "skoda-auto", id="caron"),
        pytest.param(["/m/0dxrf"], {}, "m-0dxrf", id="knowledge-graph-id"),
        pytest.param(["../../etc"], {}, "etc", id="path"),
        pytest.param(["料理"], {}, "label-d894d429", id="no-latin-letter"),
        pytest.param([""], {}, "label-e3b0c442", id="empty-name"),
        pytest.param([], {"exclude": ["Game"]}, "any-not-game", id="no-label"),
        pytest.param(["Latest"], {}, "label-latest", id="name-of-the-pointer"),
        pytest.param(["DS 0123456789ab"], {}, "label-ds-0123456789ab", id="looks-like-an-id"),
    ],
)
def test_slug(names: list[str], options: dict, slug: str) -> None:
    assert slug_of(names, **options) == slug
    assert re.fullmatch(SLUG_PATTERN, slug)


def test_the_whole_vocabulary_has_a_slug_that_no_label_has() -> None:
    assert slug_of(None) == "all"
    assert slug_of(None, exclude=["Game"]) == "all-not-game"
    assert slug_of(["All"]) == "label-all"


def test_a_long_slug_is_cut_and_stays_distinct() -> None:
    names = [f"A rather long label {number}" for number in range(8)]
    one, other = slug_of(names), slug_of(names[:-1])
    assert one != other
    assert one.startswith("a-rather-long-label-0-or-a-rather-long-label-1")
    assert all(len(slug) <= 64 and re.fullmatch(SLUG_PATTERN, slug) for slug in (one, other))


def test_naming_and_finding_datasets_imports_nothing_heavy() -> None:
    heavy = "{'pandas', 'numpy', 'pyarrow', 'matplotlib'}"
    modules = "tasks.datasets.manifest, tasks.datasets.catalogue"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
