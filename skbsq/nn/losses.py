"""Criteria: losses by name, row weights, and the scale of targets and outputs that a criterion implies."""

import copy
from dataclasses import dataclass

import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional as F

_SCALE_FREE = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)
_ONE_LOGIT = (nn.BCELoss, nn.BCEWithLogitsLoss)


class PinballLoss(nn.Module):
    """Penalize predictions below the target by `quantile`, and predictions above it by ``1 - quantile``.

    The prediction that minimizes it is the conditional quantile.

    Parameters
    ----------
    quantile : float
        In (0, 1).
    reduction : {"mean", "none"}, default="mean"

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.losses import PinballLoss
    >>> PinballLoss(0.75, reduction="none")(torch.tensor([1.0, 9.0]), torch.tensor([5.0, 5.0]))
    tensor([3., 1.])
    """

    def __init__(self, quantile, reduction="mean"):
        super().__init__()
        self.quantile = quantile
        self.reduction = reduction

    def forward(self, prediction, y):
        missed = y - prediction
        losses = torch.where(missed > 0, self.quantile * missed, (self.quantile - 1) * missed)
        return _reduced(losses, self.reduction)


class PoissonLoss(nn.Module):
    """Half the Poisson deviance, of predictions that are logarithms of rates.

    Its gradient is that of the negative log-likelihood. It is 0 if the rate equals the target.

    Parameters
    ----------
    reduction : {"mean", "none"}, default="mean"

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.losses import PoissonLoss
    >>> PoissonLoss(reduction="none")(torch.log(torch.tensor([2.0, 2.0])), torch.tensor([2.0, 0.0]))
    tensor([0., 2.])
    """

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, prediction, y):
        return _reduced(prediction.exp() - y * prediction + (torch.xlogy(y, y) - y), self.reduction)


def _reduced(losses, reduction):
    return losses.mean() if reduction == "mean" else losses


LOSSES = {
    "squared_error": nn.MSELoss,
    "absolute_error": nn.L1Loss,
    "huber": nn.HuberLoss,
    "poisson": PoissonLoss,
    "quantile": PinballLoss,
}


@dataclass(frozen=True)
class RegressionLoss:
    """A loss of regression by its name.

    Parameters
    ----------
    name : str, default="squared_error"
        A key of `LOSSES`.
    quantile : float, default=0.5
        For "quantile".

    Examples
    --------
    >>> from skbsq.nn.losses import RegressionLoss
    >>> RegressionLoss("quantile", 0.9).criterion(reduction="none").quantile
    0.9
    """

    name: str = "squared_error"
    quantile: float = 0.5

    @property
    def parameters(self):
        """Parameters of the criterion: a dict."""
        return {"quantile": self.quantile} if self.name == "quantile" else {}

    def criterion(self, reduction="mean"):
        """Build the criterion, an nn.Module."""
        return LOSSES[self.name](**self.parameters, reduction=reduction)


class WeightedLoss(nn.Module):
    """Weight the rows of a criterion.

    Parameters
    ----------
    criterion : nn.Module
        Built with reduction="none".
    of_probabilities : bool, default=False
        Take the logarithm of the prediction first, as skorch's classifier does for NLLLoss.

    Notes
    -----
    Shape: (n, k) predictions, and a pair of (n, ...) targets and (n,) weights, to a scalar, for n rows and k outputs.
    The result is the mean over rows of weight * loss, so weights of mean 1 keep the scale of the loss.

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn import WeightedLoss
    >>> loss = WeightedLoss(torch.nn.MSELoss(reduction="none"))
    >>> loss(torch.tensor([[1.0], [3.0]]), (torch.zeros(2, 1), torch.tensor([2.0, 0.0])))
    tensor(1.)
    """

    def __init__(self, criterion, *, of_probabilities=False):
        super().__init__()
        self.criterion = criterion
        self.of_probabilities = of_probabilities

    def forward(self, prediction, target):
        y, weights = target
        if self.of_probabilities:
            prediction = torch.log(prediction + torch.finfo(prediction.dtype).eps)
        loss = self.criterion(prediction, y)
        return (loss.reshape(len(weights), -1).mean(1) * weights).mean()


def rows_of_members(output, target):
    """Turn the outputs of an ensemble's members into rows, so that a criterion accepts them.

    The mean loss of these rows is the mean of the members' losses. If the loss of the mean output were minimized
    instead, the members would learn to compensate for each other.

    Parameters
    ----------
    output : Tensor of shape (n, n_members, k), or (n, k) without members
    target : Tensor of shape (n, ...), or pair of targets and row weights

    Returns
    -------
    output : Tensor of shape (n * n_members, k)
    target : Tensor or pair of tensors

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.losses import rows_of_members
    >>> output, target = rows_of_members(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[2.0]]))
    >>> torch.nn.MSELoss()(output, target)
    tensor(1.)
    """
    if output.ndim < 3:
        return output, target
    n_members = output.shape[1]
    if isinstance(target, tuple):
        return output.flatten(0, 1), tuple(part.repeat_interleave(n_members, 0) for part in target)
    return output.flatten(0, 1), target.repeat_interleave(n_members, 0)


