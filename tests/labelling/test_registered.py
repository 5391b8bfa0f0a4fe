"""The labeller of a registered model, from the clip's frames and sound through small networks of the real form."""

import json
import re
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from conf.settings import load_weights_table
from tasks.classifier.config import ModelKind, TrainConfig
from tasks.classifier.fitted import METADATA_NAME, FittedClassifier, read_metadata
from tasks.classifier.models import build_model
from tasks.contracts.errors import FeatureSpaceError, MissingWeightsError, ModelError, UnknownModelError
from tasks.contracts.features import YT8M
from tasks.contracts.media import LABELS_NAME, LabelsManifest
from tasks.features.extractor import read_features
from tasks.features.shipped import EfficientNetExtractor
from tasks.labelling import labeller as labeller_module
from tasks.labelling.config import LabelOptions
from tasks.labelling.label import identity_of_labels, label_video
from tasks.labelling.labeller import choose_model, open_labeller
from tasks.labelling.registered import RegisteredLabeller, _extractor_for
from tasks.tracking.client import connect
from tasks.tracking.loading import load_classifier
from tasks.tracking.registry import CHAMPION_SINCE_TAG, ModelRow
from tasks.tracking.store import TrackingStore, tracking_store
from tasks.video.config import MediaBounds
from tasks.weights.config import Backbone, WeightsEntry
from tasks.weights.store import WeightsStore
from tests.labelling.colours import fetched, write_clip
from tests.reelsift.test_cli import reelsift
from tests.support.classifiers import DATASET_ID, registered
from tests.support.feature_weights import write_feature_weights
from tests.support.in_process import run_here

ROOT = Path(__file__).parents[2]
BOUNDS = MediaBounds()
LABELS = 4


