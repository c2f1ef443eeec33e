"""A training step for bits and a head of linear and ReLU layers, written in NumPy.

It computes the loss and the gradients that autograd computes for `BitwiseQuantization` or `Thermometer` and such a
head. With small layers, torch spends most of its time between operations. NumPy operations start several times as
fast, and each writes to the same memory in every step. All arrays have one row of the batch per column, so that the
values of one bit or of one unit are contiguous. Large batches are split into parts, which run in as many threads as
torch uses. The result does not depend on the number of threads.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.special import xlogy
from threadpoolctl import ThreadpoolController
from torch import nn

from skbsq import _forks
from skbsq.nn.heads import N_BYTES, ByteDropout, MemberLinear, MemberMean, rescaling
from skbsq.nn.joint import JointNet, has_hooks
from skbsq.nn.layers import BitwiseQuantization, Thermometer
from skbsq.nn.levels import LevelLinear
from skbsq.nn.losses import PinballLoss, PoissonLoss, WeightedLoss, criterion_type, row_criterion

_ROWS_PER_PART = 256
# Training that diverges is detected from its weights, not from warnings.
_quiet = np.errstate(over="ignore", invalid="ignore")
_FAR = np.finfo(np.float32).max


def _squared(criterion, output, y):
    difference = output - y
    return np.square(difference), 2 * difference


def _absolute(criterion, output, y):
    difference = output - y
    return np.abs(difference), np.sign(difference)


def _huber(criterion, output, y):
    difference, delta = output - y, np.float32(criterion.delta)
    slope = np.clip(difference, -delta, delta)
    return slope * (difference - slope / 2), slope


def _pinball(criterion, output, y):
    difference, quantile = output - y, np.float32(criterion.quantile)
    slope = np.where(difference < 0, -quantile, 1 - quantile)
    return slope * difference, slope


def _poisson(criterion, output, y):
    rate = np.exp(output)
    return rate - y * output + (xlogy(y, y) - y), rate - y


# The loss and its derivative for each output, by the criterion of a regression.
_DIFFERENTIATED = {
    nn.MSELoss: _squared,
    nn.L1Loss: _absolute,
    nn.HuberLoss: _huber,
    PinballLoss: _pinball,
    PoissonLoss: _poisson,
}


class BitsStep:
    """Compute the gradients of a net's loss inside a with block, and store them where the optimizer reads them.

    Inside the block, the parameters of each group of the optimizer are contiguous in memory, and so are their
    gradients; weights are stored input by input. The optimizer sees each group as one parameter, so that its step is
    one operation.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialized, and accepted by `takes`. Its optimizer treats each number separately, and has made no step.
    """

    def __init__(self, net):
        self.optimizer, self.criterion = net.optimizer_, net.criterion_
        self.criterion_by_row = row_criterion(net)
        self.layer, self.outputs = net.module_.quantization, net.module_.quantization.outputs
        first = net.module_.head[0]
        self.levels = first if isinstance(first, LevelLinear) else None
        self.linears, self.dropouts, self.n_members = _layers(net.module_.head)
        self.is_trained = [*map(_is_trained, self.linears)]
        self.trains_thresholds = hasattr(self.layer, "theta")
        self.columns = self.outputs.columns.numpy()
        self.feature = self.outputs.feature.numpy()
        self.missing_outputs = self.outputs.missing_outputs.numpy()
        self.missing_features = self.outputs.missing_features.numpy()
        self.soft = self.layer.soft_columns() if self.trains_thresholds else np.zeros(self.outputs.n_columns, bool)
        self.soft = np.append(self.soft, False)[self.columns]
        # Where one-hot bits go off again.
        self.ends = self._by_output(self.layer.ends().detach().numpy(), np.inf) if self.layer.has_one_hot else None
        self.free_buffers: dict = defaultdict(list)  # by number of rows
        self._parts: dict = {}  # by number of rows

    @staticmethod
    def takes(net):
        """Whether `BitsStep` can train a net.

        Parameters
        ----------
        net : skorch.NeuralNet
            Initialized.

        Returns
        -------
        bool
        """
        module = net.module_
        return (
            isinstance(module, JointNet)
            and type(module.quantization) in (BitwiseQuantization, Thermometer)
            and not any(map(has_hooks, module.modules()))
            and all(p.dtype == torch.float32 and p.is_cpu for p in module.parameters())
            and _layers(module.head) is not None
            and _is_trained(nn.ModuleList([module.quantization, module.head[0]]))
            and all(_is_trained(layer) is not None for layer in module.head)
            and criterion_type(net) in (*_DIFFERENTIATED, nn.CrossEntropyLoss)
        )

    def __enter__(self):
        self._merge_parameters()
        n_threads = 1 if _forks.in_child() else torch.get_num_threads()
        self._stack = ExitStack()
        self._stack.enter_context(_blas().limit(limits=1, user_api="blas"))
        if n_threads > 1:
            # Idle threads of torch would slow down the threads of the pool.
            self._stack.callback(torch.set_num_threads, n_threads)
            torch.set_num_threads(1)
        self._pool = self._stack.enter_context(ThreadPoolExecutor(n_threads)) if n_threads > 1 else None
        self.weights = [_by_input(linear.weight) for linear in self.linears]
        self.biases = [None if linear.bias is None else _by_input(linear.bias) for linear in self.linears]
        self.grad_weights = [
            _by_input(linear.weight.grad) if is_trained else None
            for linear, is_trained in zip(self.linears, self.is_trained, strict=True)
        ]
        self.grad_biases = [
            linear.bias.grad.numpy() if is_trained and linear.bias is not None else None
            for linear, is_trained in zip(self.linears, self.is_trained, strict=True)
        ]
        self._first = self.weights[0], self.biases[0]
        if self.levels is not None:
            self.weights[0] = np.empty_like(self.weights[0])
            self._weighted_increments = np.empty_like(self.weights[0])
            parts = self.levels.level_weight, self.levels.level_weight.grad, self.levels.rises, self.levels.lowest
            self._level_weight, self._grad_level, self._increments, self._lowest = map(_by_input, parts)
            if not self.outputs.block:
                entries = self._increments, (self.levels.feature.numpy(), np.arange(self._increments.size))
                self._to_levels = csr_array(entries, shape=(self._lowest.size, self._increments.size))
        if not self.trains_thresholds:
            self.thresholds = self._by_output(self.layer.column_thresholds().numpy(), np.inf)
        else:
            self._theta, self._grad_theta = self.layer.theta.detach().numpy(), self.layer.theta.grad.numpy()
        return self

    def _merge_parameters(self):
        """Move the parameters and gradients of each group of the optimizer into one piece of memory."""
        groups = self.optimizer.param_groups
        self._given = [group["params"] for group in groups]
        for group in groups:
            trained = [parameter for parameter in group["params"] if parameter.requires_grad]
            sizes = [parameter.numel() for parameter in trained]
            whole = nn.Parameter(torch.zeros(sum(sizes)))
            whole.grad = torch.zeros_like(whole)
            for parameter, *pieces in zip(trained, whole.data.split(sizes), whole.grad.split(sizes), strict=True):
                value, grad = (_transposed(piece.view(_transposed(parameter).shape)) for piece in pieces)
                value.copy_(parameter.data)
                parameter.data, parameter.grad = value, grad
            group["params"] = [whole]

    def __exit__(self, *exception):
        self._stack.close()
        for group, parameters in zip(self.optimizer.param_groups, self._given, strict=True):
            group["params"] = parameters
            for parameter in parameters:
                parameter.data, parameter.grad = parameter.data.clone(memory_format=torch.contiguous_format), None

    def begin_epoch(self):
        """Draw the seed of the dropout of an epoch from torch's generator."""
        seed = int(torch.randint(2**62, ()))
        # The k-th part of every batch draws from the k-th generator.
        self.generator_of_part = cache(lambda k: np.random.SFC64(np.random.SeedSequence([seed, k])))

    def __call__(self, x, y):
        """Compute the loss of a batch, and its gradients.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d), or (n, 2 d) with the scaled values behind the raw values
        y : Tensor, or tuple of tensors
            As the criterion takes it.

        Returns
        -------
        float
            The loss. The gradient of each parameter is in its ``grad``.
        """
        n_rows = len(x)
        if n_rows not in self._parts:
            edges = np.linspace(0, n_rows, max(1, round(n_rows / _ROWS_PER_PART)) + 1).astype(int).tolist()
            self._parts[n_rows] = [_Part(self, k, slice(*edges[k : k + 2])) for k in range(len(edges) - 1)]
        parts = self._parts[n_rows]
        self._update(x, y)
        run_all = map if self._pool is None or len(parts) == 1 else self._pool.map
        losses = list(run_all(_Part.run, parts))
        self._gather(parts)
        return sum(losses)

    def loss(self, output, rows):
        """Compute the part of some rows in the loss, and its gradient for their outputs of shape (k, n)."""
        y, share = self.y[rows], np.float32(1 / len(self.y))
        shape, output = output.shape, output.reshape(self.n_members, -1, output.shape[1])
        if y.dtype != np.int64:
            differentiated = _DIFFERENTIATED[type(self.criterion_by_row)]
            losses, grad = differentiated(self.criterion_by_row, output, y.reshape(len(y), -1).T)
            losses = losses.mean((0, 1))
            grad *= np.float32(1 / shape[0])
        else:
            chosen = slice(None), y, np.arange(len(y))
            shifted = output - output.max(1, keepdims=True)
            shares = np.exp(shifted)
            total = shares.sum(1)
            losses, grad = (np.log(total) - shifted[chosen]).mean(0), shares / total[:, None]
            grad[chosen] -= 1
            grad *= np.float32(1 / self.n_members)
        if self.row_weights is not None:
            losses *= self.row_weights[rows]
            grad *= self.row_weights[rows]
        grad *= share
        return float(losses.sum(dtype=np.float64)) * float(share), grad.reshape(shape)

    @_quiet
    def _update(self, x, y):
        """Set the rows of a batch, and what all rows share: thresholds, and the weights of the first layer."""
        layer, d = self.layer, self.layer.n_features
        self.x = x[:, :d].numpy()
        y, weights = y if isinstance(self.criterion, WeightedLoss) else (y, None)
        self.y, self.row_weights = y.numpy(), None if weights is None else weights.numpy()
        if self.trains_thresholds:
            self.thresholds = self._by_output(layer.raw_thresholds().numpy(), np.inf)
            self.half = np.float32(0.5 / layer.temperature)
            self.z = (x[:, d:] if x.shape[1] > d else layer.scaled(x)).numpy()
            self.scaled_thresholds = self._by_output(self._theta * self.half, _FAR)
        if self.levels is not None:
            weight, bias = self._first
            if self.outputs.block:
                shape, out = (len(self._level_weight), self.outputs.block, -1), self.weights[0]
                np.multiply(self._level_weight[:, None], self._increments.reshape(shape), out=out.reshape(shape))
            else:
                np.copyto(self.weights[0], self._to_levels.T @ self._level_weight)
            self.weights[0] += weight
            at_lowest = self._lowest @ self._level_weight
            self.biases[0] = at_lowest if bias is None else bias + at_lowest

    def _by_output(self, by_column, fill):
        """Pick the values of the columns for each input of the head; `fill` for inputs without a threshold."""
        padded = np.full(self.outputs.n_columns + 1, fill, dtype=np.float32)
        padded[: by_column.size] = by_column
        picked = padded.take(self.columns)
        return picked.reshape(-1, self.outputs.block, 1) if self.outputs.block else picked[:, None]

    @_quiet
    def _gather(self, parts):
        """Sum the gradients of the parts, and pass them on to the parameters."""
        first, *others = parts
        for other in others:
            for total, more in zip(first.gradients, other.gradients, strict=True):
                total += more
        if self.levels is not None:
            grad = self._grad_level
            if self.outputs.block:
                weighted = np.multiply(self.grad_weights[0], self._increments[:, None], out=self._weighted_increments)
                weighted.reshape(len(grad), self.outputs.block, -1).sum(1, out=grad)
            else:
                np.copyto(grad, self._to_levels @ self.grad_weights[0])
            grad += self._lowest[:, None] * first.grad_biases[0]
        if self.trains_thresholds:
            by_column = np.bincount(self.columns, first.threshold_grad, minlength=self.outputs.n_columns + 1)
            np.multiply(by_column[: self._grad_theta.size], -self.half / 2, out=self._grad_theta, casting="same_kind")


