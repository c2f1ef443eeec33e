"""Training rows that come in chunks, pass after pass, because they do not fit into memory together."""

from numbers import Integral

import numpy as np
import torch
from sklearn.utils import compute_class_weight

from skbsq._targets import MAX_INTEGER_CLASSES, as_target, check_class_weight, check_target, resolve_task
from skbsq._validation import check_chunk_weights, check_X
from skbsq.codebook.checks import check_guard
from skbsq.codebook.labels import check_columns, columns_of
from skbsq.codebook.matrix import as_table
from skbsq.thresholds.features import Feature, joined_sums, target_sums
from skbsq.thresholds.filling import CodebookBuilder, may_be_missing
from skbsq.thresholds.sketch import MAX_SIZE, MIN_SIZE
from skbsq.thresholds.summary import DEFAULT_SIZE, Summary
from skbsq.training.batches import TensorStream
from skbsq.training.rows import BaseRows, check_enough, refuse_new_nan


class ChunkedRows(BaseRows):
    """Training rows in chunks: checked in every pass, and without rows of zero weight.

    It has the attributes and methods that a `Learner` needs of `Rows`; see there.

    Parameters
    ----------
    read : callable
        ``read(generator)`` yields (X, y, weights) of every chunk.
    summary : Summary
    target : Targets
    held_out : (X, y, weights) or None
    task : {"regression", "classification"}
    names : ndarray of str or None
    may_be_missing, guarded : ndarrays of bool of shape (d,)
    """

    can_hold_out = False

    def __init__(self, read, summary, target, held_out, task, names, may_be_missing, guarded):
        self.read, self.summary, self.target = read, summary, target
        self.held_out, self.task, self.names, self.classes = held_out, task, names, target.classes
        self.n_features, self.n_rows = summary.d, summary.n_rows
        self.n_outputs = target.sums[1].size if self.classes is None else len(self.classes)
        self.target_ndim = target.ndim
        self.weighted = target.min_weight < target.max_weight
        self.mean_weight = target.weight / summary.n_rows
        self.constant, self.nan_seen = summary.constant, summary.nan_seen
        self.may_be_missing, self.guarded = may_be_missing, guarded

    def class_shares(self):
        return self.target.class_weights / self.target.class_weights.sum()

    def features(self):
        return self.summary.features()

    def features_with_target(self):
        raise ValueError(
            'init="tree" needs all rows with their targets at once, and fit_chunks reads one chunk at a time: use an '
            'init that reads X alone, such as "quantile".'
        )

    def distinct(self):
        return (feature.weighted_unique[0] for feature in self.features())

    def drawn(self, n, seed):
        random = np.random.RandomState(seed)
        drawn = []
        for feature in self.features():
            x = feature.x
            if x.size:
                x = random.choice(x, size=min(n, self.n_rows), p=feature.weights / feature.weights.sum())
            drawn.append(Feature(x, np.ones(x.size)))
        return drawn

    def target_sums(self):
        return self.target.sums

    def target_range(self):
        return self.target.summary.low, self.target.summary.high

    def targets(self):
        return self.target.summary.features()

    def codebook(self, thresholds, *, levels, **given):
        builder = CodebookBuilder(thresholds, names=self.names, **given)
        for X, _, weights in self.read(None):
            builder.add(X, weights)
        return builder.codebook(levels)

    def tensors(self, mean, scale):
        def read(generator):
            for rows in self.read(generator):
                yield self._as_tensors(*rows, mean, scale)

        return TensorStream(read, self.n_rows)


