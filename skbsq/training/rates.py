"""Nested rates: coarse codebooks of one model, which share its thresholds and its head.

A coarse codebook has some of the thresholds of the fine one, so that a device can choose the rate row by row. For each
rate the head gets a first layer of its own. It begins as the mean of the finer one over the merged levels, and is then
trained while all other weights stay. So the fine model predicts what it did before, and rates do not disturb each
other.
"""

import copy
import math
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import torch
from torch import nn

from skbsq.budget import allocate_bits
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.guards import inner_thresholds
from skbsq.nn.heads import unfolded
from skbsq.nn.joint import JointNet, first_linear, has_hooks
from skbsq.nn.layers import Thermometer
from skbsq.training.budget import WideModel
from skbsq.training.feeds import codebook_feed
from skbsq.training.nets import begins_with_linear
from skbsq.training.rate_thresholds import FEW_BITS, nested_thresholds
from skbsq.training.rows import Rows

# Epochs of a first layer, as a share of those of the fine model: with few bits per feature, and with more. A model that
# learns where thresholds of few bits belong has the former too.
_SHARE_OF_EPOCHS, _SHARE_WITH_MORE_BITS = 0.75, 0.5
# Rows on which it is measured which levels differ most.
_MAX_ROWS = 4096
_NEEDS_LINEAR = (
    "rates need a head that begins with a linear layer of bits, because each rate has its own first layer: put an "
    "nn.Linear first, or use the default head."
)
NO_RATES = "There is only one rate: fit with rates=... to have coarser ones."


@dataclass(frozen=True)
class Rate:
    """A codebook, and the net that reads its codes.

    Parameters
    ----------
    codebook : Codebook
    module : JointNet
        On the CPU, in evaluation mode. Behind the first layer it has the layers of the fine model.

    See Also
    --------
    learn_rates : Learns rates.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> X, y = make_friedman1(200, random_state=0)
    >>> regressor = BitwiseRegressor(n_bits=3, rates=(1,), max_epochs=3, random_state=0).fit(X, y)
    >>> coarse = regressor.rates_[1]
    >>> coarse.codebook.row_bits, coarse.module.head[2] is regressor.head_[2]
    (10, True)
    """

    codebook: Codebook
    module: JointNet


def check_rates(rates, top):
    """Check the rates below the top.

    Parameters
    ----------
    rates : sequence of int
    top : int
        Most bits per feature, or the budget.

    Returns
    -------
    list of int
        From the highest to the lowest.

    Raises
    ------
    ValueError
        For a rate that is no integer from 0 to below `top`, or is given twice.

    Examples
    --------
    >>> from skbsq.training.rates import check_rates
    >>> check_rates((1, 3), 4)
    [3, 1]
    """
    for rate in rates:
        if not isinstance(rate, Integral) or isinstance(rate, bool) or not 0 <= rate < top:
            raise ValueError(
                f"rates must be integers from 0 to below the bits of the finest codebook, {top}: got {rate!r}."
            )
    found = sorted(map(int, rates), reverse=True)
    if twice := [rate for rate in set(found) if found.count(rate) > 1]:
        raise ValueError(f"rates holds {twice[0]} twice.")
    return found


def learn_with_rates(learner, learn, n_bits, rates, budget=None, **narrow):
    """Learn a model, and its rates behind it.

    Parameters
    ----------
    learner : Learner
    learn : callable
        Learns the model with the learner, and returns `Learned`.
    n_bits : ndarray of int64 of shape (d,)
        Most bits of each feature.
    rates : sequence of int
        May be empty.
    budget : int, default=None
        Bits per row of the model. Rates are then budgets too, see `learn_rates`.
    **narrow
        `kind` and `start` of `learn_rates`.

    Returns
    -------
    Learned
        With `rates`, if there are any.

    Raises
    ------
    ValueError
        As `learn` and `learn_rates` do. If rates are invalid or impossible, nothing is trained.
    """
    top = int(n_bits.max()) if budget is None else budget
    rates = check_rates(rates, top)
    if not rates:
        return learn()
    if not begins_with_linear(learner.recipe, n_bits, learner.rows.n_outputs):
        raise ValueError(_NEEDS_LINEAR)
    return _with_rates(learner, learn(), top, rates, as_budgets=budget is not None, **narrow)


