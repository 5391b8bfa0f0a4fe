"""The networks over time against their formulas written out slowly, and on labels that depend on nothing but order."""

import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tasks.classifier.config import PRESETS, ModelKind, TrainConfig
from tasks.classifier.data import SequenceExamples, Targets
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.models import build_model
from tasks.classifier.scoring import predictions, score_matches
from tasks.classifier.sequence import (
    LONGEST,
    AttentionPooling,
    ConvolutionLayer,
    MeanPooling,
    NetVlad,
    NextVlad,
    Pooling,
    Ragged,
    Recurrent,
    TemporalConvolution,
)
from tasks.classifier.splits import training_splits
from tasks.classifier.train import TrainingResult, fit
from tasks.contracts.errors import DatasetError, ModelError
from tasks.contracts.features import FeatureSpace, Modality
from tasks.datasets.load import Videos
from tasks.datasets.manifest import Dataset
from tasks.datasets.moments import HELD_BLOCKS, HELD_BYTES, Blocks, MomentBatch, Moments
from tasks.records.synthetic import ORDERED, REVERSED, write_order_mirror
from tests.classifier.videos import made_videos
from tests.support.built import build

SIZE, HIDDEN = 6, 4
SPACE = FeatureSpace(name="small", modalities=(Modality(name="picture", size=SIZE),), extractor="made up")
LENGTHS = (3, 1, 7, 5)
KINDS = [kind for kind in ModelKind if kind.is_over_time]
POOLINGS: dict[str, Callable[[], Pooling]] = {
    "mean": lambda: MeanPooling(SIZE),
    "lstm": lambda: Recurrent(nn.LSTM, SIZE, HIDDEN, 2, 0.0),
    "gru": lambda: Recurrent(nn.GRU, SIZE, HIDDEN, 1, 0.0),
    "attention": lambda: AttentionPooling(SIZE, HIDDEN, 3),
    "netvlad": lambda: NetVlad(SIZE, HIDDEN, 3),
    "nextvlad": lambda: NextVlad(SIZE, HIDDEN, 3, 2),
    "convolution": lambda: TemporalConvolution(SIZE, HIDDEN, 2, 0.0),
}


def ragged() -> Ragged:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((sum(LENGTHS), SIZE)).astype(np.float32)
    return Ragged.of(values, np.cumsum([0, *LENGTHS]), torch.device("cpu"))


def alone(moments: Ragged) -> list[torch.Tensor]:
    return list(moments.values_PF.split(LENGTHS))


def slow_recurrent(pooling: Pooling, video: torch.Tensor) -> torch.Tensor:
    assert isinstance(pooling, Recurrent)
    states, _ = pooling.network(pooling.narrow(video)[:, None])
    return torch.cat([states[-1, 0], states.mean(dim=0)[0]])


def slow_netvlad(pooling: Pooling, video: torch.Tensor) -> torch.Tensor:
    assert isinstance(pooling, NetVlad)
    sums = torch.zeros_like(pooling.centres_KF)
    for moment in video:
        shares = pooling.assignment(moment).softmax(dim=0)
        for cluster, centre in enumerate(pooling.centres_KF):
            sums[cluster] += shares[cluster] * (moment / SIZE**0.5 - centre)
    flat = (sums / sums.norm(dim=1, keepdim=True)).flatten()
    hidden = pooling.hidden(flat / flat.norm() * len(flat) ** 0.5)
    return hidden * torch.sigmoid(pooling.gating.gate(hidden))


def slow_nextvlad(pooling: Pooling, video: torch.Tensor) -> torch.Tensor:
    assert isinstance(pooling, NextVlad)
    sums = torch.zeros_like(pooling.centres_KF)
    for moment in video:
        wide = pooling.expand(moment)
        size = len(wide) // 2
        attention = torch.sigmoid(pooling.attention(wide))
        for group in range(2):
            part = wide[group * size : (group + 1) * size] / size**0.5
            shares = pooling.assignment(wide)[group * 3 : (group + 1) * 3].softmax(dim=0)
            for cluster, centre in enumerate(pooling.centres_KF):
                sums[cluster] += attention[group] * shares[cluster] * (part - centre)
    flat = pooling.norm((sums / sums.norm(dim=1, keepdim=True)).flatten())
    hidden = torch.relu(pooling.hidden(flat))
    return hidden * torch.sigmoid(pooling.excite(torch.relu(pooling.squeeze(hidden))))