class Targets:
    """Collect statistics of targets and weights, chunk by chunk.

    Parameters
    ----------
    task : {"regression", "classification"}
    sketch_size : int
        Of the sketch of each target of a regression.
    """

    def __init__(self, task, sketch_size=DEFAULT_SIZE):
        self.task, self.sketch_size = task, sketch_size
        self.summary = None
        self.ndim = None
        self.weight = 0.0
        self.min_weight, self.max_weight = np.inf, -np.inf
        self.sums = (0.0, 0.0, 0.0)
        self.classes = self.class_weights = None

    def add(self, y, weights):
        """Add the targets and weights of a chunk.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
        weights : ndarray of float64 of shape (n,)

        Raises
        ------
        ValueError
            If y has another number of targets than the chunks before.
        """
        if self.ndim not in (None, y.ndim) or (self.ndim == 2 and y.shape[1:] != self.sums[1].shape):
            raise ValueError(f"y has shape {y.shape} in a chunk, after chunks with targets of another shape.")
        self.ndim = y.ndim
        self.weight += weights.sum()
        self.min_weight = min(self.min_weight, weights.min())
        self.max_weight = max(self.max_weight, weights.max())
        if self.task == "classification":
            labels, label_numbers = np.unique(y, return_inverse=True)
            by_label = np.bincount(label_numbers, weights)
            if self.classes is not None:
                labels, label_numbers = np.unique(np.concatenate([self.classes, labels]), return_inverse=True)
                by_label = np.bincount(label_numbers, np.concatenate([self.class_weights, by_label]))
            self.classes, self.class_weights = labels, by_label
        else:
            sums = target_sums(y, weights)
            self.sums = joined_sums(self.sums, sums) if self.sums[0] else sums
            self.summary = self.summary or Summary(sums[1].size, self.sketch_size)
            self.summary.add(y.reshape(len(y), -1).astype(np.float32), weights)


def read_chunks(estimator, chunks, validation, *, task, missing, guard, class_weight, sketch_size):
    """Collect, in a pass or two over the chunks, what a fit needs to know before it trains.

    Parameters
    ----------
    estimator : BaseEstimator
        ``n_features_in_`` and ``feature_names_in_`` are set on it.
    chunks : iterable or callable
        As `fit_chunks` takes them.
    validation : tuple or None
    task : {"auto", "regression", "classification"}
    missing : str, array-like, dict or Series
        See `skbsq.codebook.checks.check_missing`.
    guard : bool, array-like, dict or Series
        See `skbsq.codebook.checks.check_guard`.
    class_weight : dict, "balanced" or None
    sketch_size : int

    Returns
    -------
    ChunkedRows

    Raises
    ------
    ValueError
        For an invalid argument or chunk.
    """
    if not isinstance(sketch_size, Integral) or not MIN_SIZE <= sketch_size <= MAX_SIZE:
        raise ValueError(f"sketch_size must be an integer from {MIN_SIZE} to {MAX_SIZE}, got {sketch_size!r}.")
    if validation is not None:
        _check_form(validation, "validation")
    reader = _Reader(estimator, chunks, missing)
    reader.task = task = _resolve_task(reader) if task == "auto" else task
    if class_weight is not None:
        check_class_weight(class_weight, task)
        reader.class_weights = _class_weights(reader, class_weight)
    summary, target = None, Targets(task, sketch_size)
    for X, y, weights in reader.read():
        summary = summary or Summary(X.shape[1], sketch_size)
        summary.add(X, weights)
        target.add(y, weights)
    check_enough(summary.n_rows if summary else 0, target.classes)
    reader.n_rows, reader.classes = summary.n_rows, target.classes
    names = getattr(estimator, "feature_names_in_", None)
    reader.may_be_missing = may_be_missing(missing, names, summary.nan_seen)
    held_out = None
    if validation is not None:
        held_out = reader.checked(validation, "validation")
        if held_out is None:
            raise ValueError("validation has no row of positive weight.")
    guarded = check_guard(guard, names, summary.d) & ~summary.constant
    return ChunkedRows(reader.read, summary, target, held_out, task, names, reader.may_be_missing, guarded)


