"""Learned step sizes (LSQ) as a quantizer of features."""

from skbsq.quantizers.learned import LearnedQuantizer
from skbsq.training.feeds import Steps

__all__ = ["LSQQuantizer"]


class LSQQuantizer(LearnedQuantizer):
    """Equal steps whose size is learned with a head (LSQ), one per feature.

    The head reads multiples of the step. They become thresholds without losing a value.

    The thresholds were learned with y; score them on held-out rows.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=None
        Bits per feature, 0 or 2 to 16; None means 4. A feature of 0 bits is not sent.
    head : None, nn.Module class or instance, callable, or skorch.NeuralNet, default=None
        What reads the values. None: a ReLU network of `hidden_sizes`. A class or callable is called with (n_inputs,
        n_outputs); an instance must have these sizes, and is copied. With a skorch net its module becomes the head,
        and its max_epochs, batch_size, lr, optimizer, criterion, callbacks and device hold in place of ours
        (`lr_schedule` and `weight_decay` too are then left to it); its parameters are reachable as ``head__lr``.
        n_inputs is the number of features, and one more for each with a missing code; n_outputs the number of targets,
        or of classes (2 for a binary target), whose outputs are logits.
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
        Learning rate of the steps, in multiples of the head's. 0 leaves them where they start.
    weight_decay : float, default=0.01
        Of the head; thresholds have none.
    dropout : float or "auto", default="auto"
        Probability to drop a hidden unit of the default head. "auto": 0.1, less from 8192 rows on.
    hidden_sizes : sequence of int or "auto", default="auto"
        Hidden layers of the default head. "auto": two of 128 units; where rows are few or training is long, four such
        networks, whose outputs are averaged.
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
    BitwiseQuantizer : Thresholds that move freely.

    Notes
    -----
    Esser et al. 2020, arXiv 1902.08153; as a rival in arXiv 2603.05172, Section 4.
    NOTE[DIFF]: with ``missing="code"`` the lowest multiple is given up for the missing code.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import LSQQuantizer
    >>> X, y = make_friedman1(200, random_state=0)
    >>> quantizer = LSQQuantizer(n_bits=2, max_epochs=3, random_state=0).fit(X, y)
    >>> quantizer.transform(X).shape, quantizer.codebook_.row_bits <= 20
    ((200, 10), True)
    """

    def __init__(
        self,
        n_bits=None,
        *,
        head=None,
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
        self.head = head
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
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.class_weight = class_weight
        self.device = device
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def _kind(self):
        return Steps()
