"""Changes to the recipe that no parameter makes: each replaces a part of the package while a fit runs."""

from contextlib import contextmanager, nullcontext
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold, cross_val_predict
from skorch.callbacks import Callback

from benchmarks import methods
from skbsq import BitwiseQuantizer, QuantileQuantizer
from skbsq._checkpoint import checkpointed
from skbsq.nn.layers import BitwiseQuantization
from skbsq.nn.levels import LevelLinear, _WithLevels
from skbsq.nn.training import default_net
from skbsq.quantizers import _allocation, _learned, _ranks, bitwise
from skbsq.quantizers._allocation import WideModel, go_on_narrower
from skbsq.quantizers._ranks import rank_knots
from skbsq.quantizers._start import start_in_gaps


def measure_changed(change=None, **cell):
    """`benchmarks.methods.measure` of a cell, with a change of `CHANGES` made to the package; None: without."""
    with CHANGES[change]() if change else nullcontext():
        return methods.measure(**cell)


def _with_parameters(**parameters):
    """Parameters of the predictor, whatever the plan says."""
    build = methods.build
    return patch.object(methods, "build", lambda *args, **given: build(*args, **{**given, **parameters}))


# -- where thresholds start


_RANGE_SHARE = 0.3


def _cut_by_rows_and_range(quantizer, feature, n_levels):
    """Equal shares of rows and range together: some thresholds where the rows are, some wherever there is a value."""
    values, mass = feature.cells
    values = values.astype(np.float64)
    x = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:]])
    rows, extent = np.append(0, np.cumsum(mass)) / mass.sum(), (x - x[0]) / (x[-1] - x[0])
    share = (1 - _RANGE_SHARE) * rows + _RANGE_SHARE * extent
    return np.unique(np.interp(np.arange(1, n_levels) / n_levels, share, x).astype(np.float32))


@contextmanager
def _blended_start():
    with patch.object(QuantileQuantizer, "_cut", _cut_by_rows_and_range), _with_parameters(init="quantile"):
        yield


@contextmanager
def _start_from_pilot(width=5, share=0.5):
    """Thresholds of a wider model, trained for part of the epochs and narrowed as for a budget."""
    plain = BitwiseQuantizer._start

    def start(quantizer, rows, n_bits, has_missing, seed, progress):
        epochs = max(1, round(share * quantizer.max_epochs))
        pilot = clone(quantizer).set_params(n_bits=width, max_epochs=epochs, task=rows.task, random_state=seed)
        with patch.object(BitwiseQuantizer, "_start", plain), checkpointed(None, None) as own_progress:
            pilot._fit_rows(rows, own_progress)
        wide = WideModel(pilot, rows)
        thresholds, _ = wide.narrowed(np.minimum(wide.n_bits, n_bits))
        found = [start_in_gaps(t, values) for t, values in zip(thresholds, rows.distinct(), strict=True)]
        quantizer.init_, quantizer.initial_thresholds_ = "pilot", found
        return found

    with patch.object(BitwiseQuantizer, "_start", start):
        yield


# -- the first layer


def _own_share(share):
    return patch.object(LevelLinear, "_OWN_SHARE", share)


@contextmanager
def _bits_scaled_by_rise():
    """A bit is as large as the root of what it adds to the level, so that many small ones learn no faster together."""
    build = LevelLinear.__init__

    def with_size(layer, linear, feature, rises, lowest):
        build(layer, linear, feature, rises, lowest)
        size = np.where(rises > 0, np.sqrt(np.maximum(rises, 1e-4)), 1.0)
        layer.register_buffer("size", torch.from_numpy(size.astype(np.float32)), persistent=False)

    def weight(layer):
        return _WithLevels.apply(layer.own.weight * layer.size, layer.level_weight, layer.feature, layer.rises)

    with patch.object(LevelLinear, "__init__", with_size), patch.object(LevelLinear, "weight", property(weight)):
        yield


@contextmanager
def _levels_in_space(standard_share):
    """Levels in a space of ranks of its own; 1 stands for standardized values."""
    means = _ranks._level_means

    def in_space(feature, thresholds, _):
        knots, _ = rank_knots(feature, standard_share)
        return means(feature, thresholds, knots)

    with patch.object(_ranks, "_level_means", in_space):
        yield


# -- bits in training


