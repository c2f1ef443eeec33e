"""Training rows that come in chunks, pass after pass, because they do not fit into memory together."""

import copy
import zlib
from functools import partial
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import compute_class_weight

from skbsq._targets import MAX_INTEGER_CLASSES, as_target, check_class_weight, check_target, resolve_task
from skbsq._validation import check_chunk_weights, check_X
from skbsq.codebook.checks import check_guard
from skbsq.codebook.labels import check_columns, columns_of, label
from skbsq.codebook.matrix import as_table
from skbsq.thresholds.categories import Categories, SeenCategories, weight_at
from skbsq.thresholds.features import Feature, at_places, joined_sums, target_sums
from skbsq.thresholds.filling import CodebookBuilder, may_be_missing
from skbsq.thresholds.orders import Order, TargetSums, draw_folds, floats_of_rows, order_by_sums
from skbsq.thresholds.sketch import MAX_SIZE, MIN_SIZE
from skbsq.thresholds.summary import DEFAULT_SIZE, Summary
from skbsq.training.batches import TensorStream
from skbsq.training.rows import BaseRows, check_enough, readers_of, refuse_new_nan


class ChunkedRows(BaseRows):
    """Training rows in chunks: checked in every pass, and without rows of zero weight.

    It has the attributes and methods that a `Learner` needs of `Rows`; see there.

    Parameters
    ----------
    read : callable
        ``read(generator)`` yields (X, y, weights, index) of every chunk. X holds the numbers of categories.
    summary : Summary
    target : Targets
    held_out : (X, y, weights) or None
    task : {"regression", "classification"}
    names : ndarray of str or None
    may_be_missing, guarded : ndarrays of bool of shape (d,)
    categories : dict int -> Categories
        Of the summary too.
    handle_unknown : {"error", "missing"}
    """

    can_hold_out = False

    def __init__(
        self, read, summary, target, held_out, task, names, may_be_missing, guarded, categories, handle_unknown
    ):
        self.read, self.summary, self.target = read, summary, target
        self.held_out, self.task, self.names, self.classes = held_out, task, names, target.classes
        self.n_features, self.n_rows = summary.d, summary.n_rows
        self.n_outputs = target.sums[1].size if self.classes is None else len(self.classes)
        self.target_ndim = target.ndim
        self.weighted = target.min_weight < target.max_weight
        self.mean_weight = target.weight / summary.n_rows
        self.constant, self.nan_seen = summary.constant, summary.nan_seen
        self.may_be_missing, self.guarded = may_be_missing, guarded
        self.categories, self.handle_unknown = categories, handle_unknown

    def in_order(self, n_bits, seed):
        """See `Rows.in_order`. It takes a pass over the chunks, in which the targets of categories are added up."""
        if not self.categories:
            return self
        n_levels, sums, digests = self.widths(n_bits).n_levels, {}, {}
        for X, y, weights, index in self.read(None):
            target, folds = self.target_columns(y), _folds(len(X), seed, index)
            digests[index] = _digest(X[:, list(self.categories)])
            for j, of_feature in self.categories.items():
                if j not in sums:
                    sums[j] = TargetSums(len(of_feature.names), target.shape[1])
                sums[j].add(X[:, j], target, weights, folds)
        orders, by_fold = {}, {}
        for j, of_feature in self.categories.items():
            orders[j], by_fold[j] = order_by_sums(of_feature, sums[j], int(n_levels[j]))
        weights = {j: of_feature.weight for j, of_feature in sums.items()}
        grouped = not all(order.is_kept for order in orders.values())

        def floats(X, index):
            if grouped and digests.get(index) != _digest(X[:, list(orders)]):
                raise ValueError(
                    f"Chunk {index} holds other rows than in an earlier pass. Where categories share codes, training "
                    "reads the mean target of a category outside the fold of the row, so every pass must give the same "
                    "rows in the same chunks: do not shuffle them, because fit_chunks does."
                )
            folds = _folds(len(X), seed, index) if grouped else np.zeros(len(X), dtype=np.int64)
            return {j: floats_of_rows(by_fold[j], X[:, j], folds) for j in orders}

        return self._ordered(orders, {j: (by_fold[j], weights[j]) for j in orders}, floats)

    def in_order_of(self, book):
        """See `Rows.in_order_of`."""
        if not self.categories:
            return self
        orders = {j: Order.of_book(of_feature.names, book, j) for j, of_feature in self.categories.items()}
        weights = self.summary.category_weights
        values = {j: (order.floats, weights[j]) for j, order in orders.items()}
        return self._ordered(orders, values, _places_in(orders))

    def _ordered(self, orders, values, floats):
        """Return the rows with floats in place of the numbers of categories.

        Parameters
        ----------
        orders : dict int -> Order
            With the ranks of the categories.
        values : dict int -> (values, weights)
            All floats of each feature, and the weight of the rows with each.
        floats : callable
            ``floats(X, index)`` returns the floats of each feature in a chunk: a dict.
        """
        made = copy.copy(self)
        made.summary = self.summary.with_floats({j: _with_weight(*of_feature) for j, of_feature in values.items()})
        made.constant = made.summary.constant
        made.held_out = self.held_out_with({j: partial(at_places, order.floats) for j, order in orders.items()})
        made.categories, made.orders = {}, orders
        made.read, made.read_places = partial(self._read, floats), partial(self._read, _places_in(orders))
        return made

    def _read(self, floats, generator):
        """Read the chunks with floats in place of the numbers of categories."""
        for X, y, weights, index in self.read(generator):
            for j, column in floats(X, index).items():
                X[:, j] = column
            yield X, y, weights, index

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
        read = self.read
        if self.orders:
            given |= {"categories": {j: order.names for j, order in self.orders.items()}}
            given |= {"handle_unknown": self.handle_unknown}
            read = self.read_places
        builder = CodebookBuilder(thresholds, names=self.names, **given)
        for X, _, weights, _ in read(None):
            builder.add(X, weights)
        return builder.codebook(levels)

    def tensors(self, mean, scale):
        def read(generator):
            for *rows, _ in self.read(generator):
                yield self._as_tensors(*rows, mean, scale)

        return TensorStream(read, self.n_rows)


