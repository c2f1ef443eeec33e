"""Fold a fitted pipeline into one codebook, in the units of the raw features."""

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.floats import FLOAT32_MAX, last_floats
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import label

DTYPES = ("float32", "float64")
_PASSTHROUGH = (None, "passthrough")  # steps that do nothing


def to_codebook(fitted, *, dtype="float32"):
    """Return the codebook of a quantizer, of a predictor, or of a pipeline that ends in one.

    The scalers of a pipeline are folded into the thresholds, so that a device encodes raw readings. For float32 rows
    the codes are exactly those of the pipeline. A folded threshold is the largest float32 that the fitted scaler maps
    to at most the threshold of the quantizer. It is found by bisection over the floats.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline
        The steps of a pipeline before the quantizer can be StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler,
        "passthrough", feature selection (VarianceThreshold, SelectKBest, ...), pipelines of these, and a
        ColumnTransformer of these that keeps the order of the columns.
    dtype : {"float32", "float64"}, default="float32"
        Type of the rows for which the codes are exact. A scaler computes in the type of its input. The two types round
        differently, which changes the code of a value on a threshold. Give the type that the pipeline was fitted on.
        With "float64" the codes are those of ``transform`` for float64 rows that hold float32 values, and for polars
        frames of any type, which scikit-learn scales in float64. Without a scaler it makes no difference.

    Returns
    -------
    Codebook
        It has one feature per raw column. A column that was not selected has no threshold and no missing code. It costs
        0 bits, so rows take the same bytes as with the codebook of the quantizer. Levels are those of the quantizer,
        scaled back. Names are those that the pipeline was fitted with.

    Raises
    ------
    ValueError
        If a step cannot be folded; the message names it. Also if no codebook can be exact, because no raw float32 lies
        between two thresholds (the code between them would be lost), or because every raw float32 exceeds a threshold.
    sklearn.exceptions.NotFittedError
        If `fitted`, or a step of it, is not fitted.

    See Also
    --------
    to_c : Write an encoder as a C header.
    to_onnx : Write an encoder or a predictor as an ONNX model.

    Notes
    -----
    The codebook accepts infinities, which the scalers refuse: inf gets the highest code of a number, -inf gets code 0.
    It refuses NaN in a column with bits and no missing code, as the quantizer does.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skbsq import UniformQuantizer
    >>> from skbsq.export import to_codebook
    >>> X = np.float32([[0], [20], [128]])
    >>> pipeline = make_pipeline(MinMaxScaler(), UniformQuantizer(n_bits=1)).fit(X)
    >>> book = to_codebook(pipeline)
    >>> book.thresholds, book.levels
    ([array([64.], dtype=float32)], [array([ 10., 128.], dtype=float32)])
    >>> bool((book.encode(X) == pipeline.transform(X)).all())
    True
    """
    return fold(fitted, dtype)[0]


def fold(fitted, dtype="float32"):
    """Return the codebook in raw units, and where the features of the quantizer are in it.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline
    dtype : {"float32", "float64"}, default="float32"

    Returns
    -------
    codebook : Codebook
    columns : ndarray of int of shape (d,)
        Feature k of the quantizer is feature ``columns[k]`` of the codebook.
    """
    _check_dtype(dtype)
    before, name, last = split_off(fitted)
    return _folded(_codebook_of(name, last), before, dtype)


def fold_rates(fitted, dtype="float32"):
    """Return the codebook of each rate in raw units.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline
    dtype : {"float32", "float64"}, default="float32"

    Returns
    -------
    dict int -> Codebook
        From the finest to the coarsest rate. Without rates, the only codebook, under its bits per row.
    """
    _check_dtype(dtype)
    before, name, last = split_off(fitted)
    finest = _codebook_of(name, last)
    rates = getattr(last, "codebooks_", {finest.row_bits: finest})
    return {rate: _folded(book, before, dtype)[0] for rate, book in rates.items()}


def _check_dtype(dtype):
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {list(DTYPES)}, got {dtype!r}.")


def _folded(inner, before, dtype):
    """Fold the steps before a quantizer into its codebook, see `fold`."""
    if not before:
        return inner, np.arange(inner.n_features)
    from sklearn.utils.validation import check_is_fitted

    for _, step in before:
        check_is_fitted(step)
    n_raw, names = before[0][1].n_features_in_, getattr(before[0][1], "feature_names_in_", None)
    columns, undo = _chain(before, n_raw)
    _check_order(columns, before)

    def transform(x):
        raw = np.zeros((len(x), n_raw), dtype=dtype)
        raw[:, columns] = x
        if names is not None:
            import pandas as pd

            raw = pd.DataFrame(raw, columns=names)
        with np.errstate(all="ignore"):  # a value beyond float32 becomes an infinity, which keeps the order
            for _, step in before:
                raw = step.transform(raw)
        return as_float32(np.asarray(raw))

    folded = _fold_thresholds(inner, transform, [label(names, j) for j in columns.tolist()])
    return _raw_codebook(inner, folded, _raw_levels(inner, undo), columns, n_raw, names), columns