def relearn_rates(learner, learned, rates):
    """Learn again what the head of a model reads at each rate; all codebooks stay.

    Parameters
    ----------
    learner : Learner
    learned : Learned
        The model with its new head.
    rates : dict int -> Rate
        Rates with the old head. The first one is that of the model itself.

    Returns
    -------
    Learned
        With `rates`.

    Raises
    ------
    ValueError
        As `learn_rates` does.
    """
    codebooks = codebooks_of(rates)
    top, *coarse = codebooks
    return _with_rates(learner, learned, top, coarse, codebooks=codebooks)


def _with_rates(learner, learned, top, rates, **given):
    """Add the rates of a model to it, itself the first one."""
    finest = {top: Rate(learned.codebook, learned.net.module_)}
    return replace(learned, rates=finest | learn_rates(learner, learned, rates, **given))


def rate_of(rates, rate):
    """Look up a rate.

    Parameters
    ----------
    rates : dict int -> object
    rate : int

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If there is no such rate.
    """
    if not isinstance(rate, Integral) or isinstance(rate, bool) or rate not in rates:
        raise ValueError(f"There is no rate {rate!r}: the rates of this model are {list(rates)}.")
    return rates[rate]


def codebooks_of(rates):
    """Return the codebook of each rate.

    Parameters
    ----------
    rates : dict int -> Rate, or None

    Returns
    -------
    dict int -> Codebook

    Raises
    ------
    AttributeError
        If `rates` is None.
    """
    if rates is None:
        raise AttributeError(NO_RATES)
    return {rate: found.codebook for rate, found in rates.items()}


def learn_rates(learner, learned, rates, *, as_budgets=False, kind=None, start=None, codebooks=None):
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
    kind : Bits, default=None
        How the thresholds of features of 1 and 2 bits are learned. None: as ``Bits()`` describes.
    start : RuleStart or the like, default=None
        Finds their initial thresholds. None: ``RuleStart("auto")`` with the loss of the recipe.
    codebooks : dict int -> Codebook, default=None
        Codebooks of the rates, with counts, if devices have them already. None: they are learned.

    Returns
    -------
    dict int -> Rate
        From the highest to the lowest rate, without the model itself. The thresholds of each are among those of the
        rates before it, and among those of the model.

    Raises
    ------
    ValueError
        If the rows come in chunks, the head does not begin with a linear layer of bits, training diverges, or the
        codes of a given codebook do not follow from those of the one before it.

    See Also
    --------
    skbsq.Codebook.recode : Codes at a high rate as codes at a lower one.

    Notes
    -----
    Each rate chooses among the thresholds of the rate before it. Levels are merged where the first layer differs least
    between them. For features of up to 2 bits, a model of these bits is trained first, and thresholds near to its
    thresholds are taken.

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
    _check_can_learn_rates(learner.rows, learned)
    learner = learner.in_order_of(learned.codebook)
    rows, scaling = learner.rows, (learned.target_mean, learned.target_scale)
    sample = rows.some(np.random.RandomState(0).permutation(rows.n_rows)[:_MAX_ROWS])
    fine_epochs = len(learned.net.history)
    shared = learned.net.module_.head
    model, found = WideModel.of(learned, sample), {}
    rates = check_rates(rates, math.inf)
    if codebooks is None:
        n_bits = _bits_of_rates(model, rates, as_budgets)
        all_kept = nested_thresholds(learner, model, n_bits, math.ceil(_SHARE_OF_EPOCHS * fine_epochs), kind, start)
    else:
        n_bits, all_kept = _of_codebooks(model, {rate: codebooks[rate] for rate in rates})
    finer, last = model.n_bits, Rate(learned.codebook, learned.net.module_)
    kept = [np.arange(t.size) for t in model.thresholds]
    for rate in n_bits:
        given = None if codebooks is None else codebooks[rate]
        is_equal = (n_bits[rate] == finer).all() if given is None else given == last.codebook
        if not is_equal:  # equal codebooks give equal predictions
            # A rate begins with what the rate before it has learned.
            left = [np.searchsorted(*pair) for pair in zip(kept, all_kept[rate], strict=True)]
            thresholds, head = model.narrowed(n_bits[rate], left)
            has_missing, has_guard = model.book.has_missing & (n_bits[rate] > 0), model.has_guard(n_bits[rate])
            book = given or rows.codebook(thresholds, levels="mean", has_missing=has_missing, has_guard=has_guard)
            feed = codebook_feed(rows, book, n_bits[rate], level_inputs=False)
            module = JointNet(feed.layer, _with_fixed_layers(head), column_map=feed.column_map)
            share = _SHARE_OF_EPOCHS if n_bits[rate].mean() <= FEW_BITS else _SHARE_WITH_MORE_BITS
            net = learner.tune(module, scaling, math.ceil(share * fine_epochs), description=f"rate {rate}")
            last = rate_with_first(book, *_first_of_columns(net.module_.head, feed.column_map, book), shared)
            model, kept = WideModel(book, net, *scaling, sample), all_kept[rate]
        found[rate], finer = last, n_bits[rate]
    return found