def _folds(n_rows, seed, index):
    """Assign the rows of a chunk to folds, alike in every pass; those of the first chunk as `fit` assigns them."""
    return draw_folds(n_rows, [seed, index] if index else seed)


def _places_in(orders):
    """Return a function that gives the places of categories in their order, see `ChunkedRows._ordered`."""
    return lambda X, index: {j: at_places(order.ranks, X[:, j]) for j, order in orders.items()}


def _digest(X):
    return zlib.crc32(np.ascontiguousarray(X))


def _with_weight(values, weights):
    """Return the values that have weight, and the weights, as 1-d arrays."""
    kept = weights > 0
    return values[kept], weights[kept]


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


def read_chunks(
    estimator, chunks, validation, *, task, missing, guard, class_weight, sketch_size, categorical=(None, "error", 0.0)
):
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
    categorical : (categorical_features, handle_unknown, min_share)
        See `skbsq.BitwiseQuantizer`.

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
    categorical_features, handle_unknown, min_share = categorical
    reader = _Reader(estimator, chunks, missing, categorical_features, handle_unknown)
    reader.task = task = _resolve_task(reader) if task == "auto" else task
    if class_weight is not None:
        check_class_weight(class_weight, task)
        reader.class_weights = _class_weights(reader, class_weight)
    summary, target = None, Targets(task, sketch_size)
    for X, y, weights, _ in reader.read():
        summary = summary or Summary(X.shape[1], sketch_size, reader.seen.features)
        summary.add(X, weights, reader.seen.values)
        target.add(y, weights)
    check_enough(summary.n_rows if summary else 0, target.classes)
    reader.n_rows, reader.classes = summary.n_rows, target.classes
    names = getattr(estimator, "feature_names_in_", None)
    reader.may_be_missing = may_be_missing(missing, names, summary.nan_seen)
    if handle_unknown == "missing":
        reader.may_be_missing[reader.seen.features] = True
    categories = reader.number_categories(summary, min_share)
    held_out = None
    if validation is not None:
        readers = readers_of(categories, names, handle_unknown)
        held_out = reader.checked(validation, "validation", readers)
        if held_out is None:
            raise ValueError("validation has no row of positive weight.")
    guarded = check_guard(guard, names, summary.d) & ~summary.constant
    guarded[list(categories)] = False
    known = names, reader.may_be_missing, guarded, categories, handle_unknown
    return ChunkedRows(reader.read, summary, target, held_out, task, *known)


