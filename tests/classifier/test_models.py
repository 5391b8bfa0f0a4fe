"""The models against their formulas, written out slowly."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.classifier.config import PRESETS, ModelKind, TrainConfig
from tasks.classifier.models import Gated, Logistic, MixtureOfExperts, build_model, cross_entropy, l2_penalty
from tasks.contracts.features import YT8M

FEATURES = torch.randn(5, YT8M.size, generator=torch.Generator().manual_seed(0))


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def arrays(*tensors: torch.Tensor) -> list[NDArray[np.float64]]:
    return [tensor.detach().double().numpy() for tensor in tensors]


def unit_rows() -> NDArray[np.float64]:
    (x,) = arrays(FEATURES)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_logistic_is_that_of_the_starter_code() -> None:
    model = Logistic(3)
    weight, bias = arrays(model.linear.weight, model.linear.bias)
    assert model(FEATURES).tolist() == pytest.approx(sigmoid(unit_rows() @ weight.T + bias), abs=1e-6)


def test_mixture_of_experts_is_that_of_the_starter_code() -> None:
    """As `MoeModel` lays its activations out: [video x label, expert], the dummy expert last."""
    model = MixtureOfExperts(3, experts=2)
    torch.nn.init.normal_(model.expert.bias)
    gate, expert, bias = arrays(model.gate.weight, model.expert.weight, model.expert.bias)
    gates = np.exp((unit_rows() @ gate.T).reshape(-1, 3))
    gates /= gates.sum(axis=1, keepdims=True)
    experts = sigmoid((unit_rows() @ expert.T + bias).reshape(-1, 2))
    assert model(FEATURES).tolist() == pytest.approx((gates[:, :2] * experts).sum(axis=1).reshape(5, 3), abs=1e-6)
    assert model.gate.bias is None


def test_starter_models_start_with_glorot_weights() -> None:
    model = MixtureOfExperts(20, experts=2)
    assert model.gate.weight.abs().max().item() == pytest.approx((6 / (YT8M.size + 60)) ** 0.5, rel=0.01)
    assert not model.expert.bias.any()


def test_gated_multiplies_each_probability_by_what_all_say_of_it() -> None:
    torch.manual_seed(0)
    model = Gated(3, TrainConfig(model=ModelKind.GATED, hidden_size=8)).eval()
    free = Gated(3, TrainConfig(model=ModelKind.GATED, hidden_size=8)).eval()
    free.load_state_dict(model.state_dict())
    torch.nn.init.constant_(free.gate.bias, 100)  # gates that are always open
    torch.nn.init.normal_(model.gate.weight)
    ungated, weight, bias = arrays(free(FEATURES), model.gate.weight[0], model.gate.bias[0])
    assert model(FEATURES).tolist() == pytest.approx(ungated * sigmoid(ungated @ weight + bias), abs=1e-6)


def test_a_member_is_not_touched_by_the_others() -> None:
    config = PRESETS["gated"].model_copy(update={"members": 3, "hidden_size": 8})
    torch.manual_seed(0)
    model = Gated(2, config).eval()
    before = model.members(FEATURES)
    assert before.shape == (3, 5, 2)
    assert model(FEATURES).tolist() == pytest.approx(before.mean(dim=0).numpy(force=True), abs=1e-6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[1] += 1
    after = model.members(FEATURES)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert not torch.allclose(after[1], before[1])


@pytest.mark.parametrize("kind", [kind for kind in ModelKind if not kind.is_over_time])
def test_a_video_without_any_signal_has_an_answer(kind: ModelKind) -> None:
    model = build_model(TrainConfig(model=kind, hidden_size=8), 4).eval()
    assert model(torch.zeros(2, YT8M.size)).isfinite().all()


def test_cross_entropy_is_summed_over_labels_and_averaged_over_videos() -> None:
    p, y = np.array([[0.9, 0.2], [0.5, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    slow = -(y * np.log(p + 1e-5) + (1 - y) * np.log(1 - p + 1e-5)).sum(axis=1).mean()
    once, twice = torch.tensor(p)[None], torch.tensor(p).expand(2, -1, -1)
    ones = torch.ones(2, 2)
    assert cross_entropy(once, torch.tensor(y), ones).item() == pytest.approx(slow)
    assert cross_entropy(twice, torch.tensor(y), ones).item() == pytest.approx(2 * slow)


def test_cross_entropy_is_finite_for_sure_mistakes_and_weighs_videos() -> None:
    wrong, truth = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[1.0], [0.0]])
    loss = cross_entropy(wrong, truth, torch.tensor([[3.0], [1.0]]))
    assert loss.item() == pytest.approx(-4 * np.log(1e-5) / 2, rel=1e-3)


def test_l2_penalty_leaves_biases_out() -> None:
    model = Logistic(2)
    torch.nn.init.constant_(model.linear.weight, 0.5)
    torch.nn.init.constant_(model.linear.bias, 100)
    assert l2_penalty(model, 1e-8).item() == pytest.approx(1e-8 * YT8M.size * 2 * 0.25 / 2)