def _bits_of_rates(model, rates, as_budgets):
    """Return the bits per feature at each rate, from the highest to the lowest."""
    costs, found, finer = model.costs(), {}, model.n_bits
    for rate in rates:
        capped = [cost[: b + 1] for cost, b in zip(costs, finer.tolist(), strict=True)]
        found[rate] = finer = allocate_bits(capped, rate) if as_budgets else np.minimum(finer, rate)
    return found


def _of_codebooks(model, codebooks):
    """Return the bits per feature at each rate, and the numbers of the thresholds that its codebook has."""
    fine, kept = model.book, {}
    for rate, book in codebooks.items():
        if not fine.is_refinement_of(book):
            raise ValueError(f"The codebook of rate {rate} is not nested in that of the rate before it.")
        if book.counts is None:
            raise ValueError(f"The codebook of rate {rate} has no counts, by which levels are merged.")
        kept[rate] = [np.searchsorted(*pair) for pair in zip(model.thresholds, inner_thresholds(book), strict=True)]
        fine = book
    return {rate: book.n_bits for rate, book in codebooks.items()}, kept


def _check_can_learn_rates(rows, learned):
    if not isinstance(rows, Rows):
        raise ValueError("rates need all rows in memory: fit on some of the rows.")
    if learned.codebook is None or learned.net.module_.first_table() is None:
        raise ValueError(_NEEDS_LINEAR)


def _with_fixed_layers(head):
    """Keep the weights and the running statistics behind the first layer as they are."""
    for k, layer in enumerate(head if isinstance(head, nn.Sequential) else ()):
        if k == 0:
            continue
        if type(layer) is nn.Linear and layer.bias is not None and not has_hooks(layer):
            head[k] = layer = unfolded(layer)  # the same outputs in less time
        layer.requires_grad_(False)
        for module in layer.modules():
            if any(True for _ in module.buffers(recurse=False)):
                module.register_forward_pre_hook(_evaluate)
    return head


def _evaluate(module, inputs):
    module.training = False


def _first_of_columns(head, column_map, book):
    """Return weight and bias of the first layer of a head, with one input per column of the thermometer."""
    first = first_linear(head)
    weight = torch.zeros(first.out_features, max(book.n_columns, 1))
    used = np.flatnonzero(column_map >= 0)
    weight[:, column_map[used]] = first.weight.detach()[:, used]
    return weight, first.bias.detach().clone()


def rate_with_first(book, weight, bias, shared):
    """Put a first layer in front of the layers of another head, which are not copied.

    Parameters
    ----------
    book : Codebook
    weight : Tensor of float32 of shape (units, max(1, n_columns))
        One input per column of the thermometer.
    bias : Tensor of float32 of shape (units,)
    shared : nn.Module
        Head of the finest rate.

    Returns
    -------
    Rate
    """
    first = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight))  # draws no random numbers
    first.weight.data, first.bias.data = weight, bias
    head: nn.Module = first
    if isinstance(shared, nn.Sequential):
        head = copy.copy(shared)
        head._modules = dict(shared._modules)
        head[0] = first
    # Torch handles layers without inputs badly, so that a codebook without columns has an input of zeros.
    column_map = np.arange(book.n_columns) if book.n_columns else np.array([-1])
    return Rate(book, JointNet(Thermometer(book), head, column_map=column_map).eval())
