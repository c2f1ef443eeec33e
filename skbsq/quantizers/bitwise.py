"""Learn thresholds together with a model."""

from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skbsq.nn.layers import FORWARDS
from skbsq.quantizers.base import GUARD, SPECIAL
from skbsq.quantizers.learned import StartsFromThresholds
from skbsq.quantizers.threshold import with_codebook
from skbsq.training.budget import learn_within
from skbsq.training.feeds import Bits
from skbsq.training.rates import codebooks_of, learn_with_rates, rate_of

__all__ = ["BitwiseQuantizer"]

_MAX_BITS_WITH_BUDGET = 8


class BitwiseQuantizer(StartsFromThresholds):
    """Learn thresholds jointly with a model: bitwise soft quantization.

    Every feature is compared with a few thresholds, and a head (a neural network) predicts the target from the
    resulting bits. Both are trained together, so that the few levels of a feature lie where the target needs them.
    Transforming needs the codebook alone; use `BitwiseRegressor` or `BitwiseClassifier` to predict with the head.

    The thresholds are learned with y, so score them on held-out rows.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=None
        Bits per feature, 0 to 16; None means 4. A feature of 0 bits is not sent.
    bit_budget : int, default=None
        Maximum number of bits per row, split over the features. `n_bits` then limits the bits of each feature, and None
        means 8. A feature may get no bits, so that it need not even be measured. See ``allocation_``. A fit takes about
        two to three times as long as a fit with as many bits per row and no budget.
    rates : sequence of int, default=()
        Coarser rates that the same fit offers: bits per feature below `n_bits`, or with `bit_budget` bits per row below
        that. Their codebooks have some of the thresholds of the finest one, see ``codebooks_``.
    head : None, nn.Module class or instance, callable, or skorch.NeuralNet, default=None
        The network that reads the bits. None: a ReLU network of `hidden_sizes`. A class or callable is called with
        (n_inputs, n_outputs). An instance must have these sizes, and is copied. The module of a skorch net becomes the
        head; the net's max_epochs, batch_size, lr, optimizer, criterion, callbacks and device replace the parameters
        of the quantizer, and `lr_schedule` and `weight_decay` are not used. Parameters of the net are reachable as
        ``head__lr``. n_inputs is the sum of 2^n_bits - 1 over the features. n_outputs is the number of targets, or of
        classes (2 for a binary target), whose outputs are logits.
    loss : {"squared_error", "absolute_error", "huber", "poisson", "quantile"}, default="squared_error"
        What training minimizes in a regression, see `BitwiseRegressor`. Not used if `head` is a skorch net, which has
        its own criterion.
    quantile : float, default=0.5
        Between 0 and 1, for ``loss="quantile"``.
    init : {"auto", "quantile", "uniform", "kmeans", "tree"} or quantizer, default="auto"
        Rule for the initial thresholds. "auto" selects the rule whose codes predict
        held-out training rows best in a quick pilot, see ``init_``.
        A quantizer is copied and fitted on the rows, with the same n_bits if it has that parameter.
    encode : {"ordinal", "thermometer", "value", "packed"}, default="ordinal"
        What `transform` returns: codes, thermometer bits, levels, or packed bytes.
    missing : {"error", "seen", "code"}, array-like, dict or pandas Series, default="error"
        Rule for NaN, for all features or one per feature. "error" rejects NaN in fit. "seen" gives a missing code to
        the features in which fit sees NaN, "code" to every feature with bits. With `n_bits` given, a missing code
        leaves one level fewer for numbers. After fit, NaN is rejected in a feature with bits and no missing code.
    guard : bool, array-like of bool of shape (d,), dict or pandas Series, default=False
        Whether the lowest and the highest code are kept for values below and above all rows of fit, so that a
        `skbsq.monitoring.CodeMonitor` sees a sensor that leaves its range. This takes two levels from a feature. The
        head reads such a code as the code next to it. A feature of 0 bits and a constant one have no such codes, and
        at a coarse rate no feature that has fewer than two other codes for numbers.
    special_values : array-like, dict, pandas Series or None, default=None
        Numbers such as -999 that stand for something other than a measurement. Each has a code of its own, and
        thresholds are found for the other values. One list for all numeric features, or a dict or Series with a list
        per feature, which may leave out features.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which features are categorical. "from_dtype": the columns of a data frame that hold categories, strings or
        booleans. Or names, numbers of features, or a bool per feature. None: none.
    handle_unknown : {"error", "missing"}, default="error"
        What a category is that fit did not see: an error, or missing. Every categorical feature with bits then has a
        missing code.
    min_share : float, default=0.0
        Categories with a lower share of the rows are merged into one.
    task : {"auto", "regression", "classification"}, default="auto"
        "auto": floating y means regression, even if all values are integers; bool, string and category mean
        classification; integer y means classification up to 20 classes, and regression beyond.
    max_epochs : int or "auto", default="auto"
        Passes over the rows. "auto" finds the number on held-out rows, see `early_stopping`.
    batch_size : int or "auto", default="auto"
        Rows per batch. "auto": 32 for up to 1000 rows, 256 from 4096 rows on.
    lr : float, default=2e-3
        Learning rate of the head (AdamW); with "one-cycle" its peak.
    lr_schedule : {"one-cycle", "constant"}, default="one-cycle"
        "one-cycle" warms the rate up and anneals it over the whole training.
    threshold_lr_ratio : float or "auto", default="auto"
        Learning rate of the thresholds, in multiples of the head's. 0 leaves them where they start. "auto" means 10. If
        there are so few rows that several parts are held out in turn, it means 0 if that lowers the held-out loss.
    weight_decay : float, default=0.01
        Weight decay of the head; thresholds have none.
    dropout : float or "auto", default="auto"
        Probability of dropping a hidden unit of the default head. "auto": 0.1, and less from 8192 rows on.
    hidden_sizes : sequence of int or "auto", default="auto"
        Hidden layers of the default head. "auto": two of 128 units. If rows are few or training is long, the head is
        four such networks, whose outputs are averaged.
    level_inputs : bool, default=True
        Whether the default head also reads a level per feature in training, so that it starts smooth in each feature.
        The level is linear in the bits, so after training the first layer reads the bits alone in any case.
    forward : {"auto", "hard", "soft"}, default="auto"
        What the head reads in training. "hard": the hard bits that it reads at test time, with the gradient of a
        sigmoid. "soft": the sigmoids themselves. "auto": sigmoids for features of up to 3 bits, hard bits for others.
    space : {"rank", "standard"}, default="rank"
        Scale on which thresholds are optimised: z-scores, or z-scores blended with ranks (robust to outliers).
    temperature_schedule : {"exponential", "linear", "cosine", "warmup", "cyclical"}, default="exponential"
        How the width of the sigmoids falls over the epochs. Their gradient moves the thresholds.
    temperature_start, temperature_end : float, default=1.0 and 1e-3
        Initial and final temperature, in standard deviations of a feature.
    validation_fraction : "auto", float or CV splitter, default="auto"
        Rows held out to find the length of training. "auto": a fifth of the rows, at most 10,000, and several such
        parts in turn if rows are few. A float: one random part. A splitter: its last split, for rows in time order.
    early_stopping : bool or "auto", default="auto"
        "auto" holds rows out only to find ``max_epochs="auto"``, and then trains on all rows. True never trains on the
        held-out rows: of the numbers of epochs up to `max_epochs`, it selects the one with the lowest loss on them.
        False holds no rows out; ``max_epochs="auto"`` then means 30, within 64 to 2048 steps.
    patience : int, default=10
        With ``early_stopping=True`` and either a skorch net or ``lr_schedule="constant"``: training ends after this
        many epochs without a lower validation loss, and the best epoch is restored.
    class_weight : dict label -> float, "balanced" or None, default=None
        Factors of the row weights: in the loss, for the initial thresholds, and in the levels. Classification only.
    device : str, default="cpu"
        Device for training: "cuda", another torch device, or "auto" for a GPU if there is one. The result is on the
        CPU.
    checkpoint : str, path-like or None, default=None
        File in which `fit` saves its state after every epoch, and which it removes at the end. An identical fit resumes
        from it, bit for bit on the CPU. A file of a different fit is rejected. A directory holds one file per fit, as a
        search needs. Needs ``pip install 'skbsq[save]'``.
    random_state : int, RandomState or None, default=None
        Seed, which determines the fit on the CPU. None: fresh entropy. The global generators are never used.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    codebook_ : Codebook
        Thresholds and levels of every feature: all that a device needs.
    thresholds_ : list of d ndarrays of float32
        In the units of X, sorted and merged.
    n_bits_, n_levels_ : ndarray of int64 of shape (d,)
        Bits and codes per feature.
    init_ : str or quantizer
        Rule or quantizer of the initial thresholds.
    initial_thresholds_ : list of d ndarrays
        Initial thresholds, in the units of X.
    threshold_lr_ratio_ : float
        `threshold_lr_ratio`, or the value that "auto" selected.
    allocation_ : DataFrame
        With `bit_budget`, one row per feature: n_bits, cap, and the increase of the loss on held-out rows if the
        feature were dropped (loss_if_dropped) or had one bit less (loss_of_one_bit_less), in an intermediate model.
    codebooks_ : dict int -> Codebook
        With `rates`: the codebook of each rate as given, ``codebook_`` included, from the finest to the coarsest.
    net_ : skorch.NeuralNet
        The trained net, on the CPU; ``net_.module_`` maps raw floats to outputs.
    head_ : nn.Module
        The trained head.
    history_ : DataFrame
        One row per epoch: train_loss, valid_loss, temperature, seconds (dur).
    n_iter_ : int
        Number of epochs trained.
    best_epoch_ : int or None
        The epoch restored when `patience` ran out, counted from 1.
    length_search_ : DataFrame
        The lengths tried, if rows were held out for that: epochs, steps, the loss on these rows, and the share of
        the head's output (the rest is a constant) for which this loss is lowest.
    target_mean_, target_scale_ : ndarray of float64 of shape (k,)
        A prediction of the k targets is ``output * target_scale_ + target_mean_``, with ``loss="poisson"``
        ``exp(output) * target_scale_``. They depend on the loss, and are 0 and 1 for classes and for a skorch net whose
        criterion is not a difference.
    task_ : {"regression", "classification"}
        The task that was solved.
    n_features_in_ : int
        Number of features, d.
    feature_names_in_ : ndarray of str
        Only if X has string column names.

    See Also
    --------
    BitwiseRegressor, BitwiseClassifier : The same training, with predictions from the codes.
    QuantileQuantizer : Thresholds without a model.

    Notes
    -----
    arXiv 2603.05172, Section 3 (Bw-SQ).
    NOTE[DIFF]: the paper trains on sigmoids of standardized values, starts at quantiles, and uses Adam with one
    learning rate. Here features of more than 3 bits are trained as hard bits, thresholds move on the scale of ranks and
    `threshold_lr_ratio` times as fast, the head reads levels in training, and AdamW's rate follows one cycle. The
    paper's recipe is ``forward="soft", space="standard", init="quantile", threshold_lr_ratio=1, level_inputs=False,
    lr_schedule="constant", weight_decay=0``.
    NOTE[DIFF]: the paper has numbers only. Here a category becomes a number, the mean of the target over its rows,
    shrunk towards the mean of all rows. If there are several targets or classes, or if categories act together with
    numbers, it is the place along the main direction of several such means. While thresholds between these numbers are
    learned, a row reads the mean over the rows outside of its own fold, so that no row sees its own target. Then the
    code of each category is fixed, and levels, counts and predictions follow from the codes. A feature with codes for
    all of its categories has no such thresholds: each category keeps a code, and the head reads one input per code.
    NOTE[DIFF]: thresholds are sorted and merged after training, and early stopping restores a copy of the best
    weights, selected by the loss of the hard bits.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseQuantizer
    >>> X, y = make_friedman1(200, random_state=0)
    >>> quantizer = BitwiseQuantizer(n_bits=2, max_epochs=3, random_state=0).fit(X, y)
    >>> quantizer.transform(X).shape, quantizer.codebook_.row_bits
    ((200, 10), 20)
    """

    _required_attributes = StartsFromThresholds._required_attributes | {"threshold_lr_ratio_"}
    _optional_attributes = StartsFromThresholds._optional_attributes | {"allocation_", "rates_"}
    _parameter_constraints: dict = {
        **StartsFromThresholds._parameter_constraints,
        "bit_budget": [None, Interval(Integral, 0, None, closed="left")],
        "rates": ["array-like"],
        "guard": GUARD,
        "special_values": SPECIAL,
        "level_inputs": ["boolean"],
        "forward": [StrOptions(set(FORWARDS))],
        "space": [StrOptions({"rank", "standard"})],
        "threshold_lr_ratio": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        n_bits=None,
        *,
        bit_budget=None,
        rates=(),
        head=None,
        loss="squared_error",
        quantile=0.5,
        init="auto",
        encode="ordinal",
        missing="error",
        guard=False,
        special_values=None,
        categorical_features="from_dtype",
        handle_unknown="error",
        min_share=0.0,
        task="auto",
        max_epochs="auto",
        batch_size="auto",
        lr=2e-3,
        lr_schedule="one-cycle",
        threshold_lr_ratio="auto",
        weight_decay=0.01,
        dropout="auto",
        hidden_sizes="auto",
        level_inputs=True,
        forward="auto",
        space="rank",
        temperature_schedule="exponential",
        temperature_start=1.0,
        temperature_end=1e-3,
        validation_fraction="auto",
        early_stopping="auto",
        patience=10,
        class_weight=None,
        device="cpu",
        checkpoint=None,
        random_state=None,
        verbose=0,
    ):
        self.n_bits = n_bits
        self.bit_budget = bit_budget
        self.rates = rates
        self.head = head
        self.loss = loss
        self.quantile = quantile
        self.init = init
        self.encode = encode
        self.missing = missing
        self.guard = guard
        self.special_values = special_values
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.min_share = min_share
        self.task = task
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.threshold_lr_ratio = threshold_lr_ratio
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.hidden_sizes = hidden_sizes
        self.level_inputs = level_inputs
        self.forward = forward
        self.space = space
        self.temperature_schedule = temperature_schedule
        self.temperature_start = temperature_start
        self.temperature_end = temperature_end
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.class_weight = class_weight
        self.device = device
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _guard(self):
        return self.guard

    @property
    def _special(self):
        return self.special_values

    def _learn(self, rows, checkpoint):
        refuse_with_special(self.special_values, self.bit_budget, self.rates)
        if self.bit_budget is None:
            return super()._learn(rows, checkpoint)
        caps = self._checked_n_bits(_bits_with_budget(rows) if self.n_bits is None else self.n_bits, rows)
        learner = self._learner(rows, checkpoint)
        narrow = {"kind": self._kind(), "start": self._start()}
        learn = partial(learn_within, learner, self._kind(), caps, self.bit_budget, self._start())
        learned = learn_with_rates(learner, learn, caps, self.rates, self.bit_budget, **narrow)
        self._keep(learned, rows)
        return learned

    def _learn_model(self, learner, n_bits, start):
        learn = partial(super()._learn_model, learner, n_bits, start)
        return learn_with_rates(learner, learn, n_bits, self.rates, kind=self._kind(), start=start)

    def _keep(self, learned, rows):
        super()._keep(learned, rows)
        self.threshold_lr_ratio_ = learned.lr_ratio
        self._set_optional(allocation_=learned.allocation, rates_=learned.rates)

    def _with_head(self, learned, rows):
        made = super()._with_head(learned, rows)
        made._set_optional(rates_=learned.rates)
        return made

    @property
    def codebooks_(self):
        """Codebook of each rate, from the finest to the coarsest: dict int -> Codebook."""
        check_is_fitted(self)
        return codebooks_of(vars(self).get("rates_"))

    def at(self, rate):
        """Return a fitted transformer with the codebook of a rate.

        Parameters
        ----------
        rate : int
            A key of ``codebooks_``.

        Returns
        -------
        ThresholdQuantizer
            With `encode` of this quantizer.

        Raises
        ------
        ValueError
            If there is no such rate.
        AttributeError
            If the quantizer was fitted without `rates`.

        Examples
        --------
        >>> from sklearn.datasets import make_friedman1
        >>> from skbsq import BitwiseQuantizer
        >>> X, y = make_friedman1(200, random_state=0)
        >>> quantizer = BitwiseQuantizer(n_bits=3, rates=(1,), max_epochs=3, random_state=0).fit(X, y)
        >>> int(quantizer.transform(X).max()), int(quantizer.at(1).transform(X).max())
        (7, 1)
        """
        return with_codebook(rate_of(self.codebooks_, rate), self)

    def _check_can_learn_in_chunks(self):
        refuse_of_chunks(self.bit_budget, self.rates)
        super()._check_can_learn_in_chunks()

    def _kind(self):
        return Bits(self.space, self.forward, self.level_inputs)


