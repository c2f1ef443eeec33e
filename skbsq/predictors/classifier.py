"""Classification from a few bits per feature."""

from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from skbsq.nn.losses import log_probabilities, probabilities
from skbsq.nn.threads import serial_after_fork
from skbsq.predictors.base import BasePredictor

__all__ = ["BitwiseClassifier"]


class BitwiseClassifier(ClassifierMixin, BasePredictor):
    """Predict classes from a few bits per feature: thresholds and head are trained together.

    All predictions are computed from the codes, so a server that receives codes predicts exactly what `predict` does.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=None
        Bits per feature, 0 to 16; None means 4. A feature of 0 bits is not sent.
    bit_budget : int, default=None
        Maximum number of bits per row, split over the features. `n_bits` then limits the bits of each feature, and None
        means 8. A feature may get no bits, so that it need not even be measured. See ``allocation_``. A fit takes about
        two to three times as long as a fit with as many bits per row and no budget.
        Not together with `quantizer`.
    rates : sequence of int, default=()
        Coarser rates that the same fit offers: bits per feature below `n_bits`, or with `bit_budget` bits per row below
        that. Their codebooks have some of the thresholds of the finest one, see ``codebooks_``, and `predict` takes the
        rate. The default leaves the rates to a `quantizer` that has some. Not with "passthrough", and not with
        quantizers that learn with a head other than `BitwiseQuantizer`.
    quantizer : None, quantizer or "passthrough", default=None
        None learns the thresholds together with the head. A quantizer is copied, fitted on the rows and then fixed: the
        same head reads its thermometer bits, and its `n_bits` is used. A quantizer that learns with a head
        (`SoftQuantizer`, ...) is trained with this head, which is kept. Its parameters of quantization are used (bits,
        initial thresholds, temperature, `threshold_lr_ratio`), and those of the head and its training come from the
        predictor. With "passthrough" the head reads standardized floats: full precision, to compare with.
    head : None, nn.Module class or instance, callable, or skorch.NeuralNet, default=None
        The network that reads the bits. None: a ReLU network of `hidden_sizes`. A class or callable is called with
        (n_inputs, n_outputs). An instance must have these sizes, and is copied. The module of a skorch net becomes the
        head; the net's max_epochs, batch_size, lr, optimizer, criterion, callbacks and device replace the parameters
        of the predictor, and `lr_schedule` and `weight_decay` are not used. Parameters of the net are reachable as
        ``head__lr``. n_inputs is the sum of 2^n_bits - 1 over the features. n_outputs is the number of targets, or of
        classes (2 for a binary target), whose outputs are logits.
    init : {"auto", "quantile", "uniform", "kmeans", "tree"} or quantizer, default="auto"
        Initial thresholds. "auto" compares all four on some of the rows: it is "quantile", unless the codes of another
        method predict held-out rows clearly better, see ``quantizer_.init_``.
        A quantizer is copied and fitted on the rows, with the same n_bits if it has that parameter.
    missing : {"error", "seen", "code"}, array-like, dict or pandas Series, default="error"
        Rule for NaN, for all features or one per feature. "error" rejects NaN in fit. "seen" gives a missing code to
        the features in which fit sees NaN, "code" to every feature with bits. With `n_bits` given, a missing code
        leaves one level fewer for numbers. After fit, NaN is rejected in a feature with bits and no missing code.
        The default leaves the rule to a `quantizer` that has one.
    guard : bool, array-like of bool of shape (d,), dict or pandas Series, default=False
        Whether the lowest and the highest code are kept for values below and above all rows of fit, so that a
        `skbsq.monitoring.CodeMonitor` sees a sensor that leaves its range. This takes two levels from a feature. The
        head reads such a code as the code next to it. A feature of 0 bits and a constant one have no such codes, and
        at a coarse rate no feature that has fewer than two other codes for numbers.
        The default leaves the rule to a `quantizer` that has one.
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
        Scale on which thresholds are optimised: z-scores ("standard"), or z-scores blended with ranks ("rank"), which
        are robust to outliers.
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
        Factors of the row weights: in the loss, for the initial thresholds, and in the levels.
    device : str, default="cpu"
        Device for training: "cuda", another torch device, or "auto" for a GPU if there is one. The fitted net is on the
        CPU, but `predict` runs the head on that GPU if it is present.
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
    classes_ : ndarray of shape (k,)
        The labels, sorted.
    quantizer_ : quantizer or None
        The fitted quantizer; None with "passthrough".
    codebooks_ : dict int -> Codebook
        With `rates`: the codebook of each rate as given, ``codebook_`` included, from the finest to the coarsest.
    codebook_ : Codebook
        Everything that a device needs.
    thresholds_ : list of d ndarrays of float32
        In the units of X, sorted and merged.
    n_bits_, n_levels_ : ndarray of int64 of shape (d,)
        Bits and codes per feature.
    init_, initial_thresholds_ : str or quantizer, list of d ndarrays
        Origin and values of the initial thresholds, if thresholds are learned; those of ``quantizer_``.
    allocation_ : DataFrame
        With `bit_budget`, one row per feature; that of ``quantizer_``, see `BitwiseQuantizer`.
    feature_importances_ : ndarray of float64 of shape (d,)
        Share of each feature in the training loss that dropping single features adds; the sum is 1. Absent after
        `fit_chunks`, with ``quantizer="passthrough"``, and with a `head` that does not begin with a linear layer or has
        a criterion that is not a difference: use `sklearn.inspection.permutation_importance` there.
    net_ : skorch.NeuralNet
        The trained net, on the CPU; ``net_.module_`` computes outputs from raw floats.
    head_ : nn.Module
        The trained head.
    history_ : DataFrame
        One row per epoch: train_loss, valid_loss, temperature, seconds (dur).
    n_iter_ : int
        Number of epochs.
    best_epoch_ : int or None
        The epoch that was restored when `patience` ran out, counted from 1.
    length_search_ : DataFrame
        The lengths that were tried, if rows were held out for that: epochs, steps, the loss on these rows, and the
        fraction of its output that the head keeps (the rest is a constant) so that this loss is lowest.
    target_mean_, target_scale_ : ndarray of float64 of shape (k,)
        The target is ``output * target_scale_ + target_mean_``; 0 and 1 unless the loss is one of differences.
    n_features_in_ : int
        Number of features d.
    feature_names_in_ : ndarray of str
        Names of the features, if X had names that are strings.

    See Also
    --------
    BitwiseRegressor : The same for numbers.
    BitwiseQuantizer : The thresholds alone, as a transformer.

    Notes
    -----
    n is the number of rows, d of features and k of classes.

    arXiv 2603.05172, Section 3 (Bw-SQ).
    NOTE[DIFF]: the paper trains on sigmoids of standardized values, with quantiles as initial thresholds, one learning
    rate and Adam. Here features of more than 3 bits are trained with hard bits, thresholds are optimised on the scale
    of ranks and `threshold_lr_ratio` times as fast, the head reads levels in training, and AdamW has a one-cycle
    learning rate. The paper's recipe is ``forward="soft", space="standard", init="quantile", threshold_lr_ratio=1,
    level_inputs=False, lr_schedule="constant", weight_decay=0``.
    NOTE[DIFF]: thresholds are sorted and merged after training, and early stopping restores a copy of the best
    weights, chosen by the loss of the hard bits.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skbsq import BitwiseClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = BitwiseClassifier(n_bits=2, max_epochs=30, batch_size=16, random_state=0).fit(X, y)
    >>> classifier.codebook_.row_bits, classifier.score(X, y) > 0.9
    (8, True)
    """

    _task = "classification"
    _required_attributes = BasePredictor._required_attributes | {"classes_"}

    def __init__(
        self,
        n_bits=None,
        *,
        bit_budget=None,
        rates=(),
        quantizer=None,
        head=None,
        init="auto",
        missing="error",
        guard=False,
        special_values=None,
        categorical_features="from_dtype",
        handle_unknown="error",
        min_share=0.0,
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
        self.quantizer = quantizer
        self.head = head
        self.init = init
        self.missing = missing
        self.guard = guard
        self.special_values = special_values
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.min_share = min_share
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

    def predict_proba(self, X, *, rate=None):
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n, d)
        rate : int, default=None
            A key of ``codebooks_``. None: the finest.

        Returns
        -------
        ndarray of float64 of shape (n, k)
            Columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If X has other features than in `fit`, infinite values, or NaN that the model has no code for.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        predict_proba_codes : Class probabilities from codes.
        predict_proba_packed : Class probabilities from bytes.
        predict_log_proba : Their logarithms.
        """
        return self._probabilities(self._output(X, rate))

    def predict_proba_codes(self, codes, *, rate=None):
        """Predict class probabilities from codes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)
            As returned by ``codebook_.encode``.
        rate : int, default=None
            A key of ``codebooks_``. None: the finest.

        Returns
        -------
        ndarray of float64 of shape (n, k)
            Columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If a code is out of range, or the array has another number of features.
        AttributeError
            With ``quantizer="passthrough"``.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        predict_proba : Class probabilities from floats.
        """
        return self._probabilities(self._output_of_codes(codes, rate))

    def predict_proba_packed(self, data, codebook=None, *, rate=None):
        """Predict class probabilities from packed rows or messages.

        Parameters
        ----------
        data : array-like of uint8 of shape (n, row_bytes), or bytes-like
            As in `predict_packed`.
        codebook : Codebook, default=None
            As in `predict_packed`.
        rate : int, default=None
            As in `predict_packed`.

        Returns
        -------
        ndarray of float64 of shape (n, k)
            Columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If the bytes are corrupt, empty or from another codebook, or if `codebook` was not folded from that of
            this model.
        AttributeError
            With ``quantizer="passthrough"``.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        predict_packed : Labels from bytes.
        predict_proba : Class probabilities from floats.
        """
        return self._probabilities(self._output_of_packed(data, codebook, rate))

    def predict_log_proba(self, X, *, rate=None):
        """Predict the logarithms of class probabilities.

        Parameters
        ----------
        X : array-like of shape (n, d)
        rate : int, default=None
            A key of ``codebooks_``. None: the finest.

        Returns
        -------
        ndarray of float64 of shape (n, k)
            Columns in the order of ``classes_``. Finite for logits, even if a probability rounds to 0.

        Raises
        ------
        ValueError
            If X has other features than in `fit`, infinite values, or NaN that the model has no code for.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        predict_proba : The probabilities.
        """
        return self._probabilities(self._output(X, rate), log_probabilities)

    def score(self, X, y, sample_weight=None, *, rate=None):
        """Compute the accuracy.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        rate : int, default=None
            A key of ``codebooks_``. None: the finest.

        Returns
        -------
        float
        """
        return float(accuracy_score(y, self.predict(X, rate=rate), sample_weight=sample_weight))

    def _probabilities(self, output, function=probabilities):
        # In float64, so that rows sum to 1 as closely as scikit-learn's metrics require.
        with serial_after_fork():
            return function(self.net_, output.double()).numpy()

    def _keep(self, learned, rows):
        super()._keep(learned, rows)
        self.classes_ = rows.classes

    def _from_output(self, output):
        return self.classes_[output.numpy().argmax(axis=1)]
