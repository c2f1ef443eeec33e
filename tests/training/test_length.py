import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import make_classification, make_friedman1
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseClassifier, BitwiseQuantizer, BitwiseRegressor, LLTQuantizer, LSQQuantizer
from skbsq.nn import MLP
from skbsq.nn.losses import LOSSES, RegressionLoss
from skbsq.training import learner, length, recipe
from skbsq.training.batches import TensorRows
from skbsq.training.length import find_epochs, held_out_losses, usual_epochs

QUICK: dict = dict(hidden_sizes=(16,), init="quantile", random_state=0)


@pytest.fixture
def friedman():
    return make_friedman1(300, n_features=6, noise=1.0, random_state=0)


@pytest.fixture
def trained_rows(monkeypatch):
    """Number of rows of each training."""
    train, sizes = learner.train, []

    def recorded(net, rows, *args, **kwargs):
        sizes.append(len(rows))
        return train(net, rows, *args, **kwargs)

    monkeypatch.setattr(learner, "train", recorded)
    return sizes


# -- the search --------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_epochs", [None, 10_000])
def test_cycles_double_until_the_loss_no_longer_falls(max_epochs):
    cycles = []

    def loss_after(epochs, cycle):
        cycles.append(cycle)
        return abs(np.log2(epochs / 24)) + 1

    found, tried = find_epochs(loss_after, steps_per_epoch=32, max_epochs=max_epochs)
    assert cycles == [2, 2, 4, 8, 16, 32]
    assert found == 32  # the ratio to 24 is smaller than that of 16
    assert tried["epochs"].tolist() == np.cumsum(cycles).tolist()
    assert tried["steps"].tolist() == (32 * np.cumsum(cycles)).tolist()


@pytest.mark.parametrize(
    ("steps_per_epoch", "n_parts", "most", "last"),
    [(32, 1, None, 128), (32, 5, None, 8), (10_000, 1, None, 1), (10_000, 5, None, 1), (32, 1, 11, 11), (1, 1, 1, 1)],
)
def test_a_loss_that_always_falls_ends_near_the_limit(steps_per_epoch, n_parts, most, last):
    found, tried = find_epochs(lambda epochs, cycle: 1 / epochs, steps_per_epoch, n_parts=n_parts, max_epochs=most)
    assert found == tried["epochs"].iloc[-1] == last


@pytest.mark.parametrize("n_parts", [1, 3])
def test_cycles_continue_up_to_128_or_512_steps(n_parts):
    losses = {2: 1.0, 4: 1.5, 8: 0.8, 16: 0.9, 32: 0.1}
    found, tried = find_epochs(lambda epochs, cycle: losses[epochs], steps_per_epoch=32, n_parts=n_parts)
    assert (found, tried["epochs"].iloc[-1]) == ((8, 16) if n_parts == 1 else (2, 4))


def test_a_gain_of_less_than_two_percent_ends_the_search():
    losses = {1: 2.0, 2: 1.5, 4: 1.0, 8: 0.99, 16: 0.1}
    found, tried = find_epochs(lambda epochs, cycle: losses[epochs], steps_per_epoch=64)
    assert (found, tried["epochs"].tolist()) == (8, [1, 2, 4, 8])


def test_a_gain_that_a_few_rows_may_hide_continues_the_search():
    """Nine rows gain from more epochs. The tenth row, a rare peak, loses, which may be noise."""
    losses = {8: np.append(np.full(9, 1.0), 20.0), 16: np.append(np.full(9, 0.9), 21.0), 32: np.full(10, 0.5)}
    found, tried = find_epochs(lambda epochs, cycle: losses.get(epochs, np.full(10, 5.0)), steps_per_epoch=64)
    assert (found, tried["epochs"].tolist()) == (32, [1, 2, 4, 8, 16, 32, 64])


def test_infinite_losses_end_the_search():
    losses = {4: [np.inf, 1.0], 8: [2.0, 1.0]}
    found, tried = find_epochs(lambda epochs, cycle: np.array(losses.get(epochs, [np.inf] * 2)), steps_per_epoch=64)
    assert (found, tried["epochs"].tolist()) == (8, [1, 2, 4, 8])


@pytest.mark.parametrize("steps", [1, 7, 30, 100, 10_000])
def test_usual_epochs(steps):
    epochs = usual_epochs(steps)
    assert epochs == 30 or 64 <= epochs * steps < 64 + steps or 2048 <= epochs * steps < 2048 + steps


