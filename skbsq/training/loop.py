"""The one training function."""

import signal
import threading
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from skorch.history import History
from torch import nn
from tqdm import tqdm

from skbsq.nn.losses import rows_of_members
from skbsq.training.batches import TensorBatches, TensorRows
from skbsq.training.state import KeptTraining, copied_state, put_state
from skbsq.training.step import BitsStep

# Adam's mean of gradients falls to a thousandth in so many steps.
_STEPS_TO_ROUND = 64
_NO_EFFECT = 1e-30
# Values that are scaled before training and not in each step: half a gigabyte of memory at most.
_MOST_SCALED = 2**27


class _EndOfTraining(Exception):
    """Patience has run out."""


class BestEpoch(Callback):
    """Keeps the weights of the epoch of least validation loss, and ends training once patience runs out.

    The validation loss is that of the hard bits, because a net is validated in evaluation mode.

    Parameters
    ----------
    patience : int, default=10
        Epochs without a lower loss before training ends.

    Attributes
    ----------
    best_epoch_ : int
        From 1; 0 as long as no loss was finite.

    Examples
    --------
    >>> from skbsq.training.loop import BestEpoch
    >>> BestEpoch(patience=3).get_params()
    {'patience': 3}
    """

    def __init__(self, patience=10):
        self.patience = patience

    def initialize(self):
        self.best_epoch_, self.best_loss_, self.state_ = 0, np.inf, None
        return self

    def on_epoch_end(self, net, **kwargs):
        epoch, loss = len(net.history), net.history[-1, "valid_loss"]
        if loss < self.best_loss_:
            # Copies: a state dict refers to the live weights.
            self.state_ = [copied_state(net.module_), copied_state(net.criterion_)]
            self.best_epoch_, self.best_loss_ = epoch, loss
        elif epoch - self.best_epoch_ >= self.patience:
            raise _EndOfTraining

    def restore(self, net):
        """Put the best weights back, and forget the copy.

        Parameters
        ----------
        net : skorch.NeuralNet
            Changed in place.
        """
        if self.state_ is not None:
            put_state(net.module_, self.state_[0])
            put_state(net.criterion_, self.state_[1])
        self.state_ = None


class MeanWeights(Callback):
    """Average the weights over the last part of training; the average takes their place at the end.

    Parameters
    ----------
    share : float, default=0.2
        The last part, as a share of all steps.

    Examples
    --------
    >>> from skbsq.training.loop import MeanWeights
    >>> MeanWeights().get_params()
    {'share': 0.2}
    """

    def __init__(self, share=0.2):
        self.share = share

    def initialize(self):
        self.step_, self.n_averaged_, self.mean_ = 0, 0, None
        return self

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        self.first_ = (1 - self.share) * net.max_epochs * len(net.get_iterator(dataset_train, training=True))

    def on_batch_end(self, net, training=None, **kwargs):
        if not training:
            return
        self.step_ += 1
        if self.step_ <= self.first_:
            return
        weights = _weights(net)
        self.n_averaged_ += 1
        if self.mean_ is None:
            self.mean_ = [weight.clone() for weight in weights]
        else:
            torch._foreach_lerp_(self.mean_, weights, 1 / self.n_averaged_)

    @contextmanager
    def in_place(self, net):
        """Have the average in the place of the weights for a while, once there is one.

        Parameters
        ----------
        net : skorch.NeuralNet
        """
        if self.mean_ is None:
            yield
            return
        weights = [weight.clone() for weight in _weights(net)]
        _fill(net, self.mean_)
        try:
            yield
        finally:
            _fill(net, weights)

    def put(self, net):
        """Put the average in the place of the weights.

        Parameters
        ----------
        net : skorch.NeuralNet
            Changed in place.
        """
        if self.mean_ is not None:
            _fill(net, self.mean_)
        self.mean_ = None


def _weights(net):
    """What the optimizer of a net works on, detached."""
    return [parameter.detach() for group in net.optimizer_.param_groups for parameter in group["params"]]


def _fill(net, values):
    """Copy values into what the optimizer of a net works on."""
    for weight, value in zip(_weights(net), values, strict=True):
        weight.copy_(value)


class ProgressBar(Callback):
    """One tqdm bar over the epochs, on standard error.

    Parameters
    ----------
    description : str, default=None
        Shown before the bar.
    """

    only_shows = True

    def __init__(self, description=None):
        self.description = description

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(total=net.max_epochs, unit="epoch", leave=True, desc=self.description)

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        losses = {key: f"{row[key]:.4g}" for key in ("train_loss", "valid_loss") if key in row}
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def close(self):
        """Leave the bar as it stands."""
        if hasattr(self, "bar_"):
            self.bar_.close()
            del self.bar_


