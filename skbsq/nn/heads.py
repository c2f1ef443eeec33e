"""The head: what reads the bits and predicts."""

import copy
import inspect
import math

import torch
from torch import nn

N_BYTES = 256


def random_bytes(shape):
    """Random bytes on the CPU, from torch's generator.

    Parameters
    ----------
    shape : tuple of int

    Returns
    -------
    Tensor of uint8
    """
    size = math.prod(shape)
    return torch.empty(-(-size // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)[:size].view(shape)


def rescaling(dropped):
    """What units are multiplied by where `dropped` of 256 are dropped, so that their mean stays."""
    return N_BYTES / (N_BYTES - dropped)


class ByteDropout(nn.Dropout):
    """Dropout that spends one random byte per unit on the CPU, where the usual one takes longer than a small layer.

    Parameters
    ----------
    p : float
        Probability to drop a unit, rounded to a multiple of 1/256 on the CPU.

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.heads import ByteDropout
    >>> dropout = ByteDropout(0.5)
    >>> sorted(set(dropout(torch.ones(100)).tolist()))
    [0.0, 2.0]
    >>> bool((dropout.eval()(torch.ones(100)) == 1).all())
    True
    """

    @property
    def dropped(self):
        """How many of 256 units are dropped on the CPU."""
        return round(N_BYTES * self.p)

    def forward(self, x):
        if not self.training or x.device.type != "cpu" or not 0 < self.dropped < N_BYTES:
            return super().forward(x)
        kept = random_bytes(x.shape) >= self.dropped
        return x * kept.to(x.dtype).mul_(rescaling(self.dropped))


class MLP(nn.Sequential):
    """ReLU layers with dropout, and a linear one at the end.

    Parameters
    ----------
    n_inputs, n_outputs : int
    hidden_sizes : sequence of int, default=(256, 256, 256)
    dropout : float, default=0.0
        Probability to drop a unit of a hidden layer in training.

    Notes
    -----
    Shape: (n, n_inputs) float32 to (n, n_outputs) float32.

    Examples
    --------
    >>> from skbsq.nn import MLP
    >>> MLP(10, 1, hidden_sizes=(4,))
    MLP(
      (0): Linear(in_features=10, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=1, bias=True)
    )
    """

    def __init__(self, n_inputs, n_outputs, *, hidden_sizes=(256, 256, 256), dropout=0.0):
        layers: list[nn.Module] = []
        for size in hidden_sizes:
            layers += [nn.Linear(n_inputs, size), nn.ReLU()]
            if dropout:
                layers.append(ByteDropout(dropout))
            n_inputs = size
        super().__init__(*layers, nn.Linear(n_inputs, n_outputs))


def start_at(mlp, constant):
    """Set the last bias, near which the outputs begin.

    Parameters
    ----------
    mlp : MLP
        Changed in place.
    constant : Tensor of shape (n_outputs,)
    """
    with torch.no_grad():
        mlp[-1].bias.copy_(constant)


def shrink_output(mlp, share, constant):
    """Shrink the outputs towards a constant.

    Parameters
    ----------
    mlp : MLP
        Changed in place.
    share : float
        What remains of the difference.
    constant : Tensor of shape (n_outputs,)

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn import MLP
    >>> from skbsq.nn.heads import shrink_output
    >>> mlp, x, constant = MLP(3, 2, hidden_sizes=()), torch.ones(1, 3), torch.tensor([1.0, -1.0])
    >>> before = mlp(x)
    >>> shrink_output(mlp, 0.5, constant)
    >>> torch.allclose(mlp(x) - constant, (before - constant) / 2)
    True
    """
    with torch.no_grad():
        mlp[-1].weight.mul_(share)
        mlp[-1].bias.copy_(torch.lerp(constant.to(mlp[-1].bias), mlp[-1].bias, share))


def build_head(head, n_inputs, n_outputs, **kwargs):
    """Make the head and check that it fits.

    Parameters
    ----------
    head : nn.Module instance, or class or callable (n_inputs, n_outputs) -> nn.Module
        An instance is copied, so that every fit starts from the weights it was given.
    n_inputs, n_outputs : int
    **kwargs
        Passed to a class or callable.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        If it does not take (n_inputs, n_outputs), or does not turn (n, n_inputs) into (n, n_outputs).

    Examples
    --------
    >>> from torch import nn
    >>> from skbsq.nn import build_head
    >>> build_head(nn.Linear, 3, 1)
    Linear(in_features=3, out_features=1, bias=True)
    """
    if isinstance(head, nn.Module):
        if kwargs:
            # As skorch does with an instance and module__ parameters.
            built = _call_with_sizes(type(head), n_inputs, n_outputs, kwargs)
        else:
            built = copy.deepcopy(head)
    elif callable(head):
        built = _call_with_sizes(head, n_inputs, n_outputs, kwargs)
    else:
        raise ValueError(
            "head must be None, an nn.Module class or instance, a callable (n_inputs, n_outputs) -> module, or a "
            f"skorch NeuralNet, got {head!r}."
        )
    if not isinstance(built, nn.Module):
        raise ValueError(f"head must give an nn.Module, got {built!r} from {head!r}.")
    _check_shapes(built, n_inputs, n_outputs)
    return built


def _call_with_sizes(factory, n_inputs, n_outputs, kwargs):
    sizes = {"n_inputs": n_inputs, "n_outputs": n_outputs}
    parameters = inspect.signature(factory).parameters
    if parameters.keys() >= sizes.keys():
        return factory(**sizes, **kwargs)
    # Not by these names: as the first two, unless they have defaults and so mean something else.
    first = [
        p
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty and p.name not in kwargs
    ]
    if len(first) < 2 and not any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        raise ValueError(
            f"head {factory!r} must take (n_inputs, n_outputs), which here are ({n_inputs}, {n_outputs}): name two "
            "parameters so, or give an instance that already has these sizes."
        )
    return factory(n_inputs, n_outputs, **kwargs)


def _check_shapes(head, n_inputs, n_outputs):
    training = head.training
    head.eval()  # no dropout, and batch norm leaves its statistics alone
    try:
        with torch.no_grad():
            output = head(torch.zeros(2, n_inputs, dtype=torch.float32))
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"head cannot read {n_inputs} inputs a row, which is what it gets here: {error}") from error
    finally:
        head.train(training)
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"head must return one tensor of outputs, got {type(output).__name__}: return the outputs alone from its "
            "forward."
        )
    if not output.is_floating_point():
        raise ValueError(f"head must return floats, got {output.dtype}.")
    if (shape := tuple(output.shape)) != (2, n_outputs):
        raise ValueError(
            f"head has the wrong output shape: for 2 rows it gave {shape}, but (2, {n_outputs}) is needed, one column "
            "per target or class."
        )
