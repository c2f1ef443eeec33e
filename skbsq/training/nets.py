"""Build heads and skorch nets by a recipe."""

import torch
from sklearn.base import clone
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from skbsq import nn as sq
from skbsq.nn.joint import first_linear
from skbsq.nn.losses import LOSSES, RegressionLoss
from skbsq.nn.randomness import own_randomness
from skbsq.training.schedules import TemperatureSchedule

# Limit of max_epochs="auto" with patience and a constant learning rate.
_MAX_AUTO_EPOCHS = 1000
_SQUARED_ERROR = RegressionLoss()


def head_of(recipe, n_inputs, n_outputs, *, n_rows=1, n_members=1):
    """Build the untrained head of a recipe.

    Parameters
    ----------
    recipe : Recipe
    n_inputs, n_outputs : int
    n_rows : int, default=1
        Number of training rows. The dropout of the default head depends on it.
    n_members : int, default=1
        Number of networks that the default head averages.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        If the user's head does not fit.
    """
    if recipe.own_net:
        given = recipe.head.get_params_for("module")
        for name in {"n_inputs", "n_outputs"} & given.keys():
            raise ValueError(f"module__{name} is set from the data: remove it from the skorch net.")
        return sq.build_head(recipe.head.module, n_inputs, n_outputs, **given)
    if recipe.head is not None:
        return sq.build_head(recipe.head, n_inputs, n_outputs)
    given = {"dropout": recipe.dropout_for(n_rows), "hidden_sizes": recipe.checked_sizes()}
    if n_members > 1:
        return sq.Ensemble(n_inputs, n_outputs, n_members=n_members, **given).float()
    return sq.MLP(n_inputs, n_outputs, **given).float()


def begins_with_linear(recipe, n_bits, n_outputs):
    """Return whether the head of a recipe reads its bits with a linear layer.

    Parameters
    ----------
    recipe : Recipe
    n_bits : ndarray of int64 of shape (d,)
    n_outputs : int

    Returns
    -------
    bool
    """
    if recipe.head is None:
        return True
    with own_randomness(0, recipe.trained_on):
        return first_linear(head_of(recipe, max(1, int((2**n_bits - 1).sum())), n_outputs)) is not None


def net_of(recipe, module, task, n_outputs, *, max_epochs=None, n_rows=1, device=None):
    """Build a skorch net around a joint net: a copy of the user's net, or the default net.

    Parameters
    ----------
    recipe : Recipe
    module : JointNet
    task : {"regression", "classification"}
    n_outputs : int
    max_epochs : int, default=None
        For the default net. None: the max_epochs of the recipe.
    n_rows : int, default=1
        Number of training rows. The batch size depends on it.
    device : torch.device, default=None
        None: the device of the recipe.

    Returns
    -------
    skorch.NeuralNet
        Not initialized.
    """
    device = str(recipe.trained_on if device is None else device)
    if recipe.own_net:
        net, groups, lr = _copy_of(recipe.head, module, n_outputs, device)
    else:
        epochs = max_epochs or (_MAX_AUTO_EPOCHS if recipe.max_epochs == "auto" else recipe.max_epochs)
        net = default_net(
            module,
            task,
            loss=recipe.regression_loss,
            lr=recipe.lr,
            max_epochs=epochs,
            batch_size=recipe.batch_size_for(n_rows),
            weight_decay=recipe.weight_decay,
            device=device,
        )
        groups, lr = [], recipe.lr
    if any(True for _ in module.quantization.parameters()):
        groups = [("quantization.*", {"lr": lr * recipe.lr_ratio, "weight_decay": 0.0}), *groups]
    if groups:
        net.set_params(optimizer__param_groups=groups)
    return net


def _copy_of(given, module, n_outputs, device):
    """Build a net like the user's around a module; return it, its groups of parameters, and its learning rate."""
    # A new net, because skorch does not allow to replace the module of a net.
    kept = clone(given).get_params(deep=False)
    kept = {key: value for key, value in kept.items() if not key.startswith(("module", "iterator_"))}
    net = type(given)(module=module, **{**kept, "device": device})
    if isinstance(net, NeuralNetClassifier) and net.classes is None:
        net.classes = list(range(n_outputs))  # skorch cannot infer them from batches
    optimizer = net.get_params_for("optimizer")
    groups = [(f"head.{pattern}", group) for pattern, group in optimizer.get("param_groups", [])]
    return net, groups, optimizer.get("lr", net.lr)


def default_net(module, task, *, lr, max_epochs, batch_size, weight_decay, device="cpu", loss=_SQUARED_ERROR):
    """Build the skorch net around a module, if the user gives none.

    Parameters
    ----------
    module : nn.Module
    task : {"regression", "classification"}
    lr : float
    max_epochs, batch_size : int
    weight_decay : float
    device : str, default="cpu"
    loss : RegressionLoss, default=RegressionLoss()

    Returns
    -------
    skorch.NeuralNet
        Not initialized.
    """
    return NeuralNet(
        module,
        criterion=nn.CrossEntropyLoss if task == "classification" else LOSSES[loss.name],
        **{f"criterion__{name}": value for name, value in loss.parameters.items()},
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__fused=True,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        device=device,
    )


def add_schedules(recipe, net, n_batches):
    """Add the schedules of temperature and learning rate of a recipe to a net.

    Parameters
    ----------
    recipe : Recipe
    net : skorch.NeuralNet
        Not initialized; changed in place.
    n_batches : int
        Batches per epoch.
    """
    callbacks = [] if net.callbacks in (None, "disable") else list(net.callbacks)
    if hasattr(net.module.quantization, "temperature"):
        start, end = recipe.temperature_start, recipe.temperature_end
        callbacks.append(TemperatureSchedule(recipe.temperature_schedule, start=start, end=end))
    n_steps = net.max_epochs * n_batches
    # A cycle of a single step would use the lowest rate.
    if not recipe.own_net and recipe.lr_schedule == "one-cycle" and n_steps > 1:
        groups = net.get_params_for("optimizer").get("param_groups", [])
        peaks = [*(group.get("lr", recipe.lr) for _, group in groups), recipe.lr]
        callbacks.append(
            LRScheduler(OneCycleLR, max_lr=peaks, total_steps=n_steps, step_every="batch", event_name=None)
        )
    net.callbacks = callbacks