def put_to_rest(net, history):
    """Bring a net whose module was trained before to where `train` leaves one.

    Parameters
    ----------
    net : skorch.NeuralNet
        Not initialized; its module is an instance. Changed in place.
    history : list of dict
        What each epoch recorded.
    """
    net.set_params(
        train_split=None, iterator_train=TensorBatches, iterator_valid=TensorBatches, verbose=0, device="cpu"
    )
    net.initialize()
    net.history = History({**epoch, "batches": []} for epoch in history)
    net.module_.eval()


def train(
    net,
    rows,
    validation=None,
    *,
    generator,
    patience=None,
    mean_weights=False,
    verbose=0,
    description=None,
    own=False,
    checkpoint=None,
):
    """Train a net, silently by default; afterwards it is on the CPU and in evaluation mode.

    Parameters
    ----------
    net : skorch.NeuralNet
        Not initialized; its module is an instance. Its train_split and iterators are replaced.
    rows : TensorRows or TensorStream
    validation : TensorRows, default=None
        Rows whose loss is recorded every epoch.
    generator : torch.Generator
        On the CPU; draws the order of the rows.
    patience : int, default=None
        With validation rows: end after so many epochs without a lower loss, and keep the best epoch's weights.
    mean_weights : bool, default=False
        End with the mean of the weights over the last fifth of the steps.
    verbose : int, default=0
        1 shows a progress bar.
    description : str, default=None
        Shown before the progress bar.
    own : bool, default=False
        The net is one of `skbsq.training.nets.default_net`, with callbacks of this package only. Its epochs then run
        without the calls that skorch makes for every batch, and the weights may lie in memory in the order that suits
        training; afterwards they are contiguous.
    checkpoint : Checkpoint, default=None
        Keeps the state after every epoch, in the next of its slots; where it knows that slot, training goes on from it.

    Returns
    -------
    best_epoch : int or None
        The epoch whose weights were kept, from 1; None where the last one's were.

    Raises
    ------
    ValueError
        If a weight is not finite at the end: training diverged.
    """
    net.set_params(
        train_split=None if validation is None else predefined_split(validation.to(net.device)),
        iterator_train=TensorBatches,
        iterator_train__generator=generator,
        iterator_valid=TensorBatches,
        verbose=0,
    )
    ours = []
    if validation is not None and patience is not None:
        ours.append(BestEpoch(patience))
    if mean_weights:
        ours.append(MeanWeights())
    if verbose:
        ours.append(ProgressBar(description))
    net.callbacks = [*(net.callbacks or []), *ours]
    net.initialize()
    kept = None if checkpoint is None else KeptTraining(checkpoint, net, generator)
    if kept is not None and kept.finished:
        best_epoch = kept.restore()
    else:
        best_epoch = _train_to_the_end(net, rows, validation is not None, own, kept)
        if kept is not None:
            kept.finish(best_epoch)
    _settle(net)
    return best_epoch


def _train_to_the_end(net, rows, validates, own, kept):
    """Train an initialized net, from where it was interrupted or from the beginning; returns its best epoch or None."""
    best, mean, bar = (_own_callback(net, kind) for kind in (BestEpoch, MeanWeights, ProgressBar))
    rows = rows.to(net.device)
    if own:
        rows = _with_scaled(net, rows)
    try:
        with KeepFromDenormal(net.optimizer_) as rounding, _confined(net):
            # Not net.fit: it swallows Ctrl-C.
            net.notify("on_train_begin", X=rows, y=None)
            ends = suppress(_EndOfTraining) if own else _ends_when_a_callback_says_so()
            with _step_of(net, own) as step, ends, _explained(validates):
                run = partial(_run_epochs, net, step) if own else net.fit_loop
                if kept is None:
                    run(rows, epochs=net.max_epochs)
                else:
                    kept.restore(rounding)
                    if bar is not None:
                        bar.bar_.update(len(net.history))
                    while len(net.history) < net.max_epochs:
                        run(rows, epochs=1)
                        kept.keep(rounding)
                if mean is not None:
                    mean.put(net)
            net.notify("on_train_end", X=rows, y=None)
    finally:
        if bar is not None:
            bar.close()
    if best is None:
        return None
    best.restore(net)
    return best.best_epoch_ or None


def _step_of(net, own):
    """The step that is written out, where there is one for a net of ours, else None: for a with block."""
    return BitsStep(net) if own and BitsStep.takes(net) else nullcontext()


@contextmanager
def _confined(net):
    """Keep thresholds among the rows, after every step, where the layer knows how."""
    confine = getattr(getattr(net.module_, "quantization", None), "confine", None)
    if confine is None:
        yield
        return
    handle = net.optimizer_.register_step_post_hook(lambda *_: confine())
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _explained(validates):
    """Say what a callback misses that reads what was measured on validation rows, where there are none."""
    try:
        yield
    except KeyError as error:
        if validates or "valid_" not in str(error):
            raise
        raise ValueError(
            "A callback reads what was measured on validation rows, but none are held out: set "
            f"early_stopping=True. ({error.args[0]})"
        ) from error


