"""Heads of the experiments: members that share weights, and a learner that trains them in place of the default head."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_friedman1

from benchmarks.experiments.heads import AdapterEnsemble, AdapterLinear, ChangedQuantizer, members_alone, with_objects
from skbsq import BitwiseRegressor
from skbsq.nn import MLP, Ensemble, LevelLinear
from skbsq.nn.losses import rows_of_members
from skbsq.training import Learner, length

KINDS = ["mini", "full", "own first layers"]
FEATURE, INCREMENTS, LOWEST = np.array([0, 0, 1]), np.array([1.0, 0.5, 2.0]), np.array([-1.0, 0.5])
SIZES = (4, 5)


@pytest.fixture(params=KINDS)
def head(request):
    torch.manual_seed(0)
    one, members = MLP(3, 2, hidden_sizes=SIZES), Ensemble(3, 2, n_members=6, hidden_sizes=SIZES)
    for head in (one, members):
        head[0] = LevelLinear(head[0], FEATURE, INCREMENTS, LOWEST)
    head = AdapterEnsemble(one, members, request.param)
    with torch.no_grad():
        for parameter in head.parameters():  # also those that start equal for all members
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return head


@pytest.fixture
def bits():
    return torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])


def test_shapes_and_members(head, bits):
    by_member = head(bits)
    assert by_member.shape == (4, 6, 2)
    assert len(by_member[0, :, 0].unique()) == 6
    torch.testing.assert_close(head.eval()(bits), by_member.mean(1))


def test_gradients_reach_all_members(head, bits):
    output, target = rows_of_members(head(bits), torch.ones(4, 2))
    torch.nn.MSELoss()(output, target).backward()
    for name, parameter in head.named_parameters():
        by_member = parameter.grad.reshape(6, -1) if len(parameter) == 6 else parameter.grad.reshape(1, -1)
        assert (by_member != 0).any(1).all(), name


def test_folded_is_the_same_function(head, bits):
    if isinstance(head[0], LevelLinear):
        head[0] = head[0].folded()  # as the learner does
    head.eval()
    torch.testing.assert_close(head.folded()(bits), head(bits), atol=1e-5, rtol=1e-5)


def test_an_adapter_scales_the_table_of_a_feature():
    torch.manual_seed(0)
    shared = LevelLinear(torch.nn.Linear(3, 4), FEATURE, INCREMENTS, LOWEST)
    layer, x = AdapterLinear(shared, 2), torch.tensor([[1.0, 0.0, 1.0]])
    assert set(layer.adapter.flatten().tolist()) <= {-1.0, 1.0}
    with torch.no_grad():
        layer.adapter.copy_(torch.tensor([[1.0, 1.0], [0.0, 3.0]]))
        output = layer(x).view(2, 4)
        torch.testing.assert_close(output[:1], shared(x))
        of_second = shared.own.weight[:, 2] + shared.level_weight[:, 1] * (LOWEST[1] + INCREMENTS[2])
        torch.testing.assert_close(output[1], shared.own.bias + 3 * of_second)


def _fit(**training):
    X, y = make_friedman1(100, n_features=5, random_state=0)
    training = {"max_epochs": 2, "init": "quantile", "random_state": 0, **training}
    return BitwiseRegressor(2, **with_objects(training, 2)).fit(X, y), X


def test_without_a_change_the_fit_is_the_default():
    X, y = make_friedman1(60, n_features=5, random_state=0)
    changed = BitwiseRegressor(quantizer=ChangedQuantizer(2, change={}), random_state=0, max_epochs=2).fit(X, y)
    default = BitwiseRegressor(2, random_state=0, max_epochs=2).fit(X, y)
    np.testing.assert_array_equal(changed.predict(X), default.predict(X))


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_members_in_place_of_the_default_head(kind):
    model, X = _fit(change={"n_members": 3, "adapters": kind, "sizes": [16, 8]})
    assert type(model.net_.module_.head) is MLP
    sizes = [layer.out_features for layer in model.net_.module_.head if isinstance(layer, torch.nn.Linear)]
    assert sizes == [3 * 16, 3 * 8, 1]
    codes = model.quantizer_.transform(X)
    np.testing.assert_allclose(model.predict_codes(codes), model.predict(X), rtol=1e-5)


def test_members_search_the_length():
    short = {"max_epochs": 4, "early_stopping": True}
    alone, _ = _fit(change={"n_members": 2}, **short)
    together, _ = _fit(change={"n_members": 2, "search_members": True}, **short)
    assert (alone.length_search_["loss"] != together.length_search_["loss"]).all()


def test_twice_as_long_as_the_search_found():
    model, _ = _fit(change={"longer": 2}, max_epochs=4, early_stopping=True, hidden_sizes=[4])
    tried = model.length_search_
    assert model.n_iter_ == 2 * tried["epochs"].iloc[tried["loss"].argmin()]


@pytest.mark.parametrize(("search_steps", "last"), [(None, 512), (600, 768)])
def test_steps_of_the_search(search_steps, last, monkeypatch):
    """Where nothing is learned, the search of the recipe ends after 512 steps."""

    def find_epochs(*_):
        epochs, tried = length.find_epochs(lambda *_: 1.0, 64, max_epochs=12)
        return epochs, tried.assign(share=1.0)

    monkeypatch.setattr(Learner, "_find_epochs", find_epochs)
    model, _ = _fit(change={"search_steps": search_steps}, hidden_sizes=[4])
    assert model.length_search_["steps"].max() == last


def test_the_step_of_torch_gives_about_the_same():
    (fast, X), (slow, _) = (_fit(change={"numpy_step": numpy_step}, dropout=0.0) for numpy_step in (True, False))
    np.testing.assert_allclose(slow.predict(X), fast.predict(X), rtol=1e-3)


def test_a_callable_by_name():
    assert with_objects({"head": "four members", "lr": 0.1}, 2) == {"head": members_alone, "lr": 0.1}
    assert members_alone(3, 1)(torch.zeros(2, 3)).shape == (2, 4, 1)