@pytest.mark.parametrize("constant", [None, torch.tensor([0.3])])
def test_held_out_loss_of_a_regression(rng, constant):
    output, y = (torch.from_numpy(rng.normal(size=(50, 1)).astype(np.float32)) for _ in range(2))
    y = y + 0.4 * output
    weights = torch.from_numpy(rng.uniform(size=50).astype(np.float32))
    rows = TensorRows(torch.zeros(50, 1), y, weights)
    losses, share = held_out_losses(output, rows, constant)
    base = 0.0 if constant is None else 0.3

    def error(share):
        shrunk = base + share * (output.numpy() - base)
        return np.average((shrunk - y.numpy()).ravel() ** 2, weights=weights)

    assert losses.mean() == pytest.approx(error(share), rel=1e-5)
    if constant is None:
        assert share == 1
    else:
        assert 0 < share < 1
        assert error(share) < min(error(share - 0.01), error(share + 0.01))


@pytest.mark.parametrize("sharpness", [0.5, 5.0])
def test_held_out_loss_of_classes(rng, sharpness):
    logits = rng.normal(size=(400, 3))
    y = (logits + rng.gumbel(size=(400, 3))).argmax(1)
    rows = TensorRows(torch.zeros(400, 1), torch.from_numpy(y))
    constant = torch.log(torch.tensor([0.2, 0.3, 0.5]))
    output = torch.from_numpy((sharpness * logits).astype(np.float32))
    losses, share = held_out_losses(output, rows, constant)
    expected = np.log(softmax(constant.numpy() + share * (output.numpy() - constant.numpy()), axis=1))
    assert losses.mean() == pytest.approx(-expected[np.arange(400), y].mean(), rel=1e-5)
    assert losses.mean() <= held_out_losses(output, rows)[0].mean()
    assert share < 0.5 if sharpness > 1 else share > 0.9


@pytest.mark.parametrize("name", LOSSES)
def test_held_out_loss_of_other_losses(name, rng):
    """The losses of the best share of a grid, for outputs that are twice too far from the constant."""
    y, weights = torch.from_numpy(rng.exponential(size=(200, 1))), torch.from_numpy(rng.uniform(0.5, 2, 200))
    wanted = y.log() if name == "poisson" else y
    constant, criterion = torch.tensor([0.3]), RegressionLoss(name, 0.7).criterion("none")
    rows = TensorRows(torch.zeros(200, 1), y, weights)
    output = constant + 2 * (wanted - constant) + 0.1 * torch.from_numpy(rng.normal(size=(200, 1)))
    losses, share = held_out_losses(output, rows, constant, criterion)
    at = {
        s: criterion(constant + s * (output - constant), y)[:, 0] @ weights / weights.sum() for s in (0.48, share, 0.52)
    }
    assert share == pytest.approx(0.5, abs=0.01)
    assert losses.mean() == pytest.approx(at[share].item()) == pytest.approx(min(at.values()).item())
    losses, share = held_out_losses(-output, rows, constant, criterion)
    assert share == 0
    at_constant = criterion(constant.double().expand(200, 1), y)[:, 0]
    np.testing.assert_allclose(losses, at_constant * weights / weights.mean())


def test_outputs_that_are_noise_are_shrunk_to_the_constant(rng):
    output, y = (torch.from_numpy(rng.normal(size=(1000, 1)).astype(np.float32)) for _ in range(2))
    losses, share = held_out_losses(output, TensorRows(y, -output), torch.zeros(1))
    assert (losses.mean(), share) == (pytest.approx(1, abs=0.1), 0.0)


@pytest.fixture
def short_search(monkeypatch):
    """Shorten the search where a test does not depend on its length."""
    limits = {"_FIRST_CYCLE": 8, "_MIN": 32, "_MAX": 128}
    for name, steps in limits.items():
        monkeypatch.setattr(length, f"{name}_STEPS", steps)
    monkeypatch.setattr(length, "_MIN_STEPS_SEVERAL", 32)
    monkeypatch.setattr(length, "_MAX_STEPS_SEVERAL", 192)


# -- what fit does with it ---------------------------------------------------------------------------


