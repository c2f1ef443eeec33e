"""The one function that trains a net: epochs, batches, and what happens around them."""

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
from skbsq.training.resume import ResumableTraining, copied_state, put_state
from skbsq.training.step import BitsStep

# In this many steps without a gradient, Adam's mean gradient falls to a thousandth.
_STEPS_BETWEEN_FLUSHES = 64
_MIN_MEAN_GRADIENT = 1e-30
# The scaled values take at most half a gigabyte of memory.
_MAX_VALUES_SCALED_AHEAD = 2**27


class _EndOfTraining(Exception):
    """Patience has run out."""


class BestEpoch(Callback):
    """Keep the weights of the epoch with the lowest validation loss, and end training when patience runs out.

    The validation loss is that of the hard bits, because a net is validated in evaluation mode.

    Parameters
    ----------
    patience : int, default=10
        Epochs without a lower loss before training ends.

    Attributes
    ----------
    best_epoch_ : int
        From 1; 0 until a loss is finite.

    See Also
    --------
    train : Uses this callback if patience is given.

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
            # Copies, because a state dict refers to the live weights.
            self.state_ = [copied_state(net.module_), copied_state(net.criterion_)]
            self.best_epoch_, self.best_loss_ = epoch, loss
        elif epoch - self.best_epoch_ >= self.patience:
            raise _EndOfTraining

    def restore(self, net):
        """Restore the best weights, and free the copy.

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
    """Average the weights over the last part of training, and end with the average.

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
        """Replace the weights by their average inside a with block, once there is an average.

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
        """Replace the weights by their average, and free the average.

        Parameters
        ----------
        net : skorch.NeuralNet
            Changed in place.
        """
        if self.mean_ is not None:
            _fill(net, self.mean_)
        self.mean_ = None


def _weights(net):
    """Return the parameters that the optimizer of a net changes, detached."""
    return [parameter.detach() for group in net.optimizer_.param_groups for parameter in group["params"]]


def _fill(net, values):
    """Copy values into the parameters that the optimizer of a net changes."""
    for weight, value in zip(_weights(net), values, strict=True):
        weight.copy_(value)


class ProgressBar(Callback):
    """Show one tqdm bar over the epochs, on standard error.

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
        """Leave the bar on the screen as it is."""
        if hasattr(self, "bar_"):
            self.bar_.close()
            del self.bar_


def restore_fitted_net(net, history):
    """Initialize a net around a module that is trained already, so that it is as `train` leaves a net.

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
    """Train a net. Afterwards it is on the CPU and in evaluation mode.

    Parameters
    ----------
    net : skorch.NeuralNet
        Not initialized; its module is an instance. Its train_split and iterators are replaced.
    rows : TensorRows or TensorStream
    validation : TensorRows, default=None
        Rows whose loss is recorded in every epoch.
    generator : torch.Generator
        On the CPU. It draws the order of the rows.
    patience : int, default=None
        With validation rows: end after this many epochs without a lower loss, and restore the weights of the best
        epoch.
    mean_weights : bool, default=False
        End with the mean of the weights over the last fifth of the steps.
    verbose : int, default=0
        1 shows a progress bar.
    description : str, default=None
        Shown before the progress bar.
    own : bool, default=False
        The net comes from `skbsq.training.nets.default_net`, and has only callbacks of this package. Epochs then skip
        the calls that skorch makes for every batch. Weights may have another memory layout during training; afterwards
        they are contiguous.
    checkpoint : Checkpoint, default=None
        Keeps the state after every epoch, in its next slot. If that slot has a state already, training resumes from it.

    Returns
    -------
    best_epoch : int or None
        Epoch whose weights were restored, from 1. None if the net has the weights of the last epoch.

    Raises
    ------
    ValueError
        If a weight is not finite at the end, because training diverged; if the checkpoint belongs to another net; or
        if a callback reads validation results and there are none.

    See Also
    --------
    Learner : Builds nets from a recipe, finds the length of training, and calls this function.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNet
    >>> from skbsq.training import train
    >>> from skbsq.training.batches import TensorRows
    >>> net = NeuralNet(torch.nn.Linear(2, 1), criterion=torch.nn.MSELoss, max_epochs=2)
    >>> train(net, TensorRows(torch.zeros(8, 2), torch.ones(8, 1)), generator=torch.Generator())
    >>> len(net.history), net.module_.training
    (2, False)
    """
    net.set_params(
        train_split=None if validation is None else predefined_split(validation.to(net.device)),
        iterator_train=TensorBatches,
        iterator_train__generator=generator,
        iterator_valid=TensorBatches,
        verbose=0,
    )
    callbacks: list[Callback] = []
    if validation is not None and patience is not None:
        callbacks.append(BestEpoch(patience))
    if mean_weights:
        callbacks.append(MeanWeights())
    if verbose:
        callbacks.append(ProgressBar(description))
    net.callbacks = [*(net.callbacks or []), *callbacks]
    net.initialize()
    kept = None if checkpoint is None else ResumableTraining(checkpoint, net, generator)
    if kept is not None and kept.finished:
        best_epoch = kept.restore()
    else:
        best_epoch = _train_to_the_end(net, rows, validation is not None, own, kept)
        if kept is not None:
            kept.finish(best_epoch)
    _finish(net)
    return best_epoch


