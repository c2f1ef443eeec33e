"""Other heads in place of the default one, and other lengths of training, for predictors that learn bits.

A head given as a callable reads no levels, and its weights are not averaged. So these heads replace the default head
inside the learner instead, and keep everything else of the recipe.
"""

from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

import pandas as pd
import torch
from torch import nn

from skbsq import BitwiseQuantizer
from skbsq.nn import Ensemble
from skbsq.nn.heads import MemberLinear
from skbsq.training import Learner, length
from skbsq.training.step import BitsStep


class AdapterLinear(nn.Module):
    """A first layer that members share; each member scales the features by its adapter first.

    Parameters
    ----------
    shared : LevelLinear
        Layer of n_inputs bits to m units.
    n_members : int
    own_outputs : bool, default=False
        Members also scale their units, and have their own biases.

    Attributes
    ----------
    adapter : Parameter of shape (n_members, d)
        Starts as random signs.

    Notes
    -----
    Shape: (n, n_inputs) to (n, n_members * m), one member after the other. An adapter scales the table of a feature,
    so m sums per member read the tables that all members share.
    """

    def __init__(self, shared, n_members, *, own_outputs=False):
        super().__init__()
        self.shared = shared
        self.in_features, self.out_features = shared.own.in_features, n_members * shared.out_features
        d = shared.lowest.numel()
        self.adapter = nn.Parameter(torch.randint(2, (n_members, d)).float() * 2 - 1)
        self.scale = nn.Parameter(torch.ones(n_members, shared.out_features)) if own_outputs else None
        self.offset = nn.Parameter(torch.zeros(n_members, shared.out_features)) if own_outputs else None

    @property
    def weight(self):
        """Weights of the bits: Tensor of shape (n_members * m, n_inputs)."""
        weight = self.adapter[:, None, self.shared.feature] * self.shared.weight
        return (weight if self.scale is None else weight * self.scale[:, :, None]).flatten(0, 1)

    @property
    def bias(self):
        """Biases, including the lowest levels: Tensor of shape (n_members * m,)."""
        bias = (self.adapter * self.shared.lowest) @ self.shared.level_weight.T
        if self.scale is not None:
            bias = bias * self.scale + self.offset
        return (bias + self.shared.own.bias).flatten()

    def forward(self, x):
        return nn.functional.linear(x, self.weight, self.bias)


class SharedLinear(nn.Module):
    """A hidden layer that members share.

    Parameters
    ----------
    linear : nn.Linear
    n_members : int
    adapters : bool, default=False
        Members scale their inputs and outputs, and have their own biases.

    Notes
    -----
    Shape: (n, n_members * n_inputs) to (n, n_members * n_outputs), one member after the other.
    """

    def __init__(self, linear, n_members, *, adapters=False):
        super().__init__()
        self.n_members = n_members
        self.in_features, self.out_features = n_members * linear.in_features, n_members * linear.out_features
        shape = (n_members if adapters else 1, 1)
        self.shared = nn.Parameter(linear.weight.detach().clone())
        self.shared_bias = nn.Parameter(linear.bias.detach().repeat(shape))
        self.before = nn.Parameter(torch.ones(n_members, linear.in_features)) if adapters else None
        self.after = nn.Parameter(torch.ones(n_members, linear.out_features)) if adapters else None

    @property
    def weight(self):
        """Weights of each member: Tensor of shape (n_members, n_inputs, n_outputs)."""
        weight = self.shared.T.expand(self.n_members, -1, -1)
        return weight if self.before is None else weight * self.before[:, :, None] * self.after[:, None]

    @property
    def bias(self):
        """Biases: Tensor of shape (n_members * n_outputs,)."""
        return self.shared_bias.expand(self.n_members, -1).flatten()

    def forward(self, x):
        by_member = x.view(len(x), self.n_members, -1)
        if self.before is None:
            return nn.functional.linear(by_member, self.shared, self.shared_bias[0]).flatten(1)
        return (nn.functional.linear(by_member * self.before, self.shared) * self.after + self.shared_bias).flatten(1)


