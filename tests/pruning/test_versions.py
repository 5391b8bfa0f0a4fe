"""Versions and parts that nobody needs go; what anybody refers to stays, with the reason; bytes are true bytes."""

from pathlib import Path

import pytest

from tasks.contracts.datasets import ClipRecord
from tasks.datasets.catalogue import list_datasets, open_dataset
from tasks.datasets.folders import in_use
from tasks.datasets.manifest import verify
from tasks.pruning.items import Kind
from tasks.tracking.client import connect
from tasks.tracking.registry import DATASET_SLUG_TAG, DATASET_TAG
from tests.datasets.made import contents, edit_manifest
from tests.pruning.conftest import PrunedHome, age, by_name, disk_bytes, names
from tests.support.classifiers import registered


def refer(pruned: PrunedHome, dataset_id: str, alias: str | None = None) -> None:
    """Register a real model, trained on a version."""
    row = registered(pruned.store, alias=alias)
    connect(pruned.store).set_model_version_tag(row.name, str(row.version), DATASET_TAG, dataset_id)


def test_old_versions_go_and_what_is_referred_to_stays(pruned: PrunedHome) -> None:
    letters = ("a", "ab", "abc", "abcd", "abcde")
    champions, unneeded, registered_, newest, latest = (
        pruned.publish(each, days_ago=90 - place) for place, each in enumerate(letters)
    )
    pruned.publish("ab", days_ago=80, slug="food", options={"label_ids": [37]})
    pruned.publish("abcde", days_ago=89)  # again: `latest` means it, and it is the oldest but one
    refer(pruned, champions.id, alias="champion")
    refer(pruned, registered_.id)
    before = contents(pruned.root)
    assert not [kept for kept in pruned.plan(keep=2).stays if kept.name == f"cooking/{registered_.id}"]
    plan = pruned.plan(keep=2, in_days=40)  # when the trainings are old as well
    assert contents(pruned.root) == before
    assert names(plan.goes) == [f"cooking/{unneeded.id}"]
    reasons = {kept.name: kept.why for kept in plan.stays if kept.kind is Kind.DATASET}
    assert reasons[f"cooking/{champions.id}"] == "cooking/1, champion of cooking, was trained on it"
    assert reasons[f"cooking/{registered_.id}"] == "cooking/2 was trained on it"
    assert reasons[f"cooking/{newest.id}"] == "one of the newest 2 of cooking"
    assert reasons[f"cooking/{latest.id}"] == "`latest` means it"
    (outcome,) = pruned.prune(keep=2, in_days=40)
    assert not outcome.spared
    left = {entry.id for entry in list_datasets(pruned.folders.root)}
    assert unneeded.id not in left
    assert {champions.id, registered_.id, newest.id, latest.id} < left
    assert not any(verify(open_dataset(pruned.folders.root, each)) for each in left)


def test_a_model_keeps_the_version_of_its_own_slug_alone(pruned: PrunedHome) -> None:
    named = pruned.publish("a", days_ago=90)
    by_index = pruned.publish("a", days_ago=90, slug="label-22")
    assert named.id == by_index.id
    pruned.publish("ab", days_ago=80)
    pruned.publish("ab", days_ago=80, slug="label-22")
    refer(pruned, named.id)
    assert not [item for item in pruned.plan(in_days=40).goes if item.kind is Kind.DATASET]  # which one is not known
    connect(pruned.store).set_model_version_tag("cooking", "1", DATASET_SLUG_TAG, "cooking")
    plan = pruned.plan(in_days=40)
    assert names(plan.goes) == [by_index.reference]
    assert f"{named.slug}/{named.id}" in names(plan.stays)


def test_bytes_are_those_that_the_disk_gets_back(pruned: PrunedHome) -> None:
    """Parts are links: a version's own bytes are its manifest, until the store's name for a part goes as well."""
    old = pruned.publish("abx", days_ago=90)
    pruned.publish("ab", days_ago=40)
    stranger = pruned.part("y")
    age(pruned.folders.store, 90)
    (pruned.root / "backup").mkdir()
    kept_elsewhere = pruned.part("z")
    (pruned.root / "backup" / "z").hardlink_to(pruned.folders.store / kept_elsewhere.path)
    age(pruned.folders.store, 90)
    plan, before = pruned.plan(), disk_bytes(pruned.root)
    items = by_name(plan.goes)
    manifest = pruned.folders.folder(old) / "manifest.json"
    assert items[f"cooking/{old.id}"].size_bytes == manifest.stat().st_size
    assert [items[each.path].size_bytes for each in (stranger, kept_elsewhere)] == [stranger.size_bytes, 0]
    assert {kept.why for kept in plan.stays if kept.kind is Kind.PART}
    outcomes = pruned.prune()
    assert not any(outcome.spared for outcome in outcomes)
    assert sum(outcome.freed_bytes for outcome in outcomes) == plan.freed_bytes == before - disk_bytes(pruned.root)
    assert len(list(pruned.folders.store.rglob("*.parquet"))) == 2


def test_parts_that_a_build_may_need_stay(pruned: PrunedHome) -> None:
    pruned.publish("a", days_ago=90)
    looked_at, fresh = pruned.part("b"), pruned.part("c")
    age(pruned.folders.store / looked_at.path, 90)
    assert names(pruned.plan().goes) == [looked_at.path]
    assert names(pruned.plan(days=0).goes) == [looked_at.path], "what is of this hour stays, whatever the bound"
    pruning = pruned.pruning()
    plan = pruning.plan()
    pruned.publish("ab")
    assert [outcome.spared for outcome in pruning.carry_out(plan)] == [
        f"cooking/{open_dataset(pruned.folders.root, 'latest').manifest.id} is made of it"
    ]
    assert (pruned.folders.store / fresh.path).exists()


