"""Training rows that come in chunks, pass after pass, because they are more than fits into memory."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import compute_class_weight

from skbsq._targets import MAX_INTEGER_CLASSES, as_target, check_class_weight, check_target, resolve_task
from skbsq._validation import check_chunk_weights, check_X
from skbsq.codebook.labels import check_columns, columns_of
from skbsq.codebook.matrix import as_table
from skbsq.thresholds.features import Feature, joined_sums
from skbsq.thresholds.filling import CodebookBuilder
from skbsq.thresholds.sketch import MAX_SIZE, MIN_SIZE
from skbsq.thresholds.summary import Summary
from skbsq.training.batches import TensorStream
from skbsq.training.rows import BaseRows, as_tensors, nonzero, target_sums


@dataclass(frozen=True)
class ChunkedRows(BaseRows):
    """Training rows in chunks, checked whenever they are read, without those of zero weight."""

    read: Callable  # read(generator) yields (X, y, weights) of every chunk
    summary: Summary
    target: "Targets"
    held_out: tuple | None  # (X, y, weights)
    task: str
    names: np.ndarray | None
    classes: np.ndarray | None  # sorted labels, for classification

    @property
    def n_features(self):
        return self.summary.d

    @property
    def n_outputs(self):
        return len(self.classes) if self.task == "classification" else self.target.sums[1].size

    @property
    def n_rows(self):
        return self.summary.n_rows

    # None of the chunks are held out.
    can_hold_out = False

    def class_shares(self):
        """Share of each class in the weight of the rows."""
        return self.target.class_weights / self.target.class_weights.sum()

    @property
    def target_ndim(self):
        return self.target.ndim

    @property
    def weighted(self):
        return self.target.least_weight < self.target.most_weight

    @property
    def constant(self):
        return self.summary.constant

    @property
    def nan_seen(self):
        return self.summary.n_missing > 0

    def features(self):
        return self.summary.features()

    def features_with_target(self):
        raise ValueError(
            'init="tree" looks at all rows with their targets, which is not possible in chunks: take an init that '
            'looks at X alone, such as "quantile".'
        )

    def distinct(self):
        return (feature.weighted_unique[0] for feature in self.features())

    def drawn(self, n, seed):
        random = np.random.RandomState(seed)
        n = min(n, self.summary.n_rows)
        drawn = []
        for feature in self.features():
            x = feature.x
            if x.size:
                x = random.choice(x, size=n, p=feature.weights / feature.weights.sum())
            drawn.append(Feature(x, np.ones(x.size)))
        return drawn

    def target_sums(self):
        return self.target.sums

    def target_moments(self):
        _, mean, variance = self.target_sums()
        return mean, nonzero(np.sqrt(variance))

    def codebook(self, thresholds, *, levels, **given):
        builder = CodebookBuilder(thresholds, names=self.names, **given)
        for X, _, weights in self.read(None):
            builder.add(X, weights)
        return builder.codebook(levels)

    def tensors(self, mean, scale):
        def read(generator):
            for rows in self.read(generator):
                yield self._as_tensors(rows, mean, scale)

        return TensorStream(read, self.summary.n_rows)

    def validation_tensors(self, mean, scale):
        """The rows that were given beside the chunks, or None."""
        return None if self.held_out is None else self._as_tensors(self.held_out, mean, scale)

    def _as_tensors(self, rows, mean, scale):
        mean_weight = self.target.weight / self.summary.n_rows if self.weighted else None
        return as_tensors(*rows, self.classes, mean, scale, mean_weight)


class Targets:
    """What is known of the targets and weights of rows that come in chunks."""

    def __init__(self, task):
        self.task = task
        self.ndim = None
        self.weight = 0.0
        self.least_weight, self.most_weight = np.inf, -np.inf
        self.sums = (0.0, 0.0, 0.0)
        self.classes = self.class_weights = None

    def add(self, y, weights):
        if self.ndim not in (None, y.ndim) or (self.ndim == 2 and y.shape[1:] != self.sums[1].shape):
            raise ValueError(f"y has shape {y.shape} in a chunk, after chunks with targets of another shape.")
        self.ndim = y.ndim
        self.weight += weights.sum()
        self.least_weight = min(self.least_weight, weights.min())
        self.most_weight = max(self.most_weight, weights.max())
        if self.task == "classification":
            labels, place = np.unique(y, return_inverse=True)
            own = np.bincount(place, weights)
            if self.classes is not None:
                labels, place = np.unique(np.concatenate([self.classes, labels]), return_inverse=True)
                own = np.bincount(place, np.concatenate([self.class_weights, own]))
            self.classes, self.class_weights = labels, own
        else:
            sums = target_sums(y, weights)
            self.sums = joined_sums(self.sums, sums) if self.sums[0] else sums


def read_chunks(estimator, chunks, validation, *, task, missing, class_weight, sketch_size):
    """Learn from a pass or two over chunks what a fit needs to know before it trains.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets ``n_features_in_`` and ``feature_names_in_``.
    chunks : iterable or callable
        As `fit_chunks` takes them.
    validation : tuple or None
    task : {"auto", "regression", "classification"}
    missing : {"error", "code"}
    class_weight : dict, "balanced" or None
    sketch_size : int

    Returns
    -------
    ChunkedRows
    """
    if not isinstance(sketch_size, Integral) or not MIN_SIZE <= sketch_size <= MAX_SIZE:
        raise ValueError(f"sketch_size must be an integer from {MIN_SIZE} to {MAX_SIZE}, got {sketch_size!r}.")
    if validation is not None:
        _check_form(validation, "validation")
    reader = _Reader(estimator, chunks, missing)
    if task == "auto":
        task = _resolve_task(reader)
    reader.task = task
    if class_weight is not None:
        check_class_weight(class_weight, task)
        reader.class_weights = _class_weights(reader, class_weight)
    summary, target = None, Targets(task)
    for X, y, weights in reader.read():
        summary = summary or Summary(X.shape[1], sketch_size)
        summary.add(X, weights)
        target.add(y, weights)
    if summary is None or summary.n_rows < 2:
        found = 0 if summary is None else summary.n_rows
        raise ValueError(f"At least 2 rows of positive weight are needed to learn thresholds, got {found}.")
    reader.n_rows = summary.n_rows
    if task == "classification" and target.classes.size < 2:
        raise ValueError(f"y holds one class only, {target.classes.tolist()[0]!r}: a classifier needs at least two.")
    reader.classes = target.classes
    held_out = None
    if validation is not None:
        held_out = reader.checked(validation, "validation")
        if held_out is None:
            raise ValueError("validation holds no row of positive weight.")
    names = getattr(estimator, "feature_names_in_", None)
    return ChunkedRows(reader.read, summary, target, held_out, task, names, target.classes)


class _Reader:
    """Passes over chunks, each of them checked."""

    def __init__(self, estimator, chunks, missing):
        if not callable(chunks):
            if not hasattr(chunks, "__iter__") and not hasattr(chunks, "__getitem__"):
                raise ValueError(f"chunks must be an iterable of (X, y), or return one when called, got {chunks!r}.")
            if hasattr(chunks, "__next__"):
                raise ValueError(
                    f"chunks is a {type(chunks).__name__}, which can be gone through only once, and training goes "
                    "through the chunks once an epoch: give a function that makes it anew, lambda: make_chunks()."
                )
        self.estimator = estimator
        self.chunks = chunks
        self.missing = missing
        self.first = True
        self.task = None
        self.class_weights = None  # (labels, their weights)
        self.classes = None
        self.n_rows = None
        self.targets = None  # names of the columns of y

    def pass_over(self, generator=None):
        """Yield the chunks as they are given, those of a sequence in an order drawn from the generator."""
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
        """Yield (X, y, weights) of every chunk that has rows of positive weight."""
        n_rows = 0
        for chunk in self.pass_over(generator):
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

    def checked(self, chunk, what="a chunk"):
        X, y, *weights = chunk
        X = check_X(self.estimator, X, reset=self.first, missing=self.missing, stacklevel=7)
        self.first = False
        weights = check_chunk_weights(weights[0] if weights else None, X)
        columns = columns_of(y)
        self.targets = self.targets or columns
        if self.targets is not None:
            check_columns(columns, self.targets, "y")
        y, _ = check_target(_raveled(y), X, self.task, self.estimator)
        if self.class_weights is not None:
            weights = weights * self.class_weights[1][self._class_numbers(y, self.class_weights[0], what)]
        kept = weights > 0
        if not kept.all():
            X, y, weights = X[kept], y[kept], weights[kept]
        if self.classes is not None:
            self._class_numbers(y, self.classes, what)
        return (X, y, weights) if len(X) else None

    def _class_numbers(self, y, classes, what):
        numbers = np.minimum(np.searchsorted(classes, y), classes.size - 1)
        if (unknown := classes[numbers] != y).any():
            raise ValueError(f"The label {y[unknown].tolist()[0]!r} in {what} is in no chunk of the first pass.")
        return numbers


def _resolve_task(reader):
    """The task that the targets of all chunks ask for; integers are counted in a pass of their own."""
    first = next(reader.pass_over(), None)
    if first is None:
        raise ValueError("The chunks hold no rows.")
    y = as_target(first[1])
    target = np.asarray(y)
    if target.dtype.kind not in "iu" or target.size > len(target):
        return resolve_task(y)
    labels = np.empty(0, dtype=np.int64)
    for X, y, *given in reader.pass_over():
        kept = check_chunk_weights(given[0] if given else None, X) > 0
        y = np.asarray(as_target(y))
        labels = np.union1d(labels, y[kept] if len(y) == len(kept) else y)
        if labels.size > MAX_INTEGER_CLASSES:
            return "regression"
    return "classification"


def _class_weights(reader, class_weight):
    """Labels of all chunks, sorted, and the weight of each: found in a pass of their own."""
    labels = counts = None
    for _, y, _ in reader.read():
        own, n = np.unique(y, return_counts=True)
        if labels is None:
            labels, counts = own, n
        else:
            labels, place = np.unique(np.concatenate([labels, own]), return_inverse=True)
            counts = np.bincount(place, weights=np.concatenate([counts, n]))
    if labels is None:
        raise ValueError("The chunks hold no rows of positive weight.")
    if isinstance(class_weight, str):  # "balanced"
        return labels, counts.sum() / (labels.size * counts)
    return labels, compute_class_weight(class_weight, classes=labels, y=labels)


def _raveled(y):
    """A column as it comes from a torch Dataset is one target."""
    return y.reshape(-1) if getattr(y, "ndim", 0) == 2 and y.shape[1] == 1 and hasattr(y, "reshape") else y


def _check_form(chunk, what):
    if not isinstance(chunk, tuple | list) or len(chunk) not in (2, 3):
        length = f" of length {len(chunk)}" if isinstance(chunk, tuple | list) else ""
        raise ValueError(f"{what} must be (X, y) or (X, y, sample_weight), got a {type(chunk).__name__}{length}.")
