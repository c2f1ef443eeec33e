"""Nested rates: coarse codebooks of one model, which share its thresholds and its head.

A coarse codebook has some of the thresholds of the fine one, so that a device can choose the rate row by row. For each
rate the head gets a first layer of its own. It begins as the mean of the fine one over the merged levels, and is then
trained while all other weights stay. So the fine model predicts what it did before, and rates do not disturb each
other.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
from torch import nn

from skbsq.budget import allocate_bits
from skbsq.codebook.codebook import Codebook
from skbsq.nn.joint import JointNet
from skbsq.training.budget import WideModel
from skbsq.training.feeds import codebook_feed
from skbsq.training.rows import Rows

# Epochs of a first layer, as a share of those of the fine model.
_SHARE_OF_EPOCHS = 0.5
# Rows on which it is measured which levels differ most.
_MAX_ROWS = 4096


@dataclass(frozen=True)
class Rate:
    """A coarse codebook, and the net that reads its codes.

    Parameters
    ----------
    codebook : Codebook
    module : JointNet
        On the CPU, in evaluation mode. Behind the first layer it has the layers of the fine model.

    See Also
    --------
    learn_rates : Learns rates, and has an example.
    """

    codebook: Codebook
    module: JointNet


def learn_rates(learner, learned, rates, *, as_budgets=False):
    """Learn coarse codebooks of a trained model, and what its head reads for their codes.

    Parameters
    ----------
    learner : Learner
        The learner of the model, with its rows in memory.
    learned : Learned
        The model. Its head must begin with a linear layer that reads bits.
    rates : sequence of int
        Maximum number of bits per feature at each rate.
    as_budgets : bool, default=False
        Rates are budgets instead: bits per row, split over the features where they lower the loss most. A feature then
        has no more bits at a lower rate than at a higher one.

    Returns
    -------
    dict int -> Rate
        From the highest to the lowest rate. The thresholds of each are among those of the rates before it, and among
        those of the model.

    Raises
    ------
    ValueError
        If the rows come in chunks, the head does not begin with a linear layer of bits, or training diverges.

    See Also
    --------
    skbsq.Codebook.recode : Codes at a high rate as codes at a lower one.

    Notes
    -----
    Merged are the levels that matter least to the first layer, see `skbsq.training.budget`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq.training import Bits, Learner, Recipe, Rows, RuleStart, learn_rates
    >>> X, y = make_friedman1(200, random_state=0)
    >>> rows = Rows(X.astype(np.float32), y, np.ones(200), "regression")
    >>> learner = Learner(rows, Recipe(max_epochs=3), seed=0)
    >>> learned = learner.learn(Bits(), np.full(10, 4), RuleStart("quantile"))
    >>> rates = learn_rates(learner, learned, [1, 2])
    >>> [(rate, learned.codebook.is_refinement_of(coarse.codebook)) for rate, coarse in rates.items()]
    [(2, True), (1, True)]
    >>> codes = learned.codebook.recode(learned.codebook.encode(X), rates[1].codebook)
    >>> bool((codes == rates[1].codebook.encode(X)).all())
    True
    """
    rows, scaling = learner.rows, (learned.target_mean, learned.target_scale)
    _check_can_learn_rates(rows, learned)
    sample = rows.some(np.random.RandomState(0).permutation(rows.n_rows)[:_MAX_ROWS])
    epochs = math.ceil(_SHARE_OF_EPOCHS * len(learned.net.history))
    shared = learned.net.module_.head
    model, found = WideModel.of(learned, sample), {}
    for rate in sorted(rates, reverse=True):
        n_bits = allocate_bits(model.costs(), rate) if as_budgets else np.minimum(model.n_bits, rate)
        thresholds, head = model.narrowed(n_bits)
        has_missing = model.book.has_missing & (n_bits > 0)
        book = rows.codebook(thresholds, has_missing=has_missing, levels="mean")
        feed = codebook_feed(rows, book, n_bits, level_inputs=False)
        module = JointNet(feed.layer, _with_fixed_layers(head), column_map=feed.column_map)
        net = learner.tune(module, scaling, epochs, description=f"rate {rate}")
        model = WideModel(book, net, *scaling, sample)
        head = _with_first(shared, net.module_.head)
        found[rate] = Rate(book, JointNet(net.module_.quantization, head, column_map=feed.column_map).eval())
    return found


def _check_can_learn_rates(rows, learned):
    if not isinstance(rows, Rows):
        raise ValueError("rates need all rows in memory: fit on some of the rows.")
    if learned.codebook is None or learned.net.module_.first_table() is None:
        raise ValueError(
            "rates need a head that begins with a linear layer of bits, which each rate has of its own: put an "
            "nn.Linear first, or use the default head."
        )


def _with_fixed_layers(head):
    """Keep the weights behind the first layer as they are."""
    for layer in list(head)[1:] if isinstance(head, nn.Sequential) else ():
        layer.requires_grad_(False)
    return head


def _with_first(shared, tuned):
    """Put the first layer of a tuned head in front of the layers of another head, which are not copied."""
    if not isinstance(shared, nn.Sequential):
        return tuned
    head = copy.copy(shared)
    head._modules = {**shared._modules, "0": tuned[0]}
    return head
