"""The default head, and checks for others."""

import copy
import inspect
import math

import torch
from torch import nn

N_BYTES = 256


def random_bytes(shape):
    """Draw random bytes on the CPU, from torch's generator.

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
    """Return the factor that keeps the mean of the units if `dropped` of 256 units are dropped."""
    return N_BYTES / (N_BYTES - dropped)


class ByteDropout(nn.Dropout):
    """Dropout with one random byte per unit on the CPU, where that of torch takes longer than a small layer.

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
        """Number of units dropped on the CPU, of 256."""
        return round(N_BYTES * self.p)

    def forward(self, x):
        if not self.training or x.device.type != "cpu" or not 0 < self.dropped < N_BYTES:
            return super().forward(x)
        kept = random_bytes(x.shape) >= self.dropped
        return x * kept.to(x.dtype).mul_(rescaling(self.dropped))


class MLP(nn.Sequential):
    """A network of ReLU layers with dropout and a linear output layer.

    Parameters
    ----------
    n_inputs, n_outputs : int
    hidden_sizes : sequence of int, default=(256, 256, 256)
    dropout : float, default=0.0
        Probability to drop a unit of a hidden layer in training.

    See Also
    --------
    Ensemble : Several such networks, averaged.

    Notes
    -----
    Shape: (n, n_inputs) float32 to (n, n_outputs) float32, for n rows.

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
            layers += [nn.Linear(n_inputs, size), *_activation(dropout)]
            n_inputs = size
        super().__init__(*layers, nn.Linear(n_inputs, n_outputs))


def _activation(dropout):
    return [nn.ReLU(), ByteDropout(dropout)] if dropout else [nn.ReLU()]


class MemberLinear(nn.Module):
    """Linear layers side by side, one per member. Each reads only the units of its member.

    Parameters
    ----------
    weight : Tensor of shape (n_members, n_inputs, n_outputs)
    bias : Tensor of shape (n_members * n_outputs,)

    Notes
    -----
    Shape: (n, n_members * n_inputs) to (n, n_members * n_outputs), one member after the other.
    """

    def __init__(self, weight, bias):
        super().__init__()
        n_members, n_inputs, n_outputs = weight.shape
        self.in_features, self.out_features = n_members * n_inputs, n_members * n_outputs
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    @classmethod
    def drawn(cls, n_members, n_inputs, n_outputs):
        """Return layers with random weights, of the distribution of `nn.Linear`."""
        bound = 1 / math.sqrt(n_inputs)
        weight = torch.empty(n_members, n_inputs, n_outputs).uniform_(-bound, bound)
        return cls(weight, torch.empty(n_members * n_outputs).uniform_(-bound, bound))

    def forward(self, x):
        by_member = x.view(len(x), len(self.weight), -1).transpose(0, 1)
        return torch.bmm(by_member, self.weight).transpose(0, 1).flatten(1) + self.bias


class MemberMean(nn.Module):
    """Average the outputs of the members; in training return all of them, in shape (n, n_members, n_outputs)."""

    def __init__(self, n_members):
        super().__init__()
        self.n_members = n_members

    def forward(self, x):
        by_member = x.view(len(x), self.n_members, -1)
        return by_member if self.training else by_member.mean(1)


class Ensemble(nn.Sequential):
    """Average the outputs of several networks like `MLP`, which read the same inputs and are trained side by side.

    Training minimizes the mean of the members' losses, see `skbsq.nn.losses.rows_of_members`. The members start from
    different weights and drop different units, so their errors partly cancel out.

    Parameters
    ----------
    n_inputs, n_outputs : int
    n_members : int
    hidden_sizes : sequence of int
        Hidden layers of each member; at least one.
    dropout : float, default=0.0
        Probability to drop a unit of a hidden layer in training.

    See Also
    --------
    MLP : A single network.

    Notes
    -----
    Shape: (n, n_inputs) float32 to (n, n_outputs) float32, for n rows; in training to (n, n_members, n_outputs).

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn import Ensemble
    >>> head, x = Ensemble(10, 1, n_members=2, hidden_sizes=(4,)), torch.ones(3, 10)
    >>> head(x).shape, head.eval()(x).shape
    (torch.Size([3, 2, 1]), torch.Size([3, 1]))
    >>> torch.allclose(head.folded()(x), head(x), atol=1e-6)
    True
    """

    def __init__(self, n_inputs, n_outputs, *, n_members, hidden_sizes, dropout=0.0):
        first, *others = hidden_sizes
        layers: list[nn.Module] = [nn.Linear(n_inputs, n_members * first)]
        for n_units, size in zip(hidden_sizes, [*others, n_outputs], strict=True):
            layers += [*_activation(dropout), MemberLinear.drawn(n_members, n_units, size)]
        super().__init__(*layers, MemberMean(n_members))

    def folded(self):
        """Return the same function as a single network, in which no unit reads the units of other members.

        Returns
        -------
        MLP
        """
        first, *others, last = (module for module in self if isinstance(module, nn.Linear | MemberLinear))
        sizes = [layer.out_features for layer in (first, *others)]
        dropout = next((module.p for module in self if isinstance(module, ByteDropout)), 0.0)
        n_members = self[-1].n_members
        mlp = MLP(first.in_features, last.out_features // n_members, hidden_sizes=sizes, dropout=dropout)
        linears = [module for module in mlp if isinstance(module, nn.Linear)]
        with torch.no_grad():
            linears[0].load_state_dict(first.state_dict())
            for linear, layer in zip(linears[1:], others, strict=False):
                linear.weight.copy_(torch.block_diag(*layer.weight).T)
                linear.bias.copy_(layer.bias)
            linears[-1].weight.copy_(last.weight.flatten(0, 1).T / n_members)
            linears[-1].bias.copy_(last.bias.view(n_members, -1).mean(0))
        return mlp.train(self.training)


def unfolded(linear):
    """Return the same function as a layer of `Ensemble.folded`, without the weights between members, which are zero.

    Parameters
    ----------
    linear : nn.Linear
        With bias.

    Returns
    -------
    MemberLinear or nn.Linear
        The layer itself if its weights are not those of several members.

    Examples
    --------
    >>> from torch import nn
    >>> from skbsq.nn import Ensemble
    >>> from skbsq.nn.heads import unfolded
    >>> mlp = Ensemble(3, 1, n_members=2, hidden_sizes=(4, 4)).folded()
    >>> unfolded(mlp[2]).weight.shape, unfolded(nn.Linear(4, 4)).weight.shape
    (torch.Size([2, 4, 4]), torch.Size([4, 4]))
    """
    n_outputs, n_inputs = linear.weight.shape
    unit, source = linear.weight.detach().nonzero(as_tuple=True)
    for n_members in range(math.gcd(n_outputs, n_inputs), 1, -1):
        sizes = n_inputs // n_members, n_outputs // n_members
        if n_outputs % n_members == n_inputs % n_members == 0 and torch.equal(source // sizes[0], unit // sizes[1]):
            blocks = linear.weight.detach().T.view(n_members, sizes[0], n_members, sizes[1])
            weight = blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1).contiguous()
            return MemberLinear(weight, linear.bias.detach().clone())
    return linear


def start_at(head, constant):
    """Set the last bias, so that the initial outputs are near a constant.

    Parameters
    ----------
    head : MLP or Ensemble
        Changed in place.
    constant : Tensor of shape (n_outputs,)
    """
    last = [module for module in head if isinstance(module, nn.Linear | MemberLinear)][-1]
    with torch.no_grad():
        last.bias.view(-1, constant.numel()).copy_(constant)


def shrink_output(mlp, share, constant):
    """Shrink the outputs towards a constant.

    Parameters
    ----------
    mlp : MLP
        Changed in place.
    share : float
        Fraction of the difference that remains.
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
    """Make the head and check its sizes.

    Parameters
    ----------
    head : nn.Module instance, or class or callable (n_inputs, n_outputs) -> nn.Module
        An instance is copied, so that every fit starts from the same weights.
    n_inputs, n_outputs : int
    **kwargs
        Passed to a class or callable. With an instance its class is called.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        If `head` does not accept (n_inputs, n_outputs), or does not turn (n, n_inputs) into (n, n_outputs).

    Examples
    --------
    >>> from torch import nn
    >>> from skbsq.nn import build_head
    >>> build_head(nn.Linear, 3, 1)
    Linear(in_features=3, out_features=1, bias=True)
    """
    if isinstance(head, nn.Module) and not kwargs:
        built = copy.deepcopy(head)
    elif callable(head):
        # With an instance and module__ parameters skorch also calls the class.
        factory = type(head) if isinstance(head, nn.Module) else head
        built = _call_with_sizes(factory, n_inputs, n_outputs, kwargs)
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
    # Other names: use the first two parameters, unless they have defaults and so mean something else.
    first = [
        p
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty and p.name not in kwargs
    ]
    if len(first) < 2 and not any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        raise ValueError(
            f"head {factory!r} must take (n_inputs, n_outputs), which here are ({n_inputs}, {n_outputs}): give two "
            "of its parameters these names, or pass an instance that already has these sizes."
        )
    return factory(n_inputs, n_outputs, **kwargs)


def _check_shapes(head, n_inputs, n_outputs):
    training = head.training
    head.eval()  # turns dropout off, and batch norm keeps its statistics
    try:
        with torch.no_grad():
            output = head(torch.zeros(2, n_inputs, dtype=torch.float32))
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"head cannot read {n_inputs} inputs per row, which this fit has: {error}") from error
    finally:
        head.train(training)
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"head must return one tensor of outputs, got {type(output).__name__}: return only the outputs from its "
            "forward method."
        )
    if not output.is_floating_point():
        raise ValueError(f"head must return floats, got {output.dtype}.")
    if (shape := tuple(output.shape)) != (2, n_outputs):
        raise ValueError(
            f"head has the wrong output shape: for 2 rows it returned {shape} instead of (2, {n_outputs}), one column "
            "per target or class."
        )