@pytest.mark.usefixtures("short_search")
@pytest.mark.parametrize("quantizer", [None, LSQQuantizer(2)])
def test_the_length_found_is_the_length_given(friedman, quantizer, trained_rows):
    """A fit that finds its length gives what a fit of that length gives, except for the share of the output."""
    X, y = friedman
    found = BitwiseRegressor(2 if quantizer is None else None, quantizer=quantizer, **QUICK).fit(X, y)
    assert set(trained_rows) == {240, 300}
    assert trained_rows[-1] == 300
    assert found.n_iter_ in found.length_search_["epochs"].tolist()
    assert found.n_iter_ == found.length_search_.loc[found.length_search_["loss"].idxmin(), "epochs"]
    given = {**found.get_params(deep=False), "max_epochs": found.n_iter_}
    if quantizer is None:
        given["threshold_lr_ratio"] = found.quantizer_.threshold_lr_ratio_
    given = BitwiseRegressor(**given).fit(X, y)
    assert not hasattr(given, "length_search_")
    share = found.length_search_["share"][found.length_search_["loss"].idxmin()]
    mean = found.target_mean_[0]
    np.testing.assert_allclose(found.predict(X) - mean, share * (given.predict(X) - mean), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("short_search")
def test_defaults_are_no_worse_than_a_constant_if_nothing_can_be_learned(rng):
    X, y = rng.normal(size=(400, 10)), rng.normal(size=400)
    regressor = BitwiseRegressor(3, random_state=0).fit(X[:300], y[:300])
    assert ((regressor.predict(X[300:]) - y[300:]) ** 2).mean() < 1.1 * y[300:].var()


@pytest.mark.usefixtures("short_search")
def test_defaults_on_noisy_labels_are_better_than_their_shares():
    X, y = make_classification(800, 12, n_informative=4, flip_y=0.4, weights=[0.8], random_state=0)
    classifier = BitwiseClassifier(3, random_state=0).fit(X[:600], y[:600])
    share = y[:600].mean()
    constant = log_loss(y[600:], np.full(200, share))
    assert log_loss(y[600:], classifier.predict_proba(X[600:])[:, 1]) < constant


def test_an_integer_trains_on_all_rows(friedman, trained_rows):
    BitwiseRegressor(2, max_epochs=5, **QUICK).fit(*friedman)
    assert trained_rows == [300]


def test_early_stopping_never_trains_on_held_out_rows(friedman, trained_rows):
    fitted = BitwiseRegressor(2, early_stopping=True, max_epochs=12, **QUICK).fit(*friedman)
    assert set(trained_rows) == {240}
    assert fitted.n_iter_ <= 12
    assert fitted.history_["valid_loss"].notna().all()


def test_without_early_stopping_no_rows_are_held_out(friedman, trained_rows):
    fitted = BitwiseRegressor(2, early_stopping=False, **QUICK).fit(*friedman)
    assert trained_rows == [300]
    assert fitted.n_iter_ == 30


@pytest.mark.parametrize("n", [2, 5, 19])
def test_too_few_rows_are_not_held_out(n, rng):
    X = rng.normal(size=(n, 2))
    fitted = BitwiseRegressor(1, **QUICK).fit(X, X[:, 0])
    assert fitted.n_iter_ == 64  # steps of one batch
    assert not hasattr(fitted, "length_search_")


# -- validation rows and groups ----------------------------------------------------------------------


@pytest.mark.usefixtures("short_search")
def test_validation_rows_find_the_length_and_are_not_trained_on(friedman, trained_rows):
    X, y = friedman
    fitted = BitwiseRegressor(2, **QUICK).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert set(trained_rows) == {200}
    assert fitted.n_iter_ in fitted.length_search_["epochs"].tolist()
    assert fitted.history_["valid_loss"].notna().all()


def test_validation_rows_that_are_refused(friedman):
    X, y = friedman
    frame = pd.DataFrame(X, columns=list("abcdef"))
    regressor, classifier = BitwiseRegressor(2, **QUICK), BitwiseClassifier(2, **QUICK)
    with pytest.raises(ValueError, match="y_val is missing"):
        regressor.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="X_val is missing"):
        regressor.fit(X, y, y_val=y)
    with pytest.raises(ValueError, match="5 features"):
        regressor.fit(X, y, X_val=X[:, :5], y_val=y)
    with pytest.raises(ValueError, match="feature names"):
        regressor.fit(frame, y, X_val=frame[list("bacdef")], y_val=y)
    with pytest.raises(ValueError, match="y_val has shape"):
        regressor.fit(X, y, X_val=X, y_val=np.column_stack([y, y]))
    with pytest.raises(ValueError, match="label 2 in y_val is not in y"):
        classifier.fit(X, np.arange(300) % 2, X_val=X, y_val=np.arange(300) % 3)
    with pytest.raises(ValueError, match="NaN"):
        regressor.fit(X, y, X_val=np.full_like(X, np.nan), y_val=y)
    assert not hasattr(regressor, "codebook_")