def _own_callback(net, kind):
    return next((callback for _, callback in net.callbacks_ if isinstance(callback, kind)), None)


def _with_scaled(net, rows):
    """Scale the values of rows in memory once, where the layer would scale them in each step."""
    scale = getattr(getattr(net.module_, "quantization", None), "with_scaled", None)
    if scale is None or not isinstance(rows, TensorRows) or rows.x.numel() > _MOST_SCALED:
        return rows
    return TensorRows(scale(rows.x), rows.y, rows.weights)


def _run_epochs(net, step, rows, epochs):
    """Run epochs of a net whose callbacks are ours: those that look at batches are called for each, nothing else is."""
    _, validation = net.get_split_datasets(rows)
    for _ in range(epochs):
        net.notify("on_epoch_begin", dataset_train=rows, dataset_valid=validation)
        loss, count = _run_training_batches(net, step, net.get_iterator(rows, training=True))
        net.history.record("train_loss", loss)
        net.history.record("train_batch_count", count)
        if validation is not None:
            mean = _own_callback(net, MeanWeights)
            with nullcontext() if mean is None else mean.in_place(net):
                net.run_single_epoch(
                    net.get_iterator(validation, training=False),
                    training=False,
                    prefix="valid",
                    step_fn=net.validation_step,
                )
        net.notify("on_epoch_end", dataset_train=rows, dataset_valid=validation)


def _run_training_batches(net, step, batches):
    """Mean loss of the rows of an epoch, and the number of its batches."""
    module, criterion, optimizer = net.module_, net.criterion_, net.optimizer_
    before, after = (
        [getattr(own, name) for _, own in net.callbacks_ if getattr(type(own), name) is not getattr(Callback, name)]
        for name in ("on_batch_begin", "on_batch_end")
    )
    module.train()
    criterion.train()
    if step is not None:
        step.begin_epoch()
    total, n_rows, count = 0.0, 0, 0
    for x, y in batches:
        for call in before:
            call(net, training=True)
        if step is not None:
            loss = step(x, y)
        else:
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = criterion(*rows_of_members(module(x), y))
                loss.backward()
            loss = loss.detach()
        optimizer.step()
        for call in after:
            call(net, training=True)
        total, n_rows, count = total + loss * len(x), n_rows + len(x), count + 1
    return float(total) / n_rows, count


@contextmanager
def _ends_when_a_callback_says_so():
    """Take a callback's word that training ends; let Ctrl-C out.

    skorch's own callbacks say it with the exception that Ctrl-C raises. What tells the two apart is whether there was a
    signal.
    """
    with _noted_interrupts() as noted:
        try:
            yield
        except _EndOfTraining:
            pass
        except KeyboardInterrupt:
            if noted:
                raise


@contextmanager
def _noted_interrupts():
    """For the time of the block, note each SIGINT before it is handled as without: yields the list of them.

    Signals arrive in the main thread alone. In other threads the list stays empty.
    """
    noted: list = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield noted
        return

    def note(number, frame):
        noted.append(number)
        return before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class KeepFromDenormal:
    """Rounds an optimizer's running mean of gradients to zero before it gets denormal, which slows down every step.

    The mean gradient of a weight that gets none any more falls by a constant factor a step. Long before it is
    denormal it has no effect. Leaving the block ends it.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer

    Attributes
    ----------
    steps : int
        That the optimizer has taken.
    """

    def __init__(self, optimizer):
        self.steps = 0
        self._handle = optimizer.register_step_post_hook(self._after_step)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._handle.remove()

    def _after_step(self, optimizer, *_):
        self.steps += 1
        if self.steps % _STEPS_TO_ROUND == 0:
            for state in optimizer.state.values():
                for mean in (state.get("exp_avg"), state.get("momentum_buffer")):
                    if mean is not None:
                        mean = torch.view_as_real(mean) if mean.is_complex() else mean
                        mean.copy_(nn.functional.hardshrink(mean, _NO_EFFECT))


def _settle(net):
    """Bring a trained net to rest: checked, on the CPU, without the optimizer's memory or the rows."""
    for name, parameter in net.module_.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ValueError(
                f"Training diverged: {name} is not finite after {len(net.history)} epochs. Lower lr, or check y for "
                "extreme values."
            )
    net.optimizer_.state.clear()
    net.train_split = None
    net.iterator_train__generator = None
    net.module_.to("cpu")
    net.criterion_.to("cpu")
    net.device = "cpu"
    net.module_.eval()