def slow_layer(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """As PyTorch's own convolution has it, of one video between zeros."""
    assert isinstance(layer, ConvolutionLayer)
    dilation = layer.steps[-1] // 2
    weight = layer.filter_weight.T[:, None]
    seen = functional.conv1d(layer.norm(x).T[None], weight, padding=2 * dilation, dilation=dilation, groups=HIDDEN)
    return x + layer.mix(functional.gelu(seen[0].T))


def slow_convolution(pooling: Pooling, video: torch.Tensor) -> torch.Tensor:
    assert isinstance(pooling, TemporalConvolution)
    x = pooling.narrow(video)
    for layer in pooling.layers:
        x = slow_layer(layer, x)
    return torch.cat([x.mean(dim=0), x.max(dim=0).values])


SLOW = {
    "mean": lambda _, video: video.mean(dim=0),
    "lstm": slow_recurrent,
    "gru": slow_recurrent,
    "netvlad": slow_netvlad,
    "nextvlad": slow_nextvlad,
    "convolution": slow_convolution,
}


@pytest.mark.parametrize("kind", SLOW)
@torch.no_grad()
def test_a_network_is_its_formula_video_by_video(kind: str) -> None:
    torch.manual_seed(0)
    pooling = POOLINGS[kind]().eval()
    for found, video in zip(pooling(ragged()), alone(ragged()), strict=True):
        assert found.tolist() == pytest.approx(SLOW[kind](pooling, video).tolist(), abs=2e-6)


@pytest.mark.parametrize("kind", POOLINGS)
def test_no_video_sees_another_and_the_order_counts_where_it_should(kind: str) -> None:
    torch.manual_seed(0)
    pooling, moments = POOLINGS[kind]().eval(), ragged()
    whole = pooling(moments)
    assert whole.shape == (len(LENGTHS), pooling.size)
    for found, video in zip(whole, alone(moments), strict=True):
        one = pooling(Ragged(video, torch.tensor([0, len(video)])))
        assert found.tolist() == pytest.approx(one[0].tolist(), abs=2e-6)
    backwards = Ragged(torch.cat([video.flip(0) for video in alone(moments)]), moments.offsets)
    forgets = kind in {"mean", "netvlad", "nextvlad"}
    assert bool((pooling(backwards) - whole).abs().max() < 1e-5) == forgets


@torch.no_grad()
def test_attention_weighs_moments_by_what_they_show_and_where_they_stand() -> None:
    torch.manual_seed(0)
    pooling, moments = AttentionPooling(SIZE, HIDDEN, 3), ragged()
    places = pooling._places(moments)
    for found, x, place in zip(pooling(moments), alone(moments), places.split(LENGTHS), strict=True):
        scores = pooling.queries(torch.tanh(pooling.keys(torch.cat([x, place], dim=1))))
        values = functional.gelu(pooling.values(x) + pooling.place_values(place))
        slow = sum(torch.outer(weights, value) for weights, value in zip(scores.softmax(dim=0), values, strict=True))
        assert isinstance(slow, torch.Tensor)
        assert found.tolist() == pytest.approx(slow.flatten().tolist(), abs=1e-6)
    firsts = torch.tensor([0, *np.cumsum(LENGTHS)[:-1]])
    assert (places[firsts][:, : places.shape[1] // 2] == 0).all()  # each video's own beginning


@pytest.mark.parametrize("kind", POOLINGS)
@torch.no_grad()
def test_halves_change_little(kind: str) -> None:
    """As on a GPU, where products are of bfloat16, and sums over a video stay of float32."""
    torch.manual_seed(0)
    pooling = POOLINGS[kind]().eval()
    with torch.autocast("cpu", torch.bfloat16):
        found = pooling(ragged())
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(pooling(ragged()).numpy(), abs=0.06)


def test_packing_adds_no_row_and_loses_none() -> None:
    moments = ragged()
    packed = moments.packed(moments.values_PF)
    expected = nn.utils.rnn.pack_sequence(alone(moments), enforce_sorted=False)
    for name in ("data", "batch_sizes", "sorted_indices", "unsorted_indices"):
        assert torch.equal(getattr(packed, name), getattr(expected, name))
    assert torch.equal(moments.unpacked(packed), moments.values_PF)


def test_codes_are_dequantised_and_long_videos_thinned_evenly() -> None:
    codes = np.arange(2 * LONGEST, dtype=np.int64).repeat(2).reshape(-1, 2) % 256
    found = Ragged.of(codes.astype(np.uint8), np.array([0, 1, 2 * LONGEST]), torch.device("cpu"))
    assert found.counts == [1, LONGEST]
    kept = codes[1:][np.arange(LONGEST) * (2 * LONGEST - 1) // LONGEST]
    assert found.values_PF[1:].numpy() == pytest.approx(kept * 4 / 255 + 4 / 512 - 2, abs=1e-6)


def classifier_of(kind: ModelKind, *, has_match: bool = False) -> FittedClassifier:
    torch.manual_seed(0)
    config = TrainConfig(model=kind, hidden_size=HIDDEN, heads=2, clusters=3)
    module = build_model(config, 2 + has_match, SPACE).eval()
    return FittedClassifier(module, (0, 1), ("a", "b"), config, "ds-0123456789ab", has_match, SPACE)


def video(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, SIZE)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_of_a_moment_is_said_of_the_seconds_around_it(kind: ModelKind, tmp_path: Path) -> None:
    before = classifier_of(kind, has_match=True)
    before.save(tmp_path)
    classifier, features = FittedClassifier.load(tmp_path), video(9)
    centred, causal = classifier.over_time(features), classifier.over_time(features, is_causal=True)
    for time in range(9):
        around, until = features[max(0, time - 2) : time + 3], features[max(0, time - 4) : time + 1]
        assert centred[time] == pytest.approx(before.predict(around[None])[0], abs=1e-5)
        assert causal[time] == pytest.approx(before.predict(until[None])[0], abs=1e-5)
    assert (centred.shape, centred.dtype) == ((9, 2), np.float32)
    alone_each = classifier.over_time(features, window_s=1.0)
    assert alone_each == pytest.approx(classifier.predict(features[:, None]), abs=1e-5)


def test_shorter_videos_end_with_nan_and_nothing_else_may() -> None:
    classifier = classifier_of(ModelKind.GRU, has_match=True)
    both = np.full((2, 5, SIZE), np.nan, np.float32)
    both[0], both[1, :3] = video(5), video(3, seed=1)
    one_by_one = [classifier.predict(each[None])[0] for each in (video(5), video(3, seed=1))]
    assert classifier.predict(both) == pytest.approx(np.stack(one_by_one), abs=1e-6)
    assert classifier.predict_match(both).shape == (2,)
    both[1, 1, 0] = np.nan
    with pytest.raises(ModelError, match="features of video 1 are not finite, or there is no moment in it"):
        classifier.predict(both)
    with pytest.raises(ModelError, match=r"must have shape \(n, moments, 6\), got \(5, 6\): this model looks at the"):
        classifier.predict(video(5))
    with pytest.raises(ModelError, match="there is no moment in it"):
        classifier.predict(np.full((1, 2, SIZE), np.nan, np.float32))


def test_a_model_of_whole_videos_judges_each_moment_by_itself() -> None:
    classifier = classifier_of(ModelKind.GATED)
    assert np.array_equal(classifier.over_time(video(4)), classifier.predict(video(4)))


def test_videos_without_moments_are_refused_in_one_line_that_says_what_to_do() -> None:
    videos = made_videos(60)
    for act in (
        lambda: fit(
            videos, videos, label_names={}, target_label_ids=(22,), config=PRESETS["lstm"], dataset_id="ds-0123456789ab"
        ),
        lambda: score_matches(
            FittedClassifier(build_model(PRESETS["gru"], 1), (22,), ("a",), PRESETS["gru"], "x"), videos
        ),
    ):
        with pytest.raises(
            DatasetError, match=r"features of whole videos alone\. `reelsift dataset build --level frame`"
        ) as said:
            act()
        assert "\n" not in str(said.value)


PAIRS, BY_CHANCE = 80, 0.02
QUICK = {
    "hidden_size": 96, "epochs": 8, "batch_size": 8, "learning_rate": 2e-3, "patience": 0, "ema_decay": 0.8,
    "dropout": 0.0, "input_dropout": 0.0, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A version of shards that the walker has read, each video of which stands there forwards and backwards."""
    folder = tmp_path_factory.mktemp("order")
    write_order_mirror(folder / "mirror", train_shards=1, validate_shards=1, pairs_per_shard=PAIRS, frames=(18, 24))
    names = ("frame/train", "frame/validate")
    return build(folder / "mirror", folder / "home", str(ORDERED), str(REVERSED), partitions=names, level="frame")


def learnt(videos: tuple[Videos, Videos], kind: ModelKind, epochs: int) -> TrainingResult:
    return fit(
        *videos,
        label_names={ORDERED: "forwards", REVERSED: "backwards"},
        target_label_ids=(ORDERED, REVERSED),
        config=PRESETS[kind].model_copy(update=QUICK | {"epochs": epochs}),
        dataset_id="ds-0123456789ab",
    )


def test_what_uses_the_order_solves_what_the_mean_cannot(ordered: Dataset) -> None:
    """Both videos of a pair have the same mean, so their scores are the same: right about one, AP a half."""
    videos = training_splits(ordered)
    epochs = {ModelKind.LSTM: 4, ModelKind.GRU: 4, ModelKind.ATTENTION: 7, ModelKind.CONVOLUTION: 8}
    for kind, count in epochs.items():
        result = learnt(videos, kind, count)
        assert result.metrics["hit_at_1"] > 0.95, kind
        assert result.metrics["map"] > 0.95, kind
        assert result.cost is not None
        assert result.cost.parameters == sum(each.numel() for each in result.classifier.module.parameters())
        assert result.cost.videos_per_s > 1
        assert 100 < result.cost.peak_mb < 100_000
    for kind in (ModelKind.MEAN, ModelKind.NETVLAD):
        result = learnt(videos, kind, 1)
        scores = np.concatenate(list(predictions(result.classifier, videos[1])))
        pairs = scores.reshape(PAIRS, 2, 2)
        assert np.abs(pairs[:, 0] - pairs[:, 1]).max() < 1e-4, kind
        assert abs(result.metrics["hit_at_1"] - 0.5) <= BY_CHANCE, kind


def test_the_moments_of_a_version_are_read_as_they_are_kept(ordered: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.datasets import moments as module
    from tasks.datasets.frames import frame_batches

    (batch,) = frame_batches(ordered, "train", videos=1000)
    videos, _ = training_splits(ordered)
    assert videos.moments is not None
    chosen = np.array([5, 0, 77])
    found = videos.moments.take(chosen)
    expected = [
        np.hstack([batch.rgb, batch.audio])[batch.offsets[row] : batch.offsets[row + 1]] for row in chosen.tolist()
    ]
    assert np.array_equal(found.values, np.concatenate(expected))
    assert np.diff(found.offsets).tolist() == [len(each) for each in expected]
    halves = videos.take(np.arange(len(videos)) % 2 == 1).moments
    assert halves is not None
    assert np.array_equal(halves.take(np.array([2])).values, videos.moments.take(np.array([5])).values)
    # Where not all can be held, a random order still has each video once, and reads each block once.
    reads = list[int]()
    blocks = [MomentBatch(np.zeros((8, 1), np.uint8), np.arange(9)) for _ in range(40)]

    def reader(number: int) -> Callable[[], MomentBatch]:
        return lambda: (reads.append(number), blocks[number])[1]

    monkeypatch.setattr(module, "HELD_BYTES", 8 * module.MIXED_BLOCKS)
    many = Moments(module.Blocks([reader(n) for n in range(40)], [8] * 40, size_bytes=320), np.arange(320))
    order = many.shuffled(np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(320))
    assert order.tolist() != sorted(order.tolist())
    assert sum(len(each) for each in many.batches(np.split(order, 20))) == 320
    assert sorted(reads) == list(range(40))


def test_videos_of_many_blocks_are_taken_with_few_blocks_in_memory() -> None:
    read, most = list[weakref.ref[np.ndarray]](), 0

    def reader(number: int) -> Callable[[], MomentBatch]:
        def block() -> MomentBatch:
            nonlocal most
            values = np.full((4, 1), number, np.uint8)
            read.append(weakref.ref(values))
            most = max(most, sum(each() is not None for each in read))
            return MomentBatch(values, np.arange(5))

        return block

    many = Moments(Blocks([reader(n) for n in range(40)], [4] * 40, size_bytes=HELD_BYTES + 1), np.arange(160))
    places = np.arange(160)[::-3]
    assert many.take(places).values[:, 0].tolist() == (places // 4).tolist()
    assert most == HELD_BLOCKS + 1  # the one that is read is one too many for a moment
    assert sum(len(each) for each in many.batches([places])) == len(places)
    assert not any(each() is not None for each in read)  # nothing is held after the last batch


def test_the_scaling_is_learnt_from_some_moments_of_each_video() -> None:
    offsets = np.array([0, 200, 210])
    moments = Moments.of(MomentBatch(np.arange(210, dtype=np.float32)[:, None], offsets))
    targets = Targets(torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int32), 1)
    sample = SequenceExamples(targets, torch.ones(2, dtype=torch.bool), moments).sample()
    assert sample[:, 0].tolist() == [*(np.arange(64) * 200 // 64).tolist(), *range(200, 210)]
