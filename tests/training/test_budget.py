"""A budget of bits: exact partitions, costs, and fits that keep to the budget."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_friedman1
from skorch import NeuralNet
from torch import nn

from skbsq import BitwiseClassifier, BitwiseQuantizer, BitwiseRegressor, Codebook, ThresholdQuantizer
from skbsq.nn import JointNet, Thermometer
from skbsq.training import budget
from skbsq.training.budget import WideModel, best_partition
from skbsq.training.feeds import head_inputs
from skbsq.training.rows import Rows

QUICK = {"max_epochs": 4, "hidden_sizes": (16,), "batch_size": 32, "random_state": 0}
NAN = float("nan")


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(400, random_state=0)


# -- which neighbouring codes are merged -------------------------------------------------------------


def distortion(points, mass, groups):
    stops = [*groups[1:], len(points)]
    total = 0.0
    for start, stop in zip(groups, stops, strict=True):
        own, weights = points[start:stop], mass[start:stop]
        mean = np.average(own, axis=0, weights=weights)
        total += (weights * ((own - mean) ** 2).sum(axis=1)).sum()
    return total


@given(seed=st.integers(0, 10_000), m=st.integers(1, 8), most=st.integers(1, 8))
def test_no_partition_is_better(seed, m, most):
    rng = np.random.default_rng(seed)
    points, mass = rng.normal(size=(m, 3)), rng.uniform(0.1, 1, m)
    found = best_partition(points, mass, most)
    assert found[0] == 0
    assert len(found) <= most
    others = ([0, *cuts] for size in range(min(most, m)) for cuts in combinations(range(1, m), size))
    assert distortion(points, mass, found) <= min(distortion(points, mass, g) for g in others) + 1e-9


@pytest.mark.parametrize(("most", "share"), [(4, 1.01), (100, 1.5), (700, None)])
def test_many_levels_are_split_nearly_as_well(most, share):
    """The time does not grow with the cube of their number."""
    rng = np.random.default_rng(0)
    points, mass = np.cumsum(rng.normal(size=(1024, 2)), axis=0), rng.uniform(0.1, 1, 1024)
    found = best_partition(points, mass, most)
    assert found[0] == 0
    assert sorted(set(found)) == found
    assert most // 2 < len(found) <= most
    if share is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(budget, "_MAX_EXACT_POINTS", 1024)
            best = best_partition(points, mass, most)
        assert distortion(points, mass, found) <= share * distortion(points, mass, best)


@pytest.mark.parametrize("most", [255, 256])
def test_heavy_levels_stay_apart(most):
    rng, mass = np.random.default_rng(0), np.full(1024, 1e-9)
    mass[rng.choice(1024, 10, replace=False)] = 1.0
    points = rng.normal(size=(1024, 2)).cumsum(0)
    assert distortion(points, mass, best_partition(points, mass, most)) < 1e-5


@pytest.mark.parametrize("most", [4, 255, 300, 511, 1000])
def test_a_heavy_level_leaves_groups_to_the_others(most):
    rng, mass = np.random.default_rng(0), np.full(1023, 0.01 / 1023)
    mass[300] += 0.99
    assert len(best_partition(rng.normal(size=(1023, 4)).cumsum(0), mass, most)) == most


# -- a wide model as tables --------------------------------------------------------------------------


def wide_model(X, y, *, task="regression", missing="error", n_bits=3):
    quantizer = BitwiseQuantizer(n_bits, task=task, missing=missing, **QUICK).fit(X, y)
    classes = np.unique(y) if task == "classification" else None
    rows = Rows(np.asarray(X, dtype=np.float32), np.asarray(y), np.linspace(0.5, 2, len(X)), task, None, classes)
    of_target = quantizer.target_mean_, quantizer.target_scale_
    return WideModel(quantizer.codebook_, quantizer.net_, *of_target, rows), quantizer, rows


def loss_of(net, quantizer, rows):
    """Compute the weighted loss of a net without tables."""
    with torch.no_grad():
        out = net.eval()(torch.from_numpy(rows.X))
    weights = torch.from_numpy(rows.weights / rows.weights.mean())
    if rows.task == "classification":
        target = torch.from_numpy(np.searchsorted(rows.classes, rows.y))
        loss = torch.nn.functional.cross_entropy(out, target, reduction="none")
    else:
        y = (rows.y[:, None] - quantizer.target_mean_) / quantizer.target_scale_
        loss = (out - torch.from_numpy(y)).square().mean(1)
    return (loss * weights).mean().item()


@pytest.mark.parametrize(("task", "missing"), [("regression", "error"), ("classification", "code")])
def test_cost_is_the_loss_of_the_narrowed_net(friedman, task, missing):
    """A single feature is narrowed by one bit, or dropped; `narrowed` makes the head."""
    X, y = friedman[0][:150, :3].copy(), friedman[1][:150]
    if missing == "code":
        X[::5, 1] = NAN
    if task == "classification":
        y = (y > y.mean()).astype(int)
    model, quantizer, rows = wide_model(X, y, task=task, missing=missing)
    now = loss_of(quantizer.net_.module_, quantizer, rows)
    assert model._loss(model.hidden).item() == pytest.approx(now, rel=1e-4)
    costs = model.costs()
    assert [cost.size - 1 for cost in costs] == model.n_bits.tolist()
    for j, b in [(0, 2), (1, 2), (1, 1), (2, 0), (1, 0)]:
        n_bits = np.where(np.arange(3) == j, b, model.n_bits)
        thresholds, head = model.narrowed(n_bits)
        has_missing = model.book.has_missing & (n_bits > 0)
        layer = Thermometer(Codebook.from_thresholds(thresholds, missing=missing, has_missing=has_missing))
        net = JointNet(layer, head, column_map=head_inputs(*layer.column_features(), n_bits))
        assert loss_of(net, quantizer, rows) - now == pytest.approx(costs[j][b], abs=2e-5)


def test_thresholds_are_kept_among_given_ones(friedman):
    """Against a slow reference: no other choice has rows of the table that differ less from their means."""
    X, y = friedman
    model, *_ = wide_model(X, y)
    among = [np.array([0, 3, 4, 6]), *[np.arange(t.size) for t in model.thresholds[1:]]]
    kept = model.kept(np.full(X.shape[1], 1), among)
    for j in (0, 1):
        table, shares = (model.tables[j] * model._importance).numpy(), model.code_shares[j]
        best = min(among[j], key=lambda k: distortion(table, shares, [0, k + 1]))
        assert kept[j].tolist() == [best]
    assert [k.tolist() for k in model.kept(model.n_bits, among)] == [k.tolist() for k in among]


def test_a_narrowed_head_has_the_inputs_of_its_thresholds(friedman):
    """Its layout is the one that training builds from the thresholds."""
    X, y = friedman
    model, *_ = wide_model(X[:, :4], y)
    n_bits = np.array([3, 1, 0, 2])
    thresholds, head = model.narrowed(n_bits)
    assert [t.size for t in thresholds] == [7, 1, 0, 3]
    layer = Thermometer(Codebook.from_thresholds(thresholds))
    columns = head_inputs(*layer.column_features(), n_bits)
    assert head[0].in_features == columns.size
    assert (columns >= 0).sum() == sum(t.size for t in thresholds)
    assert not head[0].weight.detach().numpy()[:, columns < 0].any()


# -- fits --------------------------------------------------------------------------------------------


@settings(max_examples=6)
@given(budget=st.integers(0, 12), seed=st.integers(0, 1000))
def test_budget_is_kept(budget, seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=60), rng.integers(0, 3, 60), np.ones(60), rng.lognormal(size=60)])
    y = X[:, 0] + X[:, 1]
    quantizer = BitwiseQuantizer(bit_budget=budget, **QUICK).fit(X, y)
    assert quantizer.codebook_.row_bits <= budget
    assert quantizer.n_bits_[2] == 0
    assert quantizer.allocation_["n_bits"].sum() <= budget


def test_bits_go_where_they_matter(friedman):
    """Only the first five features of Friedman's function matter."""
    X, y = make_friedman1(600, random_state=0)
    regressor = BitwiseRegressor(bit_budget=10, max_epochs=15, hidden_sizes=(32, 32), random_state=0).fit(X, y)
    n_bits = regressor.codebook_.n_bits
    assert n_bits[5:].sum() == 0
    assert (n_bits[:5] > 0).sum() >= 4
    uniform = BitwiseRegressor(1, max_epochs=15, hidden_sizes=(32, 32), random_state=0).fit(X, y)
    assert regressor.score(X, y) > uniform.score(X, y) + 0.1

    report = regressor.quantizer_.allocation_
    assert report.columns.tolist() == ["n_bits", "cap", "loss_if_dropped", "loss_of_one_bit_less"]
    assert report.index.tolist() == [f"x{j}" for j in range(10)]
    assert report.index.name == "feature"
    assert (report["cap"] == 8).all()
    assert report.loc["x3", "loss_if_dropped"] > 0.05
    assert report.loc["x7", "loss_if_dropped"] == 0
    assert np.isnan(report.loc["x7", "loss_of_one_bit_less"])