class _Reader:
    """Read the chunks, pass after pass, and check each of them."""

    def __init__(self, estimator, chunks, missing):
        if not callable(chunks):
            if not hasattr(chunks, "__iter__") and not hasattr(chunks, "__getitem__"):
                raise ValueError(f"chunks must be an iterable of (X, y), or return one when called, got {chunks!r}.")
            if hasattr(chunks, "__next__"):
                raise ValueError(
                    f"chunks is a {type(chunks).__name__}, which can be read only once, and training reads the chunks "
                    "once per epoch: give a function that makes a new one, lambda: make_chunks()."
                )
        self.estimator = estimator
        self.chunks = chunks
        self.missing = missing
        self.is_first = True
        self.task = None
        self.class_weights = None  # (labels, their weights)
        self.target_names = None
        # Known after the first pass.
        self.classes = None
        self.n_rows = None
        self.may_be_missing = None

    def raw_chunks(self, generator=None):
        """Yield the chunks unchecked, without empty ones. A generator draws the order of a sequence of chunks."""
        chunks = self.chunks() if callable(self.chunks) else self.chunks
        if generator is not None and hasattr(chunks, "__getitem__") and hasattr(chunks, "__len__") and len(chunks) > 1:
            order = torch.randperm(len(chunks), generator=generator).tolist()
            chunks = map(chunks.__getitem__, order)
        for chunk in chunks:
            _check_form(chunk, "Every chunk")
            X = as_table(chunk[0], "X")
            if getattr(X, "shape", None) == () or len(X):
                yield (X, *chunk[1:])

    def read(self, generator=None):
        """Yield (X, y, weights) of every chunk with rows of positive weight."""
        n_rows = 0
        for chunk in self.raw_chunks(generator):
            rows = self.checked(chunk)
            if rows is not None:
                n_rows += len(rows[0])
                if self.n_rows is not None and n_rows > self.n_rows:
                    break
                yield rows
        if self.n_rows is not None and n_rows != self.n_rows:
            found = "more" if n_rows > self.n_rows else n_rows
            raise ValueError(
                f"The chunks held {self.n_rows} rows in the first pass and {found} in a later one: every pass must "
                "give the same rows."
            )

    def checked(self, chunk, where="a chunk"):
        """Check a chunk, and return (X, y, weights) of its rows of positive weight; None if there are none."""
        X, y, *weights = chunk
        X = check_X(self.estimator, X, reset=self.is_first, missing=self.missing, stacklevel=7)
        self.is_first = False
        weights = check_chunk_weights(weights[0] if weights else None, X)
        columns = columns_of(y)
        self.target_names = self.target_names or columns
        if self.target_names is not None:
            check_columns(columns, self.target_names, "y")
        y, _ = check_target(_raveled(y), X, self.task, self.estimator)
        if self.class_weights is not None:
            labels, by_class = self.class_weights
            weights = weights * by_class[_class_numbers(y, labels, where)]
        kept = weights > 0
        if not kept.all():
            X, y, weights = X[kept], y[kept], weights[kept]
        if self.classes is not None:
            _class_numbers(y, self.classes, where)
        if self.may_be_missing is not None and len(X):
            names = getattr(self.estimator, "feature_names_in_", None)
            refuse_new_nan(X, self.may_be_missing, names, f"X of {where}", "the first pass over the chunks")
        return (X, y, weights) if len(X) else None


def _class_numbers(y, classes, where):
    """Number the labels by class, and reject unknown labels."""
    numbers = np.minimum(np.searchsorted(classes, y), classes.size - 1)
    if (unknown := classes[numbers] != y).any():
        raise ValueError(f"The label {y[unknown].tolist()[0]!r} in {where} is in no chunk of the first pass.")
    return numbers


def _resolve_task(reader):
    """Find the task: from the targets of the first chunk, or for integers from their number in all chunks."""
    labels = None
    for X, y, *weights in reader.raw_chunks():
        y = as_target(y)
        target = np.asarray(y)
        if labels is None:
            if target.dtype.kind not in "iu" or target.size > len(target):
                return resolve_task(y)
            labels = target[:0]
        kept = check_chunk_weights(weights[0] if weights else None, X) > 0
        labels = np.union1d(labels, target[kept] if len(target) == len(kept) else target)
        if labels.size > MAX_INTEGER_CLASSES:
            return "regression"
    if labels is None:
        raise ValueError("The chunks hold no rows.")
    return "classification"


def _class_weights(reader, class_weight):
    """Find the sorted labels of all chunks, and the weight of each, in a separate pass."""
    target = Targets("classification")
    for _, y, _ in reader.read():
        target.add(y, np.ones(len(y)))
    labels, counts = target.classes, target.class_weights
    if labels is None:
        raise ValueError("The chunks hold no rows of positive weight.")
    if isinstance(class_weight, str):  # "balanced"
        return labels, counts.sum() / (labels.size * counts)
    return labels, compute_class_weight(class_weight, classes=labels, y=labels)


def _raveled(y):
    """Flatten a single target of shape (n, 1), as a torch Dataset yields it."""
    return y.reshape(-1) if getattr(y, "ndim", 0) == 2 and y.shape[1] == 1 and hasattr(y, "reshape") else y


def _check_form(chunk, what):
    """Reject anything but a tuple or list of two or three entries."""
    if not isinstance(chunk, tuple | list) or len(chunk) not in (2, 3):
        length = f" of length {len(chunk)}" if isinstance(chunk, tuple | list) else ""
        raise ValueError(f"{what} must be (X, y) or (X, y, sample_weight), got a {type(chunk).__name__}{length}.")