@pytest.mark.usefixtures("short_search")
def test_groups_of_any_label(friedman, trained_rows):
    BitwiseRegressor(2, threshold_lr_ratio=10.0, **QUICK).fit(*friedman, groups=np.array(list("abcde") * 60))
    assert set(trained_rows[:-1]) == {240}
    BitwiseRegressor(2, threshold_lr_ratio=10.0, **QUICK).fit(*friedman, groups=list(range(300)))


def test_groups_that_are_refused(friedman):
    X, y = friedman
    with pytest.raises(ValueError, match=r"groups has shape \(5,\); it must be \(300,\)"):
        BitwiseRegressor(2, **QUICK).fit(X, y, groups=np.arange(5))
    with pytest.raises(ValueError, match="no label for row 3"):
        BitwiseRegressor(2, **QUICK).fit(X, y, groups=pd.Series([1, 2, 1, None] * 75))


def test_rows_of_zero_weight_leave_their_groups(friedman):
    X, y = friedman
    weights, groups = np.arange(300) % 3, np.arange(300) // 30
    kept = weights > 0
    regressor = BitwiseRegressor(2, early_stopping=True, max_epochs=3, **QUICK)
    one = clone(regressor).fit(X, y, sample_weight=weights, groups=groups)
    other = clone(regressor).fit(X[kept], y[kept], sample_weight=weights[kept], groups=groups[kept])
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_groups_and_validation_rows_are_routed(friedman):
    X, y = friedman
    groups = np.arange(300) % 6
    with sklearn.config_context(enable_metadata_routing=True):
        quantizer = BitwiseQuantizer(2, early_stopping=True, max_epochs=4, **QUICK).set_fit_request(groups=True)
        pipeline = make_pipeline(StandardScaler(), quantizer, LinearRegression())
        found = cross_validate(pipeline, X, y, cv=GroupKFold(3), params={"groups": groups})
        assert np.isfinite(found["test_score"]).all()
        regressor = BitwiseRegressor(2, max_epochs=3, **QUICK).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), regressor)
        pipeline.set_params(transform_input=["X_val"])
        pipeline.fit(X[:250], y[:250], X_val=X[250:], y_val=y[250:])
        regressor = pipeline[-1]
        scaled = pipeline[0].transform(X[250:])
        error = ((regressor.predict(scaled) - y[250:]) / regressor.target_scale_) ** 2
        assert regressor.history_["valid_loss"].iloc[-1] == pytest.approx(error.mean(), rel=1e-4)


# -- whether thresholds move -------------------------------------------------------------------------