def test_correlated_features_share(rng):
    """One of two copies of a feature is enough."""
    x = rng.normal(size=(800, 2))
    X = np.column_stack([x[:, 0], x[:, 0], x[:, 1]])
    y = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1]
    quantizer = BitwiseQuantizer(bit_budget=5, max_epochs=15, hidden_sizes=(32,), random_state=0).fit(X, y)
    n_bits = quantizer.codebook_.n_bits
    assert n_bits[2] >= 1
    assert n_bits[:2].max() >= 2


def test_given_thresholds_are_kept_in_part(friedman):
    """A feature that received fewer bits keeps some of its given thresholds, and no others.

    The wide model has all of them, which are more than it has by default.
    """
    X, y = friedman[0][:, :5], friedman[1]
    start = ThresholdQuantizer([np.quantile(column, np.linspace(0.01, 0.99, 63)) for column in X.T])
    fitted = BitwiseQuantizer(6, bit_budget=5, **{**QUICK, "init": start}, threshold_lr_ratio=0.0).fit(X, y)
    assert fitted.codebook_.row_bits <= 5
    for own, known in zip(fitted.initial_thresholds_, start.thresholds, strict=True):
        assert np.isin(own.astype(np.float32), np.float32(known)).all()


def test_caps_hold(friedman):
    X, y = friedman
    caps = [1, 8, 0, 2, 8, 8, 8, 8, 8, 8]
    quantizer = BitwiseQuantizer(caps, bit_budget=12, **QUICK).fit(X, y)
    assert (quantizer.n_bits_ <= caps).all()
    assert quantizer.allocation_["cap"].tolist() == caps


