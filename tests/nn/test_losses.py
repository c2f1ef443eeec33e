import numpy as np
import pytest
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skbsq.nn import WeightedLoss
from skbsq.nn.losses import check_class_criterion, criterion_type, probabilities, standardizes_target, weigh_rows


class NoReduction(nn.Module):
    def forward(self, prediction, y):
        return ((prediction - y) ** 2).mean()


def make(criterion, kind=NeuralNet, **kwargs):
    return kind(nn.Linear(1, 1), criterion=criterion, **kwargs)


def weighted_loss(net, prediction, y, w):
    weigh_rows(net)
    net.initialize()
    return net.criterion_(prediction, (y, w)).item()


def test_weights_of_one_change_nothing(rng):
    p, y = torch.tensor(rng.normal(size=(6, 2))), torch.tensor(rng.normal(size=(6, 2)))
    assert weighted_loss(make(nn.MSELoss), p, y, torch.ones(6)) == pytest.approx(nn.MSELoss()(p, y).item())


def test_weights_repeat_rows(rng):
    p, y = torch.tensor(rng.normal(size=(3, 4))), torch.tensor([0, 2, 3])
    w = torch.tensor([1, 2, 3])
    repeated = nn.CrossEntropyLoss()(p.repeat_interleave(w, 0), y.repeat_interleave(w)).item()
    assert weighted_loss(make(nn.CrossEntropyLoss), p, y, w / w.double().mean()) == pytest.approx(repeated)


def test_criterion_parameters_and_instances_hold():
    p, y, w = torch.tensor([[3.0]]), torch.tensor([[0.0]]), torch.ones(1)
    expected = nn.HuberLoss(delta=0.5)(p, y).item()
    assert weighted_loss(make(nn.HuberLoss, criterion__delta=0.5), p, y, w) == pytest.approx(expected)
    assert weighted_loss(make(nn.HuberLoss(delta=0.5)), p, y, w) == pytest.approx(expected)


def test_nll_of_a_classifier_takes_probabilities():
    p, y = torch.tensor([[0.25, 0.75]]), torch.tensor([1])
    loss = weighted_loss(make(nn.NLLLoss, NeuralNetClassifier), p, y, torch.ones(1))
    assert loss == pytest.approx(-np.log(0.75), rel=1e-5)
    assert weighted_loss(make(nn.NLLLoss), p.log(), y, torch.ones(1)) == pytest.approx(-np.log(0.75), rel=1e-5)


@pytest.mark.parametrize("criterion", [NoReduction, NoReduction()])
def test_criterion_without_a_loss_per_row(criterion):
    with pytest.raises(ValueError, match='accepts reduction="none"; NoReduction does not'):
        weigh_rows(make(criterion))


def test_kinds_of_criteria():
    assert standardizes_target(NeuralNetRegressor(nn.Linear))
    for criterion in [nn.MSELoss(), nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss]:
        assert standardizes_target(make(criterion))
    assert not standardizes_target(make(nn.PoissonNLLLoss))
    assert not standardizes_target(make(lambda: nn.MSELoss()))
    net = make(nn.MSELoss)
    weigh_rows(net)
    assert criterion_type(net) is nn.MSELoss
    assert WeightedLoss(nn.MSELoss(reduction="none")).of_probabilities is False


@pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
def test_one_logit_is_rejected(criterion):
    with pytest.raises(ValueError, match=r"two for a binary target: use torch\.nn\.CrossEntropyLoss"):
        check_class_criterion(make(criterion))


@pytest.mark.parametrize(
    ("net", "output", "expected"),
    [
        (make(nn.CrossEntropyLoss), [[0.0, 0.0]], [[0.5, 0.5]]),
        (make(nn.NLLLoss, NeuralNetClassifier), [[0.25, 0.75]], [[0.25, 0.75]]),
        (make(nn.NLLLoss), [[np.log(0.25), np.log(0.75)]], [[0.25, 0.75]]),
        (make(nn.CrossEntropyLoss, predict_nonlinearity=None), [[0.1, 0.9]], [[0.1, 0.9]]),
        (make(nn.CrossEntropyLoss, predict_nonlinearity=lambda t: t / 2), [[0.2, 1.8]], [[0.1, 0.9]]),
    ],
)
def test_probabilities(net, output, expected):
    np.testing.assert_allclose(probabilities(net, torch.tensor(output)).numpy(), expected, rtol=1e-6)