def split_off(fitted):
    """Split a pipeline into its last step and the steps before it.

    Parameters
    ----------
    fitted : object
        A Pipeline, whose nested pipelines are split too; or any other object, which counts as the last step.

    Returns
    -------
    before : list of (name, step)
        Without "passthrough".
    name : str or None
        Name of the last step.
    last : object
    """
    *before, (name, last) = _flat_steps(fitted)
    return [(name, step) for name, step in before if step not in _PASSTHROUGH], name, last


def _flat_steps(fitted, name=None):
    if _is_pipeline(fitted):
        for name, step in fitted.steps:
            yield from _flat_steps(step, name)
    else:
        yield name, fitted


def _is_pipeline(step):
    if isinstance(step, Codebook):
        return False
    from sklearn.pipeline import Pipeline

    return isinstance(step, Pipeline)


def _codebook_of(name, last):
    if isinstance(last, Codebook):
        return last
    if hasattr(last, "get_params"):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(last)
    book = getattr(last, "codebook_", None)
    if isinstance(book, Codebook):
        return book
    if getattr(last, "quantizer_", False) is None:
        raise ValueError('There is no codebook with quantizer="passthrough": the head reads floats.')
    way_out = (
        "" if name is None else f" Step {name!r} is none of these: cut the pipeline after its quantizer, as pipe[:k]."
    )
    raise ValueError(
        "Give a Codebook, a fitted quantizer or predictor of skbsq, or a Pipeline that ends in one of these, "
        f"got {last!r}.{way_out}"
    )


def _chain(steps, n):
    """Trace several steps, one after the other, see `_trace`."""
    columns, undos = np.arange(n), []
    for name, step in steps:
        kept, undo = _trace(name, step, columns.size)
        columns = columns[kept]
        undos.append(undo)

    def undo_all(values):
        for undo in reversed(undos):
            values = undo(values)
        return values

    return columns, undo_all