@contextmanager
def _other_bits(training_bits):
    """In training all bits are made by a function, from their distances to the thresholds."""
    hard = BitwiseQuantization.forward

    def forward(layer, x):
        if not layer.training:
            return hard(layer, x)
        if not layer.outputs.block:
            raise ValueError("These bits need as many thresholds in every feature.")
        z, theta = layer.outputs.spread(layer.scaled(x)), layer.outputs.pick(layer.theta, torch.inf)
        return training_bits(layer, z - theta).flatten(1)  # the sets have no missing values

    with patch.object(BitwiseQuantization, "forward", forward), _with_parameters(forward="soft"):
        yield


def _random_bits(layer, distance):
    """On as often as the sigmoid says, by one draw for all bits of a feature; the gradient is the sigmoid's."""
    soft = torch.sigmoid(distance / layer.temperature)
    bits = (soft > torch.rand(*soft.shape[:2], 1)).float()
    return soft + (bits - soft).detach()


def _bits_as_wide_as_gaps(layer, distance):
    """A sigmoid as wide as its threshold is apart from its neighbours, beside the mean of all."""
    theta = layer.outputs.pick(layer.theta, torch.inf).detach()
    ordered, order = theta.sort(dim=1)
    gaps = ordered.diff(dim=1).nan_to_num(nan=torch.inf)  # an input that no threshold feeds has none
    around = torch.cat([gaps[:, :1], (gaps[:, 1:] + gaps[:, :-1]) / 2, gaps[:, -1:]], dim=1)
    width = torch.empty_like(theta).scatter_(1, order, around / around[around.isfinite()].mean())
    width = torch.where(width.isfinite(), width, 1.0)
    return torch.sigmoid(distance / (layer.temperature * width.clamp(min=0.1)))


# -- the optimizer


class _Averaging(Callback):
    """Weights at the end are a running mean of those of the last part of the steps."""

    def __init__(self, decay=0.99, last=0.5):
        self.decay = decay
        self.last = last

    def on_train_begin(self, net, **kwargs):
        self.means_ = None

    def on_batch_end(self, net, training, **kwargs):
        if not training or len(net.history) <= (1 - self.last) * net.max_epochs:
            return
        now = [p.detach() for p in net.module_.parameters()]
        if self.means_ is None:
            self.means_ = [p.clone() for p in now]
        for mean, weight in zip(self.means_, now, strict=True):
            mean.lerp_(weight, 1 - self.decay)

    def on_train_end(self, net, **kwargs):
        for mean, weight in zip(self.means_, net.module_.parameters(), strict=True):
            weight.data.copy_(mean)


class _MeanOfEpochs(Callback):
    """Weights at the end are the mean of those after each of the last epochs."""

    def __init__(self, share):
        self.share = share

    def on_train_begin(self, net, **kwargs):
        self.n_epochs_ = 0

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) <= (1 - self.share) * net.max_epochs:
            return
        now = [p.detach() for p in net.module_.parameters()]
        self.n_epochs_ += 1
        if self.n_epochs_ == 1:
            self.means_ = [p.clone() for p in now]
        for mean, weight in zip(self.means_, now, strict=True):
            mean.lerp_(weight, 1 / self.n_epochs_)

    def on_train_end(self, net, **kwargs):
        for mean, weight in zip(self.means_, net.module_.parameters(), strict=True):
            weight.data.copy_(mean)


def _mean_over(share):
    return _with_net(callbacks=lambda: [("mean", _MeanOfEpochs(share))])


def _with_net(**parameters):
    """Parameters of the skorch net; its callbacks made anew for every fit."""

    def changed(*args, **kwargs):
        given = {key: value() if callable(value) else value for key, value in parameters.items()}
        return default_net(*args, **kwargs).set_params(**given)

    return patch.object(_learned, "default_net", changed)


# -- after training


class FineTuned(BaseEstimator):
    """A predictor whose head is trained on behind its final thresholds.

    Parameters
    ----------
    model : BitwiseRegressor
    share : float
        Of its epochs that are trained once more.
    """

    def __init__(self, model, share=1 / 6):
        self.model = model
        self.share = share

    def fit(self, X, y):
        """Fit, and train on."""
        first = clone(self.model).fit(X, y)
        first.set_params(forward="hard", threshold_lr_ratio=0.0, lr=self.model.lr / 10)
        self.model_ = go_on_narrower(first, X, y, first.n_bits, self.share)  # as wide as it is
        self.codebook_ = self.model_.codebook_
        return self

    def predict(self, X):
        """Predict with the head that was trained on."""
        return self.model_.predict(X)


# -- what is learned