def _train_to_the_end(net, rows, validates, own, kept):
    """Train an initialized net, from the start or from a checkpoint, and return its best epoch or None."""
    best, mean, bar = (_callback_of(net, kind) for kind in (BestEpoch, MeanWeights, ProgressBar))
    rows = rows.to(net.device)
    if own:
        rows = _with_scaled(net, rows)
    step = BitsStep(net) if own and BitsStep.takes(net) else nullcontext()
    ends = suppress(_EndOfTraining) if own else _callbacks_may_stop()
    try:
        with FlushSubnormals(net.optimizer_) as flushes, _confined(net):
            # Not net.fit, which swallows Ctrl-C.
            net.notify("on_train_begin", X=rows, y=None)
            with step as entered, ends, _explained(validates):
                run = partial(_run_epochs, net, entered) if own else net.fit_loop
                if kept is None:
                    run(rows, epochs=net.max_epochs)
                else:
                    kept.restore(flushes)
                    if bar is not None:
                        bar.bar_.update(len(net.history))
                    while len(net.history) < net.max_epochs:
                        run(rows, epochs=1)
                        kept.keep(flushes)
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


def _confined(net):
    """Keep thresholds among the rows after every step inside a with block, if the layer can do so."""
    confine = _method_of_layer(net, "confine")
    return nullcontext() if confine is None else net.optimizer_.register_step_post_hook(lambda *_: confine())


@contextmanager
def _explained(validates):
    """Explain the error of a callback that reads validation results, if there are none."""
    try:
        yield
    except KeyError as error:
        if validates or "valid_" not in str(error):
            raise
        raise ValueError(
            "A callback reads what was measured on validation rows, but none are held out: set "
            f"early_stopping=True. ({error.args[0]})"
        ) from error


def _callback_of(net, kind):
    return next((callback for _, callback in net.callbacks_ if isinstance(callback, kind)), None)


def _method_of_layer(net, name):
    return getattr(getattr(net.module_, "quantization", None), name, None)


def _with_scaled(net, rows):
    """Scale the values of rows in memory once, instead of in each step."""
    scale = _method_of_layer(net, "with_scaled")
    if scale is None or not isinstance(rows, TensorRows) or rows.x.numel() > _MAX_VALUES_SCALED_AHEAD:
        return rows
    return TensorRows(scale(rows.x), rows.y, rows.weights)


def _run_epochs(net, step, rows, epochs):
    """Run epochs of a net with only callbacks of this package; per batch, only those that need batches are called."""
    _, validation = net.get_split_datasets(rows)
    mean = _callback_of(net, MeanWeights)
    for _ in range(epochs):
        net.notify("on_epoch_begin", dataset_train=rows, dataset_valid=validation)
        loss, count = _run_training_batches(net, step, net.get_iterator(rows, training=True))
        net.history.record("train_loss", loss)
        net.history.record("train_batch_count", count)
        if validation is not None:
            batches = net.get_iterator(validation, training=False)
            with nullcontext() if mean is None else mean.in_place(net):
                net.run_single_epoch(batches, training=False, prefix="valid", step_fn=net.validation_step)
        net.notify("on_epoch_end", dataset_train=rows, dataset_valid=validation)


def _run_training_batches(net, step, batches):
    """Train for one epoch, and return the mean loss of its rows and the number of its batches."""
    module, criterion, optimizer = net.module_, net.criterion_, net.optimizer_
    before, after = (
        [
            getattr(callback, name)
            for _, callback in net.callbacks_
            if getattr(type(callback), name) is not getattr(Callback, name)
        ]
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
def _callbacks_may_stop():
    """Let a callback end training, and let Ctrl-C out.

    Callbacks of skorch end training with a KeyboardInterrupt, and so does Ctrl-C. Only Ctrl-C comes with a signal, so
    signals are recorded. They arrive in the main thread only.
    """
    signals: list = []
    before = signal.getsignal(signal.SIGINT)
    records = threading.current_thread() is threading.main_thread() and callable(before)

    def record(number, frame):
        signals.append(number)
        return before(number, frame)

    if records:
        signal.signal(signal.SIGINT, record)
    try:
        yield
    except _EndOfTraining:
        pass
    except KeyboardInterrupt:
        if signals:
            raise
    finally:
        if records:
            signal.signal(signal.SIGINT, before)


class FlushSubnormals:
    """Round an optimizer's mean gradients to zero before they become subnormal, which would slow down every step.

    If a weight receives no gradient any more, its mean gradient falls by a constant factor per step. It has no effect
    long before it is subnormal. Leaving the with block ends the rounding.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer

    Attributes
    ----------
    steps : int
        Number of steps that the optimizer has taken.
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
        if self.steps % _STEPS_BETWEEN_FLUSHES == 0:
            for state in optimizer.state.values():
                for mean in (state.get("exp_avg"), state.get("momentum_buffer")):
                    if mean is not None:
                        mean = torch.view_as_real(mean) if mean.is_complex() else mean
                        mean.copy_(nn.functional.hardshrink(mean, _MIN_MEAN_GRADIENT))


def _finish(net):
    """Check a trained net, move it to the CPU, and free the memory of its optimizer and rows."""
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