def _bits_with_budget(rows):
    """Return the most bits of each feature: for categories as many as tell them apart, within limits."""
    n_bits = np.full(rows.n_features, _MAX_BITS_WITH_BUDGET)
    missing = np.broadcast_to(rows.may_be_missing, rows.n_features)
    for j, known in rows.categories.items():
        n_codes = int(known.group.max()) + 1 + int(missing[j])
        n_bits[j] = min((n_codes - 1).bit_length(), _MAX_BITS_WITH_BUDGET)
    return n_bits


def refuse_with_special(special_values, bit_budget, rates):
    """Reject special values together with parameters that give a feature another number of bits.

    Parameters
    ----------
    special_values : array-like, dict, Series or None
    bit_budget : int or None
    rates : sequence of int

    Raises
    ------
    ValueError
        If `special_values` is not None, and there is a budget or there are rates.
    """
    if special_values is not None and bit_budget is not None:
        raise ValueError(
            f"bit_budget={bit_budget} with special_values is not supported, because it may take their codes away: give "
            "n_bits instead."
        )
    if special_values is not None and len(rates):
        raise ValueError(
            f"rates={rates!r} with special_values is not supported, because a coarse rate may lack their codes: fit a "
            "single rate."
        )


def refuse_of_chunks(bit_budget, rates):
    """Reject parameters of `BitwiseQuantizer` that need all rows, if rows come in chunks.

    Parameters
    ----------
    bit_budget : int or None
    rates : sequence of int

    Raises
    ------
    ValueError
        If `bit_budget` is not None, or there are rates.
    """
    if bit_budget is not None:
        raise ValueError(
            "bit_budget needs all rows in memory: fit on some of the rows with it, and give the n_bits_ found as "
            "n_bits to fit_chunks."
        )
    if len(rates):
        raise ValueError("rates need all rows in memory: fit on some of the rows.")