def with_match() -> FittedClassifier:
    """A classifier of random weights that also says whether a video matches."""
    torch.manual_seed(0)
    config = TrainConfig(model=ModelKind.MOE)
    module = build_model(config, LABELS + 1).eval()
    names = tuple(f"label {index}" for index in range(LABELS))
    return FittedClassifier(module, tuple(range(10, 10 + LABELS)), names, config, DATASET_ID, has_match=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def store(home: Path) -> TrackingStore:
    return tracking_store(home)


@pytest.fixture(scope="module")
def row(store: TrackingStore) -> ModelRow:
    return registered(store, classifier=with_match(), alias="champion")


@pytest.fixture(scope="module")
def weights(home: Path) -> WeightsStore:
    given = write_feature_weights(home / "given")
    return WeightsStore(folder=home / "weights", given=given, table=load_weights_table())


@pytest.fixture(scope="module")
def labeller(row: ModelRow, store: TrackingStore, weights: WeightsStore) -> RegisteredLabeller:
    opened = open_labeller("champion", store=store, weights=weights)
    assert isinstance(opened, RegisteredLabeller)
    return opened


@pytest.mark.parametrize("sound", [True, False], ids=["with-sound", "silent"])
def test_a_video_is_labelled_second_by_second(sound: bool, labeller: RegisteredLabeller, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", ["red", "green", "blue"], sound=sound)
    options = LabelOptions(window=1, table_top=LABELS)
    made = label_video(fetched(clip), labeller, options, BOUNDS, tmp_path / "out")
    features = read_features(clip, BOUNDS, labeller.extractor)
    classifier = with_match()

    assert made.seconds == 3
    assert made.is_silent is not sound
    assert made.match_score == pytest.approx(classifier.predict_match(features.mean())[0])
    whole = classifier.predict(features.mean())[0]
    assert [label.label_id for label in made.top] == [10 + column for column in np.argsort(-whole, kind="stable")]
    assert [label.score for label in made.top] == pytest.approx(np.sort(whole)[::-1])

    table = pq.read_table(tmp_path / "out" / "labels.parquet").to_pandas()
    scores = table.pivot_table(index="time_s", columns="label_id", values="score").to_numpy()
    np.testing.assert_allclose(scores, classifier.predict(features.per_second()), atol=1e-6)


def test_the_record_names_everything_between_the_frames_and_the_scores(
    labeller: RegisteredLabeller, row: ModelRow, tmp_path: Path
) -> None:
    record = labeller.record
    assert (record.name, record.feature_space) == ("cooking/1", "yt8m-video-2018")
    assert (record.dataset_id, record.run_id) == (DATASET_ID, row.run_id)
    with_match().save(tmp_path)
    assert record.weights[-1].name == "cooking/1"
    assert record.weights[-1].sha256 == read_metadata(tmp_path / METADATA_NAME).weights_sha256
    given = {weights.file_name: weights.sha256 for weights in record.weights[:-1]}
    assert {"classify_image_graph_def.pb", "vggish_model.ckpt", "vggish_pca_params.npz"} <= given.keys()


def test_the_identity_follows_the_weights(labeller: RegisteredLabeller, row: ModelRow, tmp_path: Path) -> None:
    video = fetched(write_clip(tmp_path / "clip.mp4", ["red"]))
    torch.manual_seed(1)
    other = replace(with_match(), module=build_model(TrainConfig(model=ModelKind.MOE), LABELS + 1))
    retrained = RegisteredLabeller(row, other, labeller.extractor)
    assert identity_of_labels(video, retrained, LabelOptions()) != identity_of_labels(video, labeller, LabelOptions())


def test_a_classifier_of_another_space_is_refused_by_name(labeller: RegisteredLabeller, row: ModelRow) -> None:
    stranger = replace(with_match(), space=YT8M.model_copy(update={"name": "yt8m-video-2017"}))
    with pytest.raises(FeatureSpaceError, match=r"cooking/1 looks at .*'yt8m-video-2017'.* are 'yt8m-video-2018'"):
        RegisteredLabeller(row, stranger, labeller.extractor)


def test_another_rate_than_one_a_second_is_refused(labeller: RegisteredLabeller, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", ["red"])
    with pytest.raises(ModelError, match=r"cooking/1 looks at features of one frame a second, not 2: .*--fps"):
        label_video(fetched(clip), labeller, LabelOptions(rate_hz=2), BOUNDS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_missed_when_the_model_is_opened(
    row: ModelRow, store: TrackingStore, weights: WeightsStore
) -> None:
    nowhere = weights.model_copy(update={"given": None})
    with pytest.raises(MissingWeightsError, match=r"inception-2015.*reelsift weights fetch"):
        open_labeller(row.reference, store=store, weights=nowhere)


def test_an_unknown_model_is_named_before_any_weights_are(store: TrackingStore, row: ModelRow, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"No model 'cooking/9'.*cooking@champion, cooking/1"):
        open_labeller("cooking/9", store=store, weights=WeightsStore(folder=tmp_path, table={}))


@pytest.fixture(scope="module")
def embedded(store: TrackingStore) -> ModelRow:
    """A model of the space that needs no download."""
    torch.manual_seed(2)
    space, config = EfficientNetExtractor.open().space, TrainConfig(model=ModelKind.LOGISTIC)
    module = build_model(config, LABELS, space).eval()
    names = tuple(f"label {index}" for index in range(LABELS))
    classifier = FittedClassifier(module, (0, 1, 2, 3), names, config, DATASET_ID, space=space)
    return registered(store, "kitchen", classifier=classifier)


def test_a_model_labels_with_the_features_of_its_own_space(
    embedded: ModelRow,
    store: TrackingStore,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In a home that has no weights."""
    clip = write_clip(tmp_path / "clip.mp4", ["red", "blue"], sound=True)
    words = ("label", clip, "--model", embedded.reference, "--no-annotate", "--json")
    run = run_here(*words, home=home, monkeypatch=monkeypatch, capfd=capfd)
    assert run.returncode == 0, run.stderr
    (video,) = json.loads(run.stdout)["videos"]
    made = LabelsManifest.model_validate_json((Path(video["folder"]) / LABELS_NAME).read_bytes())
    extractor = EfficientNetExtractor.open()
    wanted = load_classifier(store, embedded).predict(read_features(clip, BOUNDS, extractor).mean())[0]
    assert [label.score for label in made.top] == pytest.approx(np.sort(wanted)[::-1], abs=1e-5)
    assert made.model.feature_space == "efficientnet-lite0"
    assert made.model.weights[0].sha256 == extractor.records[0].sha256
    assert made.seconds == 2
    assert made.is_silent is False


class Told:
    """A listener that remembers what began."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self.begun.append(what)

    def advance(self, what: str, amount: float) -> None: ...


def test_several_models_look_at_the_same_frames_and_say_what_each_says_alone(
    embedded: ModelRow, labeller: RegisteredLabeller, store: TrackingStore, weights: WeightsStore, tmp_path: Path
) -> None:
    video = fetched(write_clip(tmp_path / "clip.mp4", ["red", "green", "green", "blue"], sound=True))
    kitchen = open_labeller(embedded.reference, store=store, weights=weights)
    each = [open_labeller("imagenet", store=store, weights=weights), kitchen, labeller]
    options, told = LabelOptions(annotate=False, table_top=3), Told()
    first, *others = each
    made = label_video(video, first, options, BOUNDS, tmp_path / "all", told, others=others)
    # One pass for the first and the one that listens first, another one for the other that listens.
    assert sorted(told.begun) == ["features of clip.mp4"] * 2 + ["sound of clip.mp4"] * 2
    assert list(made.by_model) == ["imagenet", "kitchen/1", "cooking/1"]
    together = pq.read_table(tmp_path / "all" / "labels.parquet").to_pandas()
    for model in each:
        name = model.record.name
        alone = label_video(video, model, options, BOUNDS, tmp_path / name.replace("/", "-"))
        answer = made.by_model[name]
        assert [label.name for label in answer.top] == [label.name for label in alone.top]
        assert [label.score for label in answer.top] == pytest.approx([label.score for label in alone.top], abs=1e-5)
        assert (answer.model, answer.is_silent) == (alone.model, alone.is_silent)
        assert [(s.name, s.start_s, s.end_s) for s in answer.segments] == [
            (s.name, s.start_s, s.end_s) for s in alone.segments
        ]
        own = pq.read_table(tmp_path / name.replace("/", "-") / "labels.parquet").to_pandas()
        rows = together[together["model"] == name].drop(columns="model").reset_index(drop=True)
        assert list(own) == ["time_s", "label_id", "name", "score", "smoothed"]
        assert (rows["name"].tolist(), rows["time_s"].tolist()) == (own["name"].tolist(), own["time_s"].tolist())
        np.testing.assert_allclose(rows["score"], own["score"], atol=1e-5)
    assert made.identity == identity_of_labels(video, first, options, others)
    different = {identity_of_labels(video, model, options, rest) for model, rest in ((first, ()), (kitchen, [first]))}
    assert made.identity not in different
    assert json.loads((tmp_path / "imagenet" / "labels.json").read_bytes()).keys().isdisjoint({"others", "chosen"})


def test_the_newest_champion_whose_features_can_be_computed_here_labels_by_default(
    embedded: ModelRow,
    row: ModelRow,
    store: TrackingStore,
    weights: WeightsStore,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Typed in a home whose one champion wants weights that are not there, and then also has another one."""
    clip = write_clip(tmp_path / "clip.mp4", ["red", "blue"])
    here = partial(run_here, "label", clip, "--no-annotate", home=home, monkeypatch=monkeypatch, capfd=capfd)
    before = json.loads((first := reelsift("label", clip, "--no-annotate", "--json", home=home)).stdout)
    assert before["model"] == "imagenet"
    assert before["why"] == "imagenet: no champion can label here"
    (left_out,) = before["left_out"]
    assert re.match(r"cooking@champion \(v1, trained [\d-]+\) is left out: its features, yt8m-video-2018,", left_out)
    assert "`reelsift weights fetch yt8m`" in left_out
    assert left_out in " ".join(first.stderr.split())
    assert choose_model(store, weights).model == row.reference  # where the weights are

    client = connect(store)
    client.set_registered_model_alias("kitchen", "champion", "1")
    client.set_model_version_tag("kitchen", "1", CHAMPION_SINCE_TAG, "2031-02-03T23:00:00+00:00")
    why = "kitchen@champion (v1, promoted 2031-02-03): its features, efficientnet-lite0, are embedded"
    assert (choice := choose_model(store, weights)).why == why
    assert (choice.model, choice.left_out) == (embedded.reference, ())
    faster = choose_model(store, weights, 5)
    assert faster.model == "imagenet"
    assert [line.partition("are of ")[2] for line in faster.left_out] == [
        "one frame a second, not 5. `--fps 1` lets it label."
    ] * 2
    shown = here("--json")
    assert f"Labelling 1 with {why} ..." in shown.stderr
    (video,) = json.loads(shown.stdout)["videos"]
    assert (video["labels"]["model"]["name"], video["labels"]["chosen"]) == ("kitchen/1", why)

    both = json.loads(here("--model", "imagenet", "--model", "auto", "--model", "kitchen/1", "--json").stdout)
    assert (both["models"], both["model"], both["why"]) == (["imagenet", "kitchen/1"], "imagenet and kitchen/1", why)
    assert [other["model"]["name"] for other in both["videos"][0]["labels"]["others"]] == ["kitchen/1"]
    said = here("--model", "imagenet", "--model", "kitchen/1").stdout
    assert said.index("labelled by imagenet") < said.index("labelled by kitchen/1")
    page = Path(both["videos"][0]["report"]).read_text()
    assert [
        name for name in ("The labels of imagenet", "The labels of kitchen/1", DATASET_ID) if name not in page
    ] == []


def test_a_server_that_does_not_answer_keeps_nobody_waiting(
    tmp_path: Path, weights: WeightsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labeller_module, "LOOK_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        choice = choose_model(tracking_store(tmp_path, address), weights)
    assert (choice.model, address in choice.why) == ("imagenet", True)


def test_without_a_registry_none_is_made_and_mlflow_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tasks.labelling.labeller import choose_model; "
        "from tasks.tracking.store import tracking_store; from tasks.weights.store import WeightsStore; "
        "folder = Path(sys.argv[1]); print(choose_model(tracking_store(folder), WeightsStore(folder=folder, table={})))"
        "; print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, cwd=ROOT)
    said, _, modules = run.stdout.partition("\n")
    assert "why='imagenet: there is no champion yet'" in said
    assert not {"mlflow", "torch", "tensorflow", "httpx", "prefect"} & set(modules.split())
    assert not list(tmp_path.iterdir())


def test_a_model_of_a_space_that_is_not_known_here_is_refused(
    embedded: ModelRow, row: ModelRow, labeller: RegisteredLabeller, tmp_path: Path
) -> None:
    space = EfficientNetExtractor.open().space
    mine = replace(labeller.classifier, space=space.model_copy(update={"name": "mine"}))
    with pytest.raises(FeatureSpaceError, match=r"looks at .*'mine', which is not known here.*feature_spaces\.mine"):
        _extractor_for(row, mine, WeightsStore(folder=tmp_path, table={}))
    table = {"net": WeightsEntry(file_name="net.onnx")}
    known = WeightsStore(folder=tmp_path, table=table, backbones={"mine": Backbone(weights="net")})
    with pytest.raises(MissingWeightsError, match=r"kitchen/1 cannot label here\. .* mine .* net is not here"):
        _extractor_for(embedded, mine, known)
    other = replace(labeller.classifier, space=space.model_copy(update={"extractor": "another"}))
    with pytest.raises(FeatureSpaceError, match=r"both name .*'efficientnet-lite0', but they differ in extractor"):
        RegisteredLabeller(embedded, other, EfficientNetExtractor.open())
