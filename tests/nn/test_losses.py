import numpy as np
import pytest
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skbsq.nn import WeightedLoss
from skbsq.nn.losses import (
    LOSSES,
    PinballLoss,
    PoissonLoss,
    RegressionLoss,
    check_class_criterion,
    criterion_type,
    predictions,
    probabilities,
    row_criterion,
    row_losses,
    standardizes_target,
    weigh_rows,
)


class NoReduction(nn.Module):
    def forward(self, prediction, y):
        return ((prediction - y) ** 2).mean()


def make(criterion, kind=NeuralNet, **kwargs):
    return kind(nn.Linear(1, 1), criterion=criterion, **kwargs)


def weighted_loss(net, prediction, y, w):
    weigh_rows(net)
    net.initialize()
    return net.criterion_(prediction, (y, w)).item()


# Losses of the predictions 1, 3 and 7 for the target 3; of a Poisson loss these are the rates.
BY_HAND = {
    "squared_error": [4, 0, 16],
    "absolute_error": [2, 0, 4],
    "huber": [1.5, 0, 3.5],
    "poisson": [1 - 3 + 3 * np.log(3), 0, 7 - 3 + 3 * np.log(3 / 7)],
    "quantile": [0.9 * 2, 0, 0.1 * 4],
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_hand(name):
    loss, output = RegressionLoss(name, 0.9), torch.tensor([[1.0], [3.0], [7.0]], dtype=torch.float64)
    output, y = output.log() if name == "poisson" else output, torch.full((3, 1), 3.0, dtype=torch.float64)
    found = row_losses(loss.criterion(reduction="none"), output, y).numpy()
    np.testing.assert_allclose(found, BY_HAND[name], rtol=1e-12, atol=1e-12)
    assert loss.criterion()(output, y).item() == pytest.approx(np.mean(BY_HAND[name]))


def test_poisson_loss_is_the_likelihood_up_to_a_constant():
    y = torch.tensor([0.0, 2.0, 0.5])
    gradients = []
    for criterion in (PoissonLoss(), nn.PoissonNLLLoss(log_input=True)):
        output = torch.tensor([0.3, -1.0, 2.0], requires_grad=True)
        gradients += torch.autograd.grad(criterion(output, y), output)
    torch.testing.assert_close(*gradients)


def test_criterion_by_row():
    """It is the criterion of the net with its parameters, with and without weights; for criteria of users, squares."""
    for weighted in (False, True):
        net = make(PinballLoss, criterion__quantile=0.75)
        if weighted:
            weigh_rows(net)
        criterion = row_criterion(net.initialize())
        assert (type(criterion), criterion.quantile, criterion.reduction) == (PinballLoss, 0.75, "none")
    assert net.criterion_.criterion is not criterion
    assert type(row_criterion(make(NoReduction).initialize())) is nn.MSELoss


def test_predictions_in_units_of_the_target():
    output, mean, scale = torch.tensor([[0.0], [2.0]], dtype=torch.float64), np.array([1.0]), np.array([3.0])
    assert predictions(make(nn.L1Loss), output, mean, scale).flatten().tolist() == [1, 7]
    rates = predictions(make(PoissonLoss), output, np.zeros(1), scale).flatten().tolist()
    assert rates == pytest.approx([3, 3 * np.exp(2)])


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