class _Part:
    """Compute the gradients of some rows of a batch."""

    def __init__(self, step, k, rows):
        self.step, self.k, self.rows = step, k, rows
        # The first part writes where the optimizer reads. A layer that is not trained has no gradients.
        self.grad_weights = [
            grad if k == 0 or grad is None else np.empty_like(weight)
            for grad, weight in zip(step.grad_weights, step.weights, strict=True)
        ]
        self.grad_biases = [
            bias if (k == 0 and bias is not None) or not is_trained else np.empty(linear.out_features, dtype=np.float32)
            for bias, linear, is_trained in zip(step.grad_biases, step.linears, step.is_trained, strict=True)
        ]
        # By output of the layer, and up to the factor that `BitsStep` applies.
        self.threshold_grad = np.empty(step.linears[0].in_features if step.trains_thresholds else 0, dtype=np.float32)
        gradients = *self.grad_weights, *self.grad_biases, self.threshold_grad
        self.gradients = [grad for grad in gradients if grad is not None]

    @_quiet
    def run(self):
        """Compute the gradients, and return the part of these rows in the loss."""
        n_rows = self.rows.stop - self.rows.start
        free = self.step.free_buffers[n_rows]
        buffers = free.pop() if free else _Buffers(self.step, n_rows)
        self._forward(buffers)
        loss, grad = self.step.loss(buffers.units[-1], self.rows)
        self._backward(buffers, grad)
        free.append(buffers)
        return loss

    def _forward(self, buffers):
        step = self.step
        x = np.ascontiguousarray(step.x[self.rows].T)
        np.greater(self._spread(x), step.thresholds, out=buffers.is_above)
        if step.ends is not None:
            buffers.is_above &= self._spread(x) <= step.ends
        np.copyto(buffers.feed, buffers.is_above)
        if step.trains_thresholds:
            z = np.multiply(step.z[self.rows].T, step.half, order="C")
            np.subtract(self._spread(z), step.scaled_thresholds, out=buffers.tanh)
            np.tanh(buffers.tanh, out=buffers.tanh)
            # sigmoid(u) = (1 + tanh(u / 2)) / 2
            if step.layer.all_soft:
                np.multiply(buffers.tanh, np.float32(0.5), out=buffers.feed)
                buffers.feed += np.float32(0.5)
            elif not step.layer.hard:
                np.copyto(buffers.feed, (buffers.tanh + 1) / 2, where=step.soft.reshape(*buffers.feed.shape[:-1], 1))
        hidden = buffers.feed.reshape(-1, buffers.n_rows)
        if step.missing_outputs.size:
            hidden[step.missing_outputs] = np.isnan(x[step.missing_features])
        for k, (weight, bias) in enumerate(zip(step.weights, step.biases, strict=True)):
            np.matmul(weight.swapaxes(-2, -1), _by_member(hidden, weight), out=_by_member(buffers.units[k], weight))
            hidden = buffers.units[k]
            if bias is not None:
                hidden += bias[:, None]
            if k < len(step.dropouts):
                np.maximum(hidden, 0, out=hidden)
                if n_dropped := _n_dropped(step.dropouts[k]):
                    np.greater_equal(self._random_bytes(hidden.shape), n_dropped, out=buffers.is_on[k])
                    hidden *= buffers.is_on[k]
                    hidden *= np.float32(rescaling(n_dropped))

    def _backward(self, buffers, grad):
        step = self.step
        for k in reversed(range(len(step.weights))):
            weight, hidden = step.weights[k], buffers.units[k - 1] if k else buffers.feed.reshape(-1, buffers.n_rows)
            by_member = _by_member(grad, weight)
            if step.is_trained[k]:
                np.matmul(_by_member(hidden, weight), by_member.swapaxes(-2, -1), out=self.grad_weights[k])
                np.matmul(grad, buffers.ones, out=self.grad_biases[k])
            if k == 0:
                break
            grad = buffers.grads[k - 1]
            np.matmul(weight, by_member, out=_by_member(grad, weight))
            # A unit that is off or dropped is zero.
            grad *= np.greater(hidden, 0, out=buffers.is_on[k - 1])
            if n_dropped := _n_dropped(step.dropouts[k - 1]):
                grad *= np.float32(rescaling(n_dropped))
        if step.trains_thresholds:
            product = np.matmul(step.weights[0], grad, out=buffers.product)
            # The slope of the sigmoid is (1 - tanh^2) / 4.
            slopes = np.subtract(1, np.square(buffers.tanh, out=buffers.tanh), out=buffers.tanh)
            product *= slopes.reshape(product.shape)
            np.matmul(product, buffers.ones, out=self.threshold_grad)
            self.threshold_grad[step.missing_outputs] = 0

    def _spread(self, by_feature):
        """Repeat the values of features for each of their inputs of the head."""
        return by_feature[:, None] if self.step.outputs.block else by_feature.take(self.step.feature, axis=0)

    def _random_bytes(self, shape):
        size = int(np.prod(shape))
        return self.step.generator_of_part(self.k).random_raw(-(-size // 8)).view(np.uint8)[:size].reshape(shape)


class _Buffers:
    """Hold the arrays of the work on a part of a batch."""

    def __init__(self, step, n_rows):
        n_inputs, block = step.linears[0].in_features, step.outputs.block
        shape = (step.layer.n_features, block, n_rows) if block else (n_inputs, n_rows)
        self.n_rows, self.ones = n_rows, np.ones(n_rows, dtype=np.float32)
        self.feed, self.is_above = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=bool)
        if step.trains_thresholds:
            self.tanh, self.product = np.empty_like(self.feed), np.empty((n_inputs, n_rows), dtype=np.float32)
        self.units = [np.empty((linear.out_features, n_rows), dtype=np.float32) for linear in step.linears]
        self.grads = [np.empty_like(units) for units in self.units[:-1]]
        self.is_on = [np.empty(units.shape, dtype=bool) for units in self.grads]


def _transposed(tensor):
    """Swap (units, inputs) and (inputs, units) of a weight; other tensors stay unchanged."""
    return tensor.T if tensor.ndim == 2 else tensor


def _by_input(tensor):
    """View a tensor as an array, a weight as (inputs, units)."""
    return _transposed(tensor.detach()).numpy()


def _by_member(rows, weight):
    """View (units, n) as (members, units, n) if the weight of a layer has members."""
    return rows if weight.ndim == 2 else rows.reshape(len(weight), -1, rows.shape[1])


def _layers(head):
    """Take a head apart.

    Returns
    -------
    (linears, dropouts, n_members) or None
        The linear layers; for each of them but the last the dropout behind its ReLU, or None; and the number of
        members. None if the head contains anything else.
    """
    if type(head).forward is not nn.Sequential.forward:
        return None
    layers = list(head)
    n_members = layers.pop().n_members if layers and type(layers[-1]) is MemberMean else 1
    if layers and type(layers[0]) is LevelLinear:
        layers[0] = layers[0].own
    linears, dropouts = [], []
    while layers and type(layers[0]) in (nn.Linear, MemberLinear):
        linears.append(layers.pop(0))
        if not layers:
            return linears, dropouts, n_members
        if type(layers.pop(0)) is not nn.ReLU:
            return None
        has_dropout = layers and type(layers[0]) is ByteDropout and layers[0].dropped < N_BYTES
        dropouts.append(layers.pop(0) if has_dropout else None)
    return None


def _is_trained(module):
    """Whether the parameters of a module are trained; None if only some are."""
    kinds = {parameter.requires_grad for parameter in module.parameters()} or {True}
    return kinds.pop() if len(kinds) == 1 else None


def _n_dropped(dropout):
    """How many of `N_BYTES` bytes drop a unit; 0 without dropout."""
    return dropout.dropped if dropout is not None and dropout.training else 0


@cache
def _blas():
    return ThreadpoolController()