def test_what_comes_to_be_needed_after_the_plan_is_spared(pruned: PrunedHome) -> None:
    trained, pointed, read, gone = (pruned.publish(each, days_ago=90) for each in "abcd")
    pruned.publish("abcd", days_ago=40)
    pruning = pruned.pruning()
    plan = pruning.plan()
    datasets = [item for item in plan.goes if item.kind is Kind.DATASET]
    assert len(datasets) == 4
    refer(pruned, trained.id)
    pruned.publish("b")  # the same once more moves `latest`, and changes nothing else
    age(pruned.folders.folder(pointed), 90)
    pruned.folders.folder(gone).rename(pruned.root / "moved")
    with in_use(pruned.folders.folder(read)):
        spared = {outcome.item.name: outcome.spared for outcome in pruning.carry_out(plan)}
    assert spared[f"cooking/{trained.id}"] == "cooking/1 was trained on it"
    assert spared[f"cooking/{pointed.id}"] == "`latest` means it"
    assert spared[f"cooking/{read.id}"] == "it is being read"
    assert spared[f"cooking/{gone.id}"] == "it is gone already"


def test_damaged_versions_do_not_keep_others_from_being_the_newest(pruned: PrunedHome) -> None:
    whole, damaged, last = (pruned.publish(each, days_ago=90 - place) for place, each in enumerate("abc"))
    edit_manifest(pruned.folders.folder(damaged), rows="many")
    edit_manifest(pruned.folders.folder(last), slug="../../elsewhere")
    for manifest in (damaged, last):
        age(pruned.folders.folder(manifest), 60)
    going = [item.name for item in pruned.plan().goes if item.kind is Kind.DATASET]
    assert going == [f"cooking/{damaged.id}"], "the whole one is the newest, and `latest` means the last"
    assert f"cooking/{whole.id}" not in names(pruned.prune()[i].item for i in range(1))


@pytest.mark.parametrize("level", ["datasets", "slug", "version"])
def test_links_are_not_followed_out_of_the_home(pruned: PrunedHome, tmp_path: Path, level: str) -> None:
    old = pruned.publish("a", days_ago=90)
    pruned.publish("ab", days_ago=80)
    inside = {
        "datasets": pruned.folders.root,
        "slug": pruned.folders.root / "cooking",
        "version": pruned.folders.folder(old),
    }[level]
    outside = tmp_path / "outside"
    inside.rename(outside)
    (outside / ".x.tmp").mkdir()
    inside.symlink_to(outside)
    age(outside, 90)
    before = contents(outside)
    assert not [item for item in pruned.plan().goes if item.kind is not Kind.PART]
    pruned.prune()
    assert contents(outside) == before
    assert (outside / ".x.tmp").is_dir()
    assert inside.is_symlink()


def test_links_in_a_version_go_without_what_they_lead_to(pruned: PrunedHome, tmp_path: Path) -> None:
    old = pruned.publish("a", days_ago=90)
    pruned.publish("ab", days_ago=80)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("kept")
    (pruned.folders.folder(old) / "to-a-folder").symlink_to(mine)
    (pruned.folders.folder(old) / "to-a-file").symlink_to(mine / "precious")
    assert not pruned.prune()[0].spared
    assert not pruned.folders.folder(old).exists()
    assert (mine / "precious").read_text() == "kept"


@pytest.mark.parametrize("trouble", ["no-server", "no-database"])
def test_nothing_that_may_be_referred_to_goes_where_the_registry_cannot_be_read(
    pruned: PrunedHome, trouble: str
) -> None:
    pruned.publish("a", days_ago=90)
    pruned.publish("ab", days_ago=80)
    (pruned.folders.root / "cooking" / ".ds.1-2.tmp").mkdir()
    age(pruned.folders.root / "cooking" / ".ds.1-2.tmp", 9)
    home = pruned
    if trouble == "no-server":
        # Port 9 of loopback answers nothing.
        home = PrunedHome(pruned.root, pruned.store.model_copy(update={"uri": "http://127.0.0.1:9"}))
    else:
        assert pruned.store.sqlite_path is not None
        pruned.store.sqlite_path.write_bytes(b"no database at all" * 100)
    plan = home.plan()
    assert "Nothing that a model might refer to is pruned" in plan.problem
    assert names(plan.goes) == ["datasets/cooking/.ds.1-2.tmp"]
    home.prune()
    assert len(list_datasets(pruned.folders.root)) == 2


def test_features_go_once_no_version_is_made_of_them(pruned: PrunedHome) -> None:
    content, gone = "a" * 64, "b" * 64
    part = pruned.part("a")
    (tally,) = part.shards
    imported = tally.model_copy(update={"clip": ClipRecord(sha256=content)})
    pruned.folders.publish([part.model_copy(update={"shards": (imported,)})])
    space = pruned.places.features / "efficientnet-lite0-0123456789ab"
    for each in (content, gone):
        (space / each[:32]).mkdir(parents=True)
        (space / each[:32] / "features.json").write_text("{}")
    assert not [item for item in pruned.plan().goes if item.kind is Kind.FEATURES]  # they are new
    age(space, 40)
    plan = pruned.plan()
    assert names(item for item in plan.goes if item.kind is Kind.FEATURES) == [f"{space.name}/{gone[:32]}"]
    (stays,) = [kept for kept in plan.stays if kept.kind is Kind.FEATURES]
    assert (stays.name, "cooking/ds-" in stays.why) == (f"{space.name}/{content[:32]}", True)
    assert not any(outcome.spared for outcome in pruned.prune())
    assert [path.name for path in space.iterdir()] == [content[:32]]