class AdapterEnsemble(Ensemble):
    """Average networks that share their weights, but not their output layers: TabM (arXiv 2410.24210).

    Parameters
    ----------
    one : MLP
        Untrained; its hidden layers are shared. It begins with a `LevelLinear`.
    members : Ensemble
        Untrained, of the same sizes. It gives the output layers.
    kind : {"mini", "full", "own first layers"}
        Where the members differ beside the output layers. "mini": adapters of the features. "full": also adapters of
        the units and biases in every hidden layer. "own first layers": first layers, without adapters.

    Notes
    -----
    Shape: as `Ensemble`.
    """

    def __init__(self, one, members, kind="mini"):
        n_members, full = members[-1].n_members, kind == "full"
        layers = list(members)
        if kind != "own first layers":
            layers[0] = AdapterLinear(one[0], n_members, own_outputs=full)
        last = len(one) - 1
        for k, layer in enumerate(one):
            if 0 < k < last and isinstance(layer, nn.Linear):
                layers[k] = SharedLinear(layer, n_members, adapters=full)
        nn.Sequential.__init__(self, *layers)

    def folded(self):
        """Return the same function as a single network, as `Ensemble.folded` does."""
        kinds = nn.Linear | MemberLinear | AdapterLinear | SharedLinear
        *hidden, last = (layer for layer in self if isinstance(layer, kinds))
        n_members = self[-1].n_members
        sizes = {"hidden_sizes": [layer.out_features // n_members for layer in hidden], "n_members": n_members}
        members = Ensemble(hidden[0].in_features, last.out_features // n_members, **sizes)
        with torch.no_grad():
            own = (layer for layer in members if isinstance(layer, kinds))
            for layer, given in zip(own, [*hidden, last], strict=True):
                layer.weight.copy_(given.weight)
                layer.bias.copy_(given.bias)
        return members.train(self.training).folded()


class ChangedLearner(Learner):
    """Learn with a changed head or length of training.

    Parameters
    ----------
    *args : see `Learner`
    n_members : int, default=None
        Networks that the final head averages. None: as in the recipe.
    adapters : str, default=None
        Kind of `AdapterEnsemble`. None: the members share no weights.
    sizes : list of int, default=None
        Hidden layers of the final head. None: as in the recipe.
    search_members : bool, default=False
        Search the length of training with the final head, in place of a single network.
    search_steps : int, default=None
        Steps of the search, whatever the held-out losses. None: as in the recipe.
    longer : int, default=1
        The final training is this many times as long as the search found.
    numpy_step : bool, default=True
        Use the step in NumPy where it can train the head.
    """

    def __init__(
        self,
        *args,
        n_members=None,
        adapters=None,
        sizes=None,
        search_members=False,
        search_steps=None,
        longer=1,
        numpy_step=True,
    ):
        super().__init__(*args)
        self.n_members, self.adapters, self.sizes = n_members, adapters, sizes
        self.search_members, self.search_steps = search_members, search_steps
        self.longer, self.numpy_step = longer, numpy_step

    def _joint_net(self, feed, constant, n_members=None):
        if n_members is None and not self.search_members:
            return super()._joint_net(feed, constant)
        sizes, n_members = self.sizes or self.recipe.hidden_sizes, self.n_members or n_members
        builder = Learner(self.rows, replace(self.recipe, hidden_sizes=sizes), self.seed)
        net = builder._joint_net(feed, constant, n_members)
        if self.adapters is not None:
            net.head = AdapterEnsemble(builder._joint_net(feed, constant).head, net.head, self.adapters)
        return net

    def _find_epochs(self, *args):
        steps = self.search_steps
        limits = nullcontext() if steps is None else patch.multiple(length, _MIN_STEPS=steps, _MAX_STEPS=steps)
        with limits:
            epochs, tried = super()._find_epochs(*args)
        if tried is None:
            return epochs, tried
        final = self.longer * epochs
        if final not in tried["epochs"].to_numpy():
            tried = pd.concat([tried, tried[tried["epochs"] == epochs].assign(epochs=final)])  # with its share
        return final, tried

    def _train_net(self, *args, **kwargs):
        slow = nullcontext() if self.numpy_step else patch.object(BitsStep, "takes", lambda net: False)
        with slow:
            return super()._train_net(*args, **kwargs)


class ChangedQuantizer(BitwiseQuantizer):
    """Learn with a `ChangedLearner`; as `quantizer` of a predictor, which otherwise keeps its defaults.

    Parameters
    ----------
    n_bits : int
    change : dict
        Keyword arguments of `ChangedLearner`.
    """

    def __init__(self, n_bits=4, *, change=None):
        super().__init__(n_bits)
        self.change = change

    def _learner(self, rows, checkpoint, recipe=None):
        learner = super()._learner(rows, checkpoint, recipe)
        return ChangedLearner(rows, learner.recipe, learner.seed, checkpoint, **self.change)


def members_alone(n_inputs, n_outputs):
    """Build the default head of few rows as a head of one's own, which reads no levels."""
    return Ensemble(n_inputs, n_outputs, n_members=4, hidden_sizes=(128, 128), dropout=0.1)


HEADS = {"four members": members_alone}


def with_objects(training, bits):
    """Replace what a plan can only name by objects.

    Parameters
    ----------
    training : dict
        Parameters of a predictor. "head" may be a key of `HEADS`, and "change" a dict for `ChangedQuantizer`.
    bits : int

    Returns
    -------
    dict
        Parameters of a predictor.
    """
    training = dict(training)
    if "head" in training:
        training["head"] = HEADS[training["head"]]
    if "change" in training:
        training["quantizer"] = ChangedQuantizer(bits, change=training.pop("change"))
    return training