@pytest.mark.usefixtures("short_search")
@pytest.mark.parametrize(("n", "noise", "n_bits", "expected"), [(300, 1.0, 1, 10.0), (60, 3.0, 2, 0.0)])
def test_thresholds_of_few_rows_move_if_that_lowers_the_held_out_loss(n, noise, n_bits, expected):
    X, y = make_friedman1(n, noise=noise, random_state=0)
    fits = {r: BitwiseQuantizer(n_bits, threshold_lr_ratio=r, **QUICK).fit(X, y) for r in (10.0, 0.0, "auto")}
    losses = {ratio: fit.length_search_["loss"].min() for ratio, fit in fits.items()}
    chosen = fits["auto"].threshold_lr_ratio_
    assert chosen == min((10.0, 0.0), key=losses.__getitem__) == expected
    assert fits["auto"].codebook_ == fits[chosen].codebook_
    pd.testing.assert_frame_equal(fits["auto"].length_search_, fits[chosen].length_search_)
    for one, other in zip(fits["auto"].head_.parameters(), fits[chosen].head_.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.usefixtures("short_search")
def test_batches_of_the_search_are_those_of_the_training(rng, monkeypatch):
    """2100 rows have batches of 128. The search trains on 1680 of them, which would have batches of 64."""
    train, sizes = learner.train, []
    monkeypatch.setattr(
        learner, "train", lambda net, *args, **kw: (sizes.append(net.batch_size), train(net, *args, **kw))[1]
    )
    X = rng.uniform(size=(2100, 2))
    BitwiseRegressor(1, **QUICK).fit(X, X[:, 0])
    BitwiseRegressor(1, **QUICK, early_stopping=True).fit(X, X[:, 0])
    assert set(sizes) == {128}


@pytest.mark.usefixtures("short_search")
def test_thresholds_move_with_one_part_or_none(friedman):
    X, y = friedman
    for given in ({"max_epochs": 2}, {"early_stopping": True}):
        assert BitwiseQuantizer(2, **QUICK, **given).fit(X, y).threshold_lr_ratio_ == 10.0


# -- chunks, heads, checkpoints, files ---------------------------------------------------------------


@pytest.mark.usefixtures("short_search")
def test_chunks_with_validation_rows_find_their_length(friedman):
    X, y = friedman
    chunks = [(X[i::3], y[i::3]) for i in range(3)]
    found = BitwiseRegressor(2, **QUICK).fit_chunks(chunks, validation=(X, y))
    assert found.n_iter_ in found.length_search_["epochs"].tolist()
    without = BitwiseRegressor(2, **QUICK).fit_chunks(chunks)
    assert without.n_iter_ == 30
    assert not hasattr(without, "length_search_")


@pytest.mark.usefixtures("short_search")
def test_the_length_is_found_for_a_given_head(friedman):
    fitted = BitwiseRegressor(2, head=torch.nn.Linear, init="quantile", random_state=0).fit(*friedman)
    assert fitted.n_iter_ in fitted.length_search_["epochs"].tolist()


def test_auto_batch_size_of_another_learned_quantizer(friedman):
    X, y = friedman
    fitted = BitwiseRegressor(quantizer=LLTQuantizer(2), max_epochs=1, **QUICK).fit(X, y)
    assert fitted.net_.batch_size == 32


@pytest.mark.usefixtures("short_search")
def test_length_search_is_saved(friedman, tmp_path):
    from skbsq.persistence import load, save

    X, y = friedman
    fitted = BitwiseRegressor(2, **QUICK).fit(X[:200], y[:200])
    save(fitted, tmp_path / "model")
    pd.testing.assert_frame_equal(load(tmp_path / "model").length_search_, fitted.length_search_)


# -- the default head --------------------------------------------------------------------------------


def test_several_networks_for_few_rows_or_many_steps():
    found = [recipe.auto_members(n_rows, n_steps) for n_rows in (4000, 5000, 50_000) for n_steps in (1000, 4000)]
    assert found == [4, 4, 1, 4, 1, 1]


def test_dropout_falls_as_one_over_the_rows():
    assert [recipe.Recipe().dropout_for(n) for n in (10, 8192, 16384, 81920)] == pytest.approx([0.1, 0.1, 0.05, 0.01])


@pytest.mark.usefixtures("short_search")
def test_several_networks_become_one_plain_head(friedman, monkeypatch):
    monkeypatch.setattr(learner, "auto_members", lambda n_rows, n_steps: 3)
    monkeypatch.setattr(recipe, "AUTO_SIZES", (8, 8))
    X, y = friedman
    for level_inputs in (True, False):
        given = {"init": "quantile", "level_inputs": level_inputs, "random_state": 0}
        model = BitwiseRegressor(2, max_epochs=30, **given).fit(X, y)
        assert type(model.head_) is MLP
        assert [module.out_features for module in model.head_ if hasattr(module, "out_features")] == [24, 24, 1]
        assert model.score(X, y) > 0.5
    labels = BitwiseClassifier(2, init="quantile", random_state=0).fit(X, y > y.mean())
    assert labels.n_iter_ in labels.length_search_["epochs"].tolist()
    assert labels.score(X, y > y.mean()) > 0.7
    shaped = BitwiseRegressor(2, hidden_sizes=(4,), init="quantile", random_state=0, max_epochs=2).fit(X, y)
    assert shaped.head_[0].out_features == 4