def _trace(name, step, n):
    """Find out which of n columns a step keeps, and how to undo its scaling.

    Returns
    -------
    columns : ndarray of int
        The input column of each output column.
    undo : callable
        Converts output values, float64 of shape (n, outputs), to the units of the input. Dropped columns become 0.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_selection import SelectorMixin
    from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

    if _is_pipeline(step):
        return _chain(_flat_steps(step), n)
    # A subclass may do anything, so only the exact types count. A FunctionTransformer without a function does nothing.
    if step in _PASSTHROUGH or (type(step) is FunctionTransformer and step.func is None):
        return np.arange(n), lambda values: values
    if type(step) in (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler):
        _check_increasing(name, step)
        return np.arange(n), step.inverse_transform
    if isinstance(step, SelectorMixin):
        parts = [(step.get_support(indices=True), lambda values: values)]
    elif type(step) is ColumnTransformer:
        parts = _column_parts(name, step)
    else:
        raise ValueError(
            f"Step {name!r} ({type(step).__name__}) cannot be folded into thresholds: only scalers (StandardScaler, "
            "MinMaxScaler, MaxAbsScaler, RobustScaler) and a selection of columns can. Do this step on the device, "
            'and export the pipeline without it. Instead of an imputer use missing="seen", which gives NaN a code.'
        )

    def undo(values):
        out, start = np.zeros((len(values), n)), 0
        for columns, undo in parts:
            out[:, columns] = undo(values[:, start : start + columns.size])
            start += columns.size
        return out

    return np.concatenate([columns for columns, _ in parts]), undo


def _column_parts(name, transformer):
    """Return the columns that each part of a ColumnTransformer keeps, and how to undo its scaling."""
    if transformer.transformer_weights is not None:
        raise ValueError(
            f"Step {name!r} multiplies columns by transformer_weights, which cannot be folded into thresholds: leave "
            "the weights out, thresholds do not need them."
        )
    parts = []
    for part, step, _ in transformer.transformers_:
        columns = np.asarray(transformer._transformer_to_input_indices[part], dtype=np.intp)
        if columns.size and step != "drop":
            kept, undo = _trace(f"{name}: {part}", step, columns.size)
            parts.append((columns[kept], lambda values, undo=undo, kept=kept: undo(values)[:, kept]))
    return parts


def _check_increasing(name, scaler):
    """Refuse a scaler that does not keep the order of values, or that maps them beyond float32."""
    for attribute in ("scale_", "mean_", "center_", "min_"):
        values = getattr(scaler, attribute, None)
        if values is None:
            continue
        cast = as_float32(np.asarray(values))
        wrong = ~np.isfinite(cast) | ((cast <= 0) & (attribute == "scale_"))
        if wrong.any():
            j = int(np.argmax(wrong))
            raise ValueError(
                f"Step {name!r} has {attribute}[{j}] = {values[j]!r}, which in float32 does not keep the order of "
                f"values of {label(getattr(scaler, 'feature_names_in_', None), j)}, so the scaler cannot be folded. "
                "Rescale this feature first."
            )


def _check_order(columns, steps):
    if (np.diff(columns) <= 0).any():
        raise ValueError(
            f"The steps {[name for name, _ in steps]} return the columns in the order {columns.tolist()}, but a "
            "codebook has every feature once, in the order of the raw columns: list each column of a "
            "ColumnTransformer once, in this order."
        )


def _fold_thresholds(inner, transform, labels):
    """Return the thresholds of the quantizer in raw units."""
    padded = np.full((int(np.diff(inner.offsets).max()), inner.n_features), np.inf, dtype=np.float32)
    for column, t in zip(padded.T, inner.thresholds, strict=True):
        column[: t.size] = t
    if padded.size == 0:
        return inner.thresholds
    ends = last_floats(lambda x: transform(x) <= padded, padded.shape)
    folded = [end[: t.size] for end, t in zip(ends.T, inner.thresholds, strict=True)]
    for raw, t, feature in zip(folded, inner.thresholds, labels, strict=True):
        if raw.size and raw[0] == -np.inf:
            raise ValueError(
                f"Every float32 of {feature} exceeds the threshold {t[0]}, so no value has code 0: leave this "
                "threshold out."
            )
        if (raw[1:] == raw[:-1]).any():
            k = int(np.argmax(raw[1:] == raw[:-1]))
            between = f"which is {raw[k]} in raw units" if raw[k] < FLOAT32_MAX else "and none exceeds them"
            raise ValueError(
                f"No float32 of {feature} lies between the thresholds {t[k]} and {t[k + 1]}, {between}: the code "
                "between them would be lost. Fit the pipeline on float32 rows, subtract an offset from the feature "
                "first, or use fewer thresholds."
            )
    return folded


def _raw_levels(inner, undo):
    """Return the levels of the quantizer in raw units, one column per raw feature; unused entries are arbitrary."""
    levels = np.zeros((int(np.diff(inner.offsets).max()) + 1, inner.n_features))
    for column, given, n in zip(levels.T, inner.levels, np.diff(inner.offsets) + 1, strict=True):
        column[:n] = given[:n]
    with np.errstate(over="ignore", under="ignore"):
        return np.clip(undo(levels), -FLOAT32_MAX, FLOAT32_MAX)


def _raw_codebook(inner, folded, levels, columns, n_raw, names):
    """Build the codebook of all raw columns."""
    thresholds, counts = [np.empty(0, dtype=np.float32)] * n_raw, None
    has_missing = np.zeros(n_raw, dtype=bool)
    has_missing[columns] = inner.has_missing
    for j, t in zip(columns.tolist(), folded, strict=True):
        thresholds[j] = t
    if inner.counts is not None:
        counts = [inner.counts[0].sum(keepdims=True)] * n_raw
        for j, count in zip(columns.tolist(), inner.counts, strict=True):
            counts[j] = count
    for j, t, has_guard in zip(columns.tolist(), folded, inner.has_guard.tolist(), strict=True):
        if has_guard:
            # The levels of guard codes are next to the guard thresholds, whatever the scalers round.
            levels[[0, t.size], j] = np.nextafter(t[0], np.float32(np.inf)), t[-1]
    given = {
        "levels": [column[: t.size + 1] for column, t in zip(levels.T, thresholds, strict=True)],
        "counts": counts,
        "missing": "seen",
        "has_missing": has_missing,
        "feature_names": names,
    }
    book = Codebook.from_thresholds(thresholds, **given)
    # A codebook can be folded several times. Its model is still that of the first codebook.
    origin = inner.folded_from or inner.fingerprint
    return book if book.fingerprint == origin else Codebook.from_thresholds(thresholds, **given, folded_from=origin)