class _Reader:
    """Read the chunks, pass after pass, and check each of them."""

    def __init__(self, estimator, chunks, missing, categorical_features, handle_unknown):
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
        self.categorical_features, self.handle_unknown = categorical_features, handle_unknown
        self.seen = self.readers = None
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
        for _, chunk in self._numbered_chunks(generator):
            yield chunk

    def _numbered_chunks(self, generator):
        chunks = self.chunks() if callable(self.chunks) else self.chunks
        numbered = enumerate(chunks)
        if generator is not None and hasattr(chunks, "__getitem__") and hasattr(chunks, "__len__") and len(chunks) > 1:
            order = torch.randperm(len(chunks), generator=generator).tolist()
            numbered = zip(order, map(chunks.__getitem__, order), strict=True)
        for index, chunk in numbered:
            _check_form(chunk, "Every chunk")
            X = as_table(chunk[0], "X")
            if getattr(X, "shape", None) == () or len(X):
                yield index, (X, *chunk[1:])

    def read(self, generator=None):
        """Yield (X, y, weights, index) of every chunk with rows of positive weight."""
        n_rows = 0
        for index, chunk in self._numbered_chunks(generator):
            rows = self.checked(chunk)
            if rows is not None:
                n_rows += len(rows[0])
                if self.n_rows is not None and n_rows > self.n_rows:
                    break
                yield *rows, index
        if self.n_rows is not None and n_rows != self.n_rows:
            found = "more" if n_rows > self.n_rows else n_rows
            raise ValueError(
                f"The chunks held {self.n_rows} rows in the first pass and {found} in a later one: every pass must "
                "give the same rows."
            )

    def number_categories(self, summary, min_share):
        """Number the categories of the first pass, as later passes read them and the summary has them then.

        Parameters
        ----------
        summary : Summary
            Changed in place.
        min_share : float

        Returns
        -------
        dict int -> Categories
            Without features that are missing in every row.
        """
        found, names = {}, getattr(self.estimator, "feature_names_in_", None)
        for j, values in summary.categories.items():
            weight = summary.category_weights[j]
            if not weight.any():
                continue
            found[j], number = Categories.of(values, weight, min_share)
            summary.categories[j] = list(found[j].names)
            summary.category_weights[j] = weight_at(number, weight, len(found[j].names))
            # Rows of zero weight are left out later, and may hold any category until then.
            given = self.seen.readers[j], np.nan_to_num(number), label(names, j)
            self.readers = {**self.readers, j: partial(_number_read, *given)}
        return found

    def checked(self, chunk, where="a chunk", readers=None):
        """Check a chunk, and return (X, y, weights) of its rows of positive weight; None if there are none."""
        X, y, *weights = chunk
        X = as_table(X, "X")
        if self.seen is None:
            self.seen = SeenCategories(X, self.categorical_features)
            self.readers = self.seen.readers
        unknown = self.seen.features if self.handle_unknown == "missing" else ()
        given = {"missing": self.missing, "may_be_missing": unknown, "readers": readers or self.readers}
        X = check_X(self.estimator, X, reset=self.is_first, stacklevel=7, **given)
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


def _number_read(read, number, feature, column):
    """Turn a column of categories that the first pass has seen into their numbers."""
    places = read(column)
    if (new := places >= number.size).any():
        raise ValueError(
            f"Row {int(np.argmax(new))} of a chunk has a category of {feature} that is in no chunk of the first pass: "
            "every pass must give the same rows."
        )
    return at_places(number, places)


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
    for _, y, *_ in reader.read():
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
