"""Resume an interrupted training: what a checkpoint keeps of it, and how it is restored."""

import copy

import torch
from skorch.history import History

from skbsq.nn.randomness import random_states, set_random_states
from skbsq.training.checkpoint import is_plain
from skbsq.training.identity import structure_of


class ResumableTraining:
    """One training and its slot in a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
    net : skorch.NeuralNet
        Initialized, before its first epoch.
    generator : torch.Generator
        Draws the order of the rows.

    Raises
    ------
    ValueError
        If the slot holds the state of another net.
    """

    def __init__(self, checkpoint, net, generator):
        self.checkpoint, self.net, self.generator = checkpoint, net, generator
        self.slot = checkpoint.next_slot()
        self.known = checkpoint.recall(self.slot)
        try:
            if self.known is not None and self.known["structure"] != structure_of(net.module_):
                raise ValueError("it holds another net than the one that head builds now.")
            self.finished = self.known is not None and self.known["further"] is None
        except (KeyError, TypeError, ValueError) as error:
            raise _misfit(error) from error

    def keep(self, rounding):
        """Save the state after a whole epoch.

        Parameters
        ----------
        rounding : FlushSubnormals

        Raises
        ------
        ValueError
            If the state of a callback cannot be saved.
        """
        net = self.net
        further = {
            "optimizers": {name: getattr(net, f"{name}_").state_dict() for name in net._optimizers},
            "random": random_states(torch.device(net.device)),
            "order": self.generator.get_state(),
            "steps": rounding.steps,
        }
        self.checkpoint.keep(self.slot, {**self._state(), "further": further})

    def finish(self, best_epoch):
        """Keep only the trained net. The file receives it with the next epoch of another training.

        Parameters
        ----------
        best_epoch : int or None
        """
        self.checkpoint.keep(self.slot, {**self._state(), "best_epoch": best_epoch, "further": None}, write=False)

    def restore(self, rounding=None):
        """Restore the saved state of the net; without one, the net stays as it is.

        Parameters
        ----------
        rounding : FlushSubnormals, default=None
            None if training is finished.

        Returns
        -------
        int or None
            Best epoch of a finished training.

        Raises
        ------
        ValueError
            If the state belongs to another net.
        """
        if self.known is None:
            return None
        state, net = self.known, self.net
        try:
            for name, module in _modules(net).items():
                put_state(module, state["modules"][name])
            trainable = set(state["trainable"])
            for name, parameter in net.module_.named_parameters():
                parameter.requires_grad_(name in trainable)
            further = state["further"]
            for name, callback in _with_state(net):
                _restore_callback(state["callbacks"][name], callback, trains=further is not None)
            if further is not None:
                for name in net._optimizers:
                    getattr(net, f"{name}_").load_state_dict(further["optimizers"][name])
                self.generator.set_state(further["order"])
                set_random_states(further["random"], torch.device(net.device))
                rounding.steps = further["steps"]
            net.history = History({**row, "batches": []} for row in state["history"])
            return state.get("best_epoch")
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise _misfit(error) from error

    def _state(self):
        net = self.net
        return {
            "structure": structure_of(net.module_),
            "modules": {name: copied_state(module) for name, module in _modules(net).items()},
            "trainable": [name for name, parameter in net.module_.named_parameters() if parameter.requires_grad],
            "history": [{name: value for name, value in row.items() if name != "batches"} for row in net.history],
            "callbacks": {name: _callback_state(name, callback) for name, callback in _with_state(net)},
        }


def _misfit(error):
    return ValueError(f"The checkpoint does not match this fit; delete it to start again: {error}")


def copied_state(module):
    """Copy everything that training may change: the state dict, and the buffers that it lacks.

    Parameters
    ----------
    module : nn.Module

    Returns
    -------
    dict
        Two dicts of tensors by name, "state" and "buffers".
    """
    state = {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
        for name, value in module.state_dict().items()  # a module may put any object into it
    }
    buffers = {name: value.detach().clone() for name, value in module.named_buffers() if name not in state}
    return {"state": state, "buffers": buffers}


def put_state(module, state):
    """Restore in place the result of `copied_state`."""
    module.load_state_dict(state["state"])
    for name, kept in state["buffers"].items():
        path, _, buffer = name.rpartition(".")
        owner = module.get_submodule(path)
        now = getattr(owner, buffer)  # None if training created it
        setattr(owner, buffer, kept if now is None else kept.to(now.device))


def _modules(net):
    return {name: getattr(net, f"{name}_") for name in [*net._modules, *net._criteria]}


def _with_state(net):
    """Callbacks whose state affects the result."""
    return [(name, callback) for name, callback in net.callbacks_ if not getattr(callback, "only_shows", False)]


def _callback_state(name, callback):
    """Plain values of a callback, and the state dicts of its attributes that have one, such as a schedule."""
    values, states = {}, {}
    for key, value in vars(callback).items():
        if hasattr(value, "state_dict") and not isinstance(value, type):
            states[key] = value.state_dict()
        elif is_plain(value):
            values[key] = value
        elif not callable(value) and key not in callback.get_params(deep=False):
            raise ValueError(
                f"A checkpoint cannot hold {key!r} of the callback {name!r}, of type {type(value).__name__}: leave the "
                "callback out, or set checkpoint=None."
            )
    return {"values": values, "states": states}


def _restore_callback(state, callback, *, trains):
    for key, value in state["values"].items():
        setattr(callback, key, value)
    for key, value in state["states"].items() if trains else ():  # a schedule exists only once training begins
        getattr(callback, key).load_state_dict(value)
