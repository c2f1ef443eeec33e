"""Heads and skorch nets by a recipe."""

import torch
from sklearn.base import clone
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn

from skbsq import nn as sq
from skbsq.training.schedules import TemperatureSchedule

# With patience, a constant rate and max_epochs="auto".
MOST_EPOCHS = 1000


def head_of(recipe, n_inputs, n_outputs, *, n_rows=1, n_members=1):
    """The head that a recipe asks for, untrained.

    Parameters
    ----------
    recipe : Recipe
    n_inputs, n_outputs : int
    n_rows : int, default=1
        Training rows, on which the dropout of the default head depends.
    n_members : int, default=1
        Networks that the default head averages.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        For a head of the user's that does not fit.
    """
    if recipe.own_net:
        given = recipe.head.get_params_for("module")
        for name in {"n_inputs", "n_outputs"} & given.keys():
            raise ValueError(f"module__{name} is set from the data: leave it out of the skorch net.")
        return sq.build_head(recipe.head.module, n_inputs, n_outputs, **given)
    if recipe.head is not None:
        return sq.build_head(recipe.head, n_inputs, n_outputs)
    given = {"dropout": recipe.dropout_for(n_rows), "hidden_sizes": recipe.checked_sizes()}
    if n_members > 1:
        return sq.Ensemble(n_inputs, n_outputs, n_members=n_members, **given).float()
    return sq.MLP(n_inputs, n_outputs, **given).float()


def net_of(recipe, module, task, n_outputs, *, max_epochs=None, n_rows=1, device=None):
    """The skorch net around a joint net: the user's, or one of our parameters.

    Parameters
    ----------
    recipe : Recipe
    module : JointNet
    task : {"regression", "classification"}
    n_outputs : int
    max_epochs : int, default=None
        Of one of ours. None: those of the recipe.
    n_rows : int, default=1
        Training rows, on which the batch size depends.
    device : torch.device, default=None
        None: that of the recipe.

    Returns
    -------
    skorch.NeuralNet
        Not initialized.
    """
    device = str(recipe.trained_on if device is None else device)
    if recipe.own_net:
        net, groups, lr = _copy_of(recipe.head, module, n_outputs, device)
    else:
        epochs = max_epochs or (MOST_EPOCHS if recipe.max_epochs == "auto" else recipe.max_epochs)
        net = default_net(
            module,
            task,
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
    """A net like the user's around a module; its groups of parameters, and its learning rate."""
    # Built anew: skorch lets no module be put into a net that has one.
    kept = clone(given).get_params(deep=False)
    kept = {key: value for key, value in kept.items() if not key.startswith(("module", "iterator_"))}
    net = type(given)(module=module, **{**kept, "device": device})
    if isinstance(net, NeuralNetClassifier) and net.classes is None:
        net.classes = list(range(n_outputs))  # it cannot infer them from batches
    optimizer = net.get_params_for("optimizer")
    groups = [(f"head.{pattern}", group) for pattern, group in optimizer.get("param_groups", [])]
    return net, groups, optimizer.get("lr", net.lr)


def default_net(module, task, *, lr, max_epochs, batch_size, weight_decay, device="cpu"):
    """The skorch net around a module, where the user gives none.

    Parameters
    ----------
    module : nn.Module
    task : {"regression", "classification"}
    lr : float
    max_epochs, batch_size : int
    weight_decay : float
    device : str, default="cpu"

    Returns
    -------
    skorch.NeuralNet
        Not initialized.
    """
    return NeuralNet(
        module,
        criterion=nn.CrossEntropyLoss if task == "classification" else nn.MSELoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__fused=True,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        device=device,
    )


def add_schedules(recipe, net, n_batches):
    """Have a net follow the temperature and the learning rate of a recipe.

    Parameters
    ----------
    recipe : Recipe
    net : skorch.NeuralNet
        Not initialized; changed in place.
    n_batches : int
        Of an epoch.
    """
    callbacks = [] if net.callbacks in (None, "disable") else list(net.callbacks)
    if hasattr(net.module.quantization, "temperature"):
        ends = {"start": recipe.temperature_start, "end": recipe.temperature_end}
        callbacks.append(TemperatureSchedule(recipe.temperature_schedule, **ends))
    n_steps = net.max_epochs * n_batches
    # The only step of a cycle of one would be at its least rate.
    if not recipe.own_net and recipe.lr_schedule == "one-cycle" and n_steps > 1:
        peaks = [group.get("lr", recipe.lr) for _, group in net.get_params_for("optimizer").get("param_groups", [])]
        callbacks.append(
            LRScheduler(
                torch.optim.lr_scheduler.OneCycleLR,
                max_lr=[*peaks, recipe.lr],
                total_steps=n_steps,
                step_every="batch",
                event_name=None,
            )
        )
    net.callbacks = callbacks