def test_a_generous_budget_is_spent_on_what_lowers_the_loss(rng):
    X = rng.normal(size=(600, 8))
    y = X[:, 0] + X[:, 1] ** 2
    quantizer = BitwiseQuantizer(3, bit_budget=1000, **{**QUICK, "max_epochs": 20}).fit(X, y)
    assert (quantizer.n_bits_[:2] > 0).all()
    assert (quantizer.n_bits_[2:] == 0).sum() >= 3  # of six features of noise
    assert (quantizer.allocation_["n_bits"] == quantizer.n_bits_).all()


def test_names_weights_missing_and_classes(friedman):
    X, y = friedman
    X = pd.DataFrame(X.copy(), columns=[f"a{j}" for j in range(10)])
    X.iloc[::7, 0] = NAN
    labels = np.where(y > np.median(y), "high", "low")
    classifier = BitwiseClassifier(bit_budget=9, missing="code", class_weight="balanced", **QUICK)
    classifier.fit(X, labels, sample_weight=np.linspace(0, 1, len(y)))
    assert classifier.quantizer_.allocation_.index.tolist() == list(X)
    assert classifier.codebook_.row_bits <= 9
    np.testing.assert_array_equal(classifier.predict(X), classifier.predict_codes(classifier.codebook_.encode(X)))


def test_a_fit_without_a_budget_has_no_allocation(friedman):
    X, y = friedman
    quantizer = BitwiseQuantizer(2, bit_budget=8, **QUICK).fit(X, y)
    quantizer.set_params(bit_budget=None).fit(X, y)
    assert not hasattr(quantizer, "allocation_")
    assert quantizer.codebook_ == BitwiseQuantizer(2, **QUICK).fit(X, y).codebook_


def test_budget_is_checked(friedman):
    with pytest.raises(ValueError, match="bit_budget"):
        BitwiseQuantizer(bit_budget=-1, **QUICK).fit(*friedman)
    with pytest.raises(ValueError, match="bit_budget"):
        BitwiseRegressor(bit_budget=2.5, **QUICK).fit(*friedman)


def test_a_budget_without_a_random_state_leaves_the_global_generator_alone(friedman):
    """A fixed bug: the seed was drawn from the global generator."""
    X, y = friedman
    before = np.random.get_state()  # noqa: NPY002
    BitwiseQuantizer(bit_budget=12, **QUICK | {"max_epochs": 1, "random_state": None}).fit(X, y)
    after = np.random.get_state()  # noqa: NPY002
    assert after[2] == before[2]
    np.testing.assert_array_equal(after[1], before[1])


class Wrapped(nn.Module):
    """A head whose first layer cannot be reached by an index."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Linear(8, n_outputs))

    def forward(self, bits):
        return self.layers(bits)


def without_bias(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8, bias=False), nn.ReLU(), nn.Linear(8, n_outputs))


def normed(n_inputs, n_outputs):
    return nn.Sequential(nn.BatchNorm1d(n_inputs), nn.Linear(n_inputs, n_outputs))


NET = NeuralNet(Wrapped, criterion=nn.MSELoss, max_epochs=2, batch_size=32)


@pytest.mark.parametrize("head", [nn.Linear, Wrapped, without_bias, normed, NET], ids=range(5))
def test_any_head_may_have_a_budget(head, friedman):
    X, y = friedman
    model = BitwiseRegressor(bit_budget=6, head=head, **QUICK).fit(X, y)
    assert 0 < model.codebook_.row_bits <= 6
    assert model.allocation_["n_bits"].sum() <= 6
    first = next(module for module in model.head_.modules() if not list(module.children()))
    assert type(first) is (nn.BatchNorm1d if head is normed else nn.Linear)
    assert np.isfinite(model.score(X, y))
