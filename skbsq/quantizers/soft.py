"""Soft quantization with a head that reads values: SQ and SQ+."""

from skbsq.quantizers.learned import StartsFromThresholds
from skbsq.training.feeds import Soft

__all__ = ["SoftQuantizer"]


class SoftQuantizer(StartsFromThresholds):
    """Thresholds learned behind a sum of sigmoids: soft quantization (SQ).

    In training the head reads one value per feature, the sum of sigmoids around its thresholds; at test time the number
    of thresholds below (the code, where none of them have met), or with `learn_values` the value learned for it.

    The thresholds were learned with y; score them on held-out rows.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=None
        Bits per feature, 0 to 16; None means 4. A feature of 0 bits is not sent.
    learn_values : bool, default=False
        Learn what each code stands for to the head (SQ+). False: the number of thresholds below (SQ).
    head : None, nn.Module class or instance, callable, or skorch.NeuralNet, default=None
        What reads the values. None: a ReLU network of `hidden_sizes`. A class or callable is called with (n_inputs,
        n_outputs); an instance must have these sizes, and is copied. With a skorch net its module becomes the head,
        and its max_epochs, batch_size, lr, optimizer, criterion, callbacks and device hold in place of ours
        (`lr_schedule` and `weight_decay` too are then left to it); its parameters are reachable as ``head__lr``.
        n_inputs is the number of features, and one more for each with a missing code; n_outputs the number of targets,
        or of classes (2 for a binary target), whose outputs are logits.
    init : {"auto", "quantile", "uniform", "kmeans", "tree"} or quantizer, default="auto"
        Where the thresholds start. "auto" takes the one of these whose codes predict
        held-out training rows best in a quick pilot, see ``init_``.
        A quantizer is copied and fitted on the rows, at the same n_bits where it has that parameter.
    encode : {"ordinal", "thermometer", "value", "packed"}, default="ordinal"
        What `transform` returns: codes, thermometer bits, or levels.
    missing : {"error", "code"}, default="error"
        "error" refuses NaN; "code" gives it the top code of a feature, and one level fewer to numbers.
    task : {"auto", "regression", "classification"}, default="auto"
        "auto": floating y is regression, even if integral; bool, string and category are classification; integer y
        is classification up to 20 classes, else regression.
    max_epochs : int or "auto", default="auto"
        Passes over the rows. "auto" finds the number on held-out rows, see `early_stopping`.
    batch_size : int or "auto", default="auto"
        Rows per batch. "auto": 32 for up to 1000 rows, 256 from 4096 rows on.
    lr : float, default=2e-3
        Learning rate of the head (AdamW), the peak of it under one-cycle.
    lr_schedule : {"one-cycle", "constant"}, default="one-cycle"
        "one-cycle" warms up and anneals the rate over the whole training.
    threshold_lr_ratio : float, default=1.0
        Learning rate of the thresholds and values, in multiples of the head's. 0 leaves them where they start.
    weight_decay : float, default=0.01
        Of the head; thresholds have none.
    dropout : float or "auto", default="auto"
        Probability to drop a hidden unit of the default head. "auto": 0.1, less from 8192 rows on.
    hidden_sizes : sequence of int or "auto", default="auto"
        Hidden layers of the default head. "auto": two of 128 units; where rows are few or training is long, four such
        networks, whose outputs are averaged.
    temperature_schedule : {"exponential", "linear", "cosine", "warmup", "cyclical"}, default="exponential"
        How the width of the sigmoids, whose gradient moves the thresholds, falls over the epochs.
    temperature_start, temperature_end : float, default=1.0 and 1e-3
        Its ends, in standard deviations of a feature.
    validation_fraction : "auto", float or CV splitter, default="auto"
        Rows held out to find the length of training. "auto": a fifth of the rows, 10,000 at most, and where rows are
        few several such parts in turn. A float: one random part. A splitter: its last split, for rows in time order.
    early_stopping : bool or "auto", default="auto"
        "auto" holds rows out only to find ``max_epochs="auto"``, and then trains on all rows. True never trains on the
        held-out rows: the number of epochs, up to `max_epochs`, is the one with the lowest loss on them. False holds
        no rows out; ``max_epochs="auto"`` then means 30, within 64 to 2048 steps.
    patience : int, default=10
        With ``early_stopping=True`` and either a skorch net or ``lr_schedule="constant"``: end after so many epochs
        without a lower validation loss, and go back to the best epoch.
    class_weight : dict label -> float, "balanced" or None, default=None
        Multiplies the row weights: in the loss, for the initial thresholds, and in the levels. Classification only.
    device : str, default="cpu"
        Where to train: "cuda", another torch device, or "auto" for a GPU if there is one. The result is on the CPU.
    checkpoint : str, path-like or None, default=None
        A file that `fit` keeps its state in after every epoch, and removes once it is done. A fit of the same work that
        finds it goes on from there: on the CPU to the same result, to the last bit. Of other work it is refused. A
        folder holds a file for each work, as a search needs. Needs ``pip install 'skbsq[save]'``.
    random_state : int, RandomState or None, default=None
        Determines the fit on the CPU. None: fresh entropy. The global generators are never touched.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    codebook_ : Codebook
        All that a device needs to know.
    thresholds_ : list of d ndarrays of float32
        In the units of X, sorted and merged.
    n_bits_, n_levels_ : ndarray of int64 of shape (d,)
        Bits and codes per feature.
    init_ : str or quantizer
        What the thresholds started from.
    initial_thresholds_ : list of d ndarrays
        And where, in the units of X.
    net_ : skorch.NeuralNet
        The trained net, on the CPU; ``net_.module_`` goes from raw floats to outputs.
    head_ : nn.Module
        The trained head.
    history_ : DataFrame
        A row an epoch: train_loss, valid_loss, temperature, seconds (dur).
    n_iter_ : int
        Epochs run.
    best_epoch_ : int or None
        The epoch that training went back to when `patience` ran out, from 1.
    length_search_ : DataFrame
        The lengths tried, where rows were held out for that: epochs, steps, the loss on these rows, and the share of
        its output that a head keeps (the rest is a constant) so that this loss is lowest.
    target_mean_, target_scale_ : ndarray of float64 of shape (k,)
        The target is ``output * target_scale_ + target_mean_``; 0 and 1 unless the loss is one of differences.
    task_ : {"regression", "classification"}
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X has string column names.

    See Also
    --------
    BitwiseQuantizer : A head that reads bits.

    Notes
    -----
    arXiv 2603.05172, Section 4. The paper's recipe is ``init="quantile", lr_schedule="constant", weight_decay=0``.
    NOTE[DIFF]: the paper's released code computes SQ+ as SQ; here the values are learned, from 0, 1, 2, ... on.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import SoftQuantizer
    >>> X, y = make_friedman1(200, random_state=0)
    >>> quantizer = SoftQuantizer(n_bits=2, max_epochs=3, random_state=0).fit(X, y)
    >>> quantizer.transform(X).shape, quantizer.codebook_.row_bits <= 20
    ((200, 10), True)
    """

    _parameter_constraints: dict = {
        **StartsFromThresholds._parameter_constraints,
        "learn_values": ["boolean"],
    }

    def __init__(
        self,
        n_bits=None,
        *,
        learn_values=False,
        head=None,
        init="auto",
        encode="ordinal",
        missing="error",
        task="auto",
        max_epochs="auto",
        batch_size="auto",
        lr=2e-3,
        lr_schedule="one-cycle",
        threshold_lr_ratio=1.0,
        weight_decay=0.01,
        dropout="auto",
        hidden_sizes="auto",
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
        self.learn_values = learn_values
        self.head = head
        self.init = init
        self.encode = encode
        self.missing = missing
        self.task = task
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.threshold_lr_ratio = threshold_lr_ratio
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.hidden_sizes = hidden_sizes
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

    def _kind(self):
        return Soft(self.learn_values)