class Taught(BaseEstimator):
    """A predictor of targets that are in part what a teacher of more bits says of rows that it was not fitted on.

    Parameters
    ----------
    model : BitwiseRegressor
    share : float
        The teacher's, of the target.
    n_bits : int
        The teacher's.
    """

    def __init__(self, model, share=0.5, n_bits=6):
        self.model = model
        self.share = share
        self.n_bits = n_bits

    def fit(self, X, y):
        """Fit the teacher on folds, and the model on what it says."""
        folds = KFold(5, shuffle=True, random_state=self.model.random_state)
        said = cross_val_predict(clone(self.model).set_params(n_bits=self.n_bits), X, y, cv=folds)
        self.model_ = clone(self.model).fit(X, (1 - self.share) * np.asarray(y) + self.share * said)
        self.codebook_ = self.model_.codebook_
        return self

    def predict(self, X):
        """Predict as the model does."""
        return self.model_.predict(X)


def _wrapped(wrapper, **parameters):
    """The predictor within an estimator around it."""
    build = methods.build
    return patch.object(methods, "build", lambda *args, **given: wrapper(build(*args, **given), **parameters))


# -- how a budget is split


def _split_at_once(train, rows, caps, budget, max_epochs, seed, **options):
    """Without rounds: what each feature would cost on its own decides."""
    with patch.object(_allocation, "_KEPT", 0.0):
        return _allocation.split_budget(train, rows, caps, budget, max_epochs, seed, **options)


class _Shrinking(Callback):
    """After every step thresholds come nearer to saying nothing: group sparsity over their weights in the first layer.

    A proximal step, that shortens the weight vector of each threshold by a length that grows over the epochs.
    """

    def __init__(self, strength=1.0):
        self.strength = strength

    def on_batch_end(self, net, training, **kwargs):
        weight = net.module_.head[0].weight
        length = self.strength * net.optimizer_.param_groups[-1]["lr"] * len(net.history) / net.max_epochs
        with torch.no_grad():
            norms = weight.norm(dim=0, keepdim=True)
            weight.mul_((1 - length / norms.clamp(min=1e-12)).clamp(min=0.0))


def _split_by_shrinking(train, rows, caps, budget, max_epochs, seed, **options):
    """The wide model is trained with group sparsity, and narrowed at once."""

    def shrinking_at_first(part, n_bits, thresholds, head, epochs):
        if thresholds is not None:
            return train(part, n_bits, thresholds, head, epochs)
        # A level would let all bits of a feature live on one weight.
        no_levels = patch.object(_learned, "levels_of_inputs", lambda *_: None)
        with no_levels, _with_net(callbacks=lambda: [("shrinking", _Shrinking())]):
            return train(part, n_bits, thresholds, head, epochs)

    return _split_at_once(shrinking_at_first, rows, caps, budget, max_epochs, seed, **options)


@contextmanager
def _costs_by_distortion(share=1.0):
    """What narrowing costs is how far it moves the predictions, in place of a share of what it adds to the loss."""
    plain = WideModel.costs

    def costs(model):
        loss = model._loss

        def mixed(hidden):
            moved = ((model._output(hidden) - wide).square().mean(1) * model.weights).mean()
            return (1 - share) * loss(hidden) + share * moved

        with torch.inference_mode():
            wide = model._output(model.hidden)
        with patch.object(model, "_loss", mixed):
            return plain(model)

    with patch.object(WideModel, "costs", costs):
        yield


def _split(function):
    return patch.object(bitwise, "split_budget", function)


CHANGES = {
    "blended start": _blended_start,
    "pilot": _start_from_pilot,
    "own share 0": partial(_own_share, 0.0),
    "own share 1": partial(_own_share, 1.0),
    "bits scaled by rise": _bits_scaled_by_rise,
    "levels standardized": partial(_levels_in_space, 1.0),
    "levels ranked": partial(_levels_in_space, 0.0),
    "random bits": partial(_other_bits, _random_bits),
    "bits as wide as gaps": partial(_other_bits, _bits_as_wide_as_gaps),
    "averaged weights": partial(_with_net, callbacks=lambda: [("averaging", _Averaging())]),
    "mean over the last quarter": partial(_mean_over, 0.25),
    "mean over the last half": partial(_mean_over, 0.5),
    "mean over the last three quarters": partial(_mean_over, 0.75),
    "shorter memory": partial(_with_net, optimizer__betas=(0.9, 0.99)),
    "fine-tuned head": partial(_wrapped, FineTuned),
    "taught by half": partial(_wrapped, Taught),
    "taught": partial(_wrapped, Taught, share=0.8),
    "split at once": partial(_split, _split_at_once),
    "split by shrinking": partial(_split, _split_by_shrinking),
    "split by distortion": _costs_by_distortion,
    "split by half distortion": partial(_costs_by_distortion, 0.5),
}