def weigh_rows(net):
    """Make the criterion of an unfitted skorch net accept row weights.

    Parameters
    ----------
    net : skorch.NeuralNet
        Changed in place.

    Raises
    ------
    ValueError
        If the criterion does not accept reduction="none".
    """
    given, kwargs = net.criterion, net.get_params_for("criterion")
    kind = criterion_type(net)
    try:
        if isinstance(given, nn.Module) and not kwargs:
            unreduced = copy.deepcopy(given)
            unreduced.reduction  # noqa: B018  raises AttributeError if there is none
            unreduced.reduction = "none"
        else:
            unreduced = kind(**{**kwargs, "reduction": "none"})
    except (AttributeError, TypeError):
        raise ValueError(
            f'sample_weight and class_weight need a criterion that accepts reduction="none"; {kind.__name__} does '
            "not. Omit the weights, or use a criterion with a loss per row."
        ) from None
    for key in kwargs:
        delattr(net, f"criterion__{key}")
    net.set_params(
        criterion=WeightedLoss,
        criterion__criterion=unreduced,
        criterion__of_probabilities=isinstance(net, NeuralNetClassifier) and isinstance(unreduced, nn.NLLLoss),
    )


def criterion_type(net):
    """Return the class of a net's criterion (or the callable that makes it), without the row weights around it."""
    criterion = net.criterion
    if criterion is WeightedLoss:
        criterion = net.criterion__criterion
    return type(criterion) if isinstance(criterion, nn.Module) else criterion


def _is_one_of(net, kinds):
    kind = criterion_type(net)
    return isinstance(kind, type) and issubclass(kind, kinds)


def standardizes_target(net):
    """Return whether training standardizes the target: only for losses of differences."""
    return _is_one_of(net, _SCALE_FREE)


def has_known_loss(net):
    """Return whether the criterion of a regression is a loss of differences, or one of `LOSSES`."""
    return _is_one_of(net, (*_SCALE_FREE, *LOSSES.values()))


def row_criterion(net):
    """Return the criterion of an initialized net for a regression, without the mean over the rows.

    Parameters
    ----------
    net : skorch.NeuralNet

    Returns
    -------
    nn.Module
        Squared differences, if the criterion is of another class than those of `has_known_loss`.
    """
    criterion = net.criterion_
    criterion = criterion.criterion if isinstance(criterion, WeightedLoss) else criterion
    known = type(criterion) in (*_SCALE_FREE, *LOSSES.values())
    criterion = copy.deepcopy(criterion) if known else nn.MSELoss()
    criterion.reduction = "none"
    return criterion


def row_losses(criterion, output, target):
    """Compute the loss of each row.

    Parameters
    ----------
    criterion : nn.Module
        Of a regression, see `row_criterion`. Classes have the cross-entropy.
    output : Tensor of shape (n, k)
    target : Tensor of shape (n, k), or of int64 of shape (n,)

    Returns
    -------
    Tensor of shape (n,)

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.losses import row_losses
    >>> row_losses(torch.nn.L1Loss(reduction="none"), torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    tensor([1.5000])
    """
    if target.dtype == torch.int64:
        return F.cross_entropy(output, target, reduction="none")
    return criterion(output, target).mean(1)


def check_class_criterion(net):
    """Reject criteria that need one logit per row: heads have one output per class, two for a binary target."""
    if _is_one_of(net, _ONE_LOGIT):
        raise ValueError(
            f"criterion {criterion_type(net).__name__} needs a single output, but the head has one per class, two for "
            "a binary target: use torch.nn.CrossEntropyLoss."
        )


def output_kind(net):
    """Return the kind of a classifier's outputs, by the rules of skorch.

    Parameters
    ----------
    net : skorch.NeuralNet

    Returns
    -------
    {"logit", "log-probability", "probability"} or callable
        Depends on ``predict_nonlinearity``: None means probabilities, and a callable is returned. "auto" means logits,
        unless the criterion is NLLLoss: its heads return probabilities in a NeuralNetClassifier, and log-probabilities
        in other nets.
    """
    if net.predict_nonlinearity is None:
        return "probability"
    if callable(net.predict_nonlinearity):
        return net.predict_nonlinearity
    if _is_one_of(net, nn.NLLLoss):
        return "probability" if isinstance(net, NeuralNetClassifier) else "log-probability"
    return "logit"


def predicts_logarithm(net):
    """Return whether the outputs of a net are logarithms of rates."""
    return _is_one_of(net, PoissonLoss)


def predictions(net, output, mean, scale):
    """Convert the output of a regression head to the units of the target.

    Parameters
    ----------
    net : skorch.NeuralNet
        Its ``predict_nonlinearity`` is applied last, if it is a callable.
    output : Tensor of float64 of shape (n, k)
    mean, scale : ndarray of float64 of shape (k,)
        The target is ``output * scale + mean``, for a Poisson loss ``exp(output) * scale + mean``.

    Returns
    -------
    Tensor of float64 of shape (n, k)
    """
    output = output.exp() if predicts_logarithm(net) else output
    output = output * torch.tensor(scale) + torch.tensor(mean)  # copies, because the arrays may be read-only
    return net.predict_nonlinearity(output) if callable(net.predict_nonlinearity) else output


def probabilities(net, output):
    """Convert the head's output to class probabilities.

    Parameters
    ----------
    net : skorch.NeuralNet
    output : Tensor of shape (n, k)

    Returns
    -------
    Tensor of shape (n, k)
    """
    kind = output_kind(net)
    if callable(kind):
        return kind(output)
    if kind == "logit":
        return torch.softmax(output, dim=-1)
    return output.exp() if kind == "log-probability" else output


def log_probabilities(net, output):
    """Convert the head's output to logarithms of class probabilities.

    Parameters
    ----------
    net : skorch.NeuralNet
    output : Tensor of shape (n, k)

    Returns
    -------
    Tensor of shape (n, k)
        Finite for logits, even if a probability rounds to 0.
    """
    kind = output_kind(net)
    if kind == "logit":
        return torch.log_softmax(output, dim=-1)
    return output if kind == "log-probability" else probabilities(net, output).log()
