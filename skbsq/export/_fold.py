"""A fitted pipeline as one codebook, in the units of the raw features."""

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.floats import FLOAT32_MAX, last_floats
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import label

DTYPES = ("float32", "float64")


def to_codebook(fitted, *, dtype="float32"):
    """Codebook of a quantizer, a predictor, or a pipeline that ends in one.

    The scalers of a pipeline are folded into the thresholds, so that a device encodes raw readings: for float32 rows
    the codes are exactly those of the pipeline. A folded threshold is the largest float32 that the fitted scaler does
    not lift above the threshold behind it, found by bisection over the floats.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline
        In a pipeline the steps before the quantizer can be StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler,
        "passthrough", feature selection (VarianceThreshold, SelectKBest, ...), pipelines of these, and a
        ColumnTransformer of these that keeps the order of the columns.
    dtype : {"float32", "float64"}, default="float32"
        The type of the rows whose codes are kept. A scaler computes in the type of its input, and the two round
        differently, which tells where a value comes to lie on a threshold. Give the type that the pipeline was fitted
        on. With "float64" the codes are those of ``transform`` for float64 rows that hold float32 values, and for
        polars frames of any type, which scikit-learn scales in float64. It makes no difference without a scaler.

    Returns
    -------
    Codebook
        One feature per raw column. A column that was not selected has no threshold and no missing code, so it costs 0
        bits, and rows take the same bytes as with the codebook of the quantizer. Levels are those of the quantizer,
        scaled back; names are those the pipeline was fitted with.

    Raises
    ------
    ValueError
        For any other step, by its name, and where no codebook can be exact: two thresholds between which no raw float32
        lies (the code between them would be lost), or one that every raw float32 exceeds.

    Notes
    -----
    The codebook takes infinities, which the scalers refuse: inf gets the top code of the numbers, -inf code 0. Under
    ``missing="error"`` it refuses NaN in any column, also in one that was not selected.

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
    """The codebook in raw units, and where the features of the quantizer are in it.

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
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {list(DTYPES)}, got {dtype!r}.")
    before, name, last = split_off(fitted)
    inner = _own_codebook(name, last)
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
        with np.errstate(all="ignore"):  # beyond float32 lies infinity, above every threshold
            for _, step in before:
                raw = step.transform(raw)
        return as_float32(np.asarray(raw))

    folded = _fold_thresholds(inner, transform, [label(names, j) for j in columns.tolist()])
    return _spread(inner, folded, _raw_levels(inner, undo), columns, n_raw, names), columns


def split_off(fitted):
    """What ends a pipeline, and what comes before it.

    Parameters
    ----------
    fitted : object
        A Pipeline, of which pipelines in it are taken apart too; or anything else, which stands alone.

    Returns
    -------
    before : list of (name, step)
        Without "passthrough".
    name : str or None
        Of the last step.
    last : object
    """
    *before, (name, last) = _flat_steps(fitted)
    return [(name, step) for name, step in before if not _is_passthrough(step)], name, last


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


def _is_passthrough(step):
    return step is None or (isinstance(step, str) and step == "passthrough")


def _own_codebook(name, last):
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
    where = (
        "" if name is None else f", which step {name!r} is not: cut the pipeline off behind its quantizer, as pipe[:k]"
    )
    raise ValueError(
        "A codebook can be had from a Codebook, a fitted quantizer or predictor of skbsq, or a Pipeline that ends in "
        f"one{where}; got {last!r}."
    )


def _chain(steps, n):
    """What some steps do one after the other, see `_trace`."""
    columns, undos = np.arange(n), []
    for name, step in steps:
        own, undo = _trace(name, step, columns.size)
        columns = columns[own]
        undos.append(undo)

    def undo_all(values):
        for undo in reversed(undos):
            values = undo(values)
        return values

    return columns, undo_all


def _trace(name, step, n):
    """What a step does to n columns, if it does no more than scale and select them.

    Returns
    -------
    columns : ndarray of int
        Which column each output is made of.
    undo : callable
        Output values, float64 of shape (rows, outputs), in the units of its input; 0 in columns that are dropped.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_selection import SelectorMixin
    from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

    if _is_pipeline(step):
        return _chain(_flat_steps(step), n)
    # Of scalers the very type: a subclass may do anything. A FunctionTransformer without a function does nothing.
    if _is_passthrough(step) or (type(step) is FunctionTransformer and step.func is None):
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
            "and export the pipeline without it; NaN can have a code of its own instead of an imputer, with "
            'missing="code".'
        )

    def undo(values):
        out, start = np.zeros((len(values), n)), 0
        for columns, undo in parts:
            out[:, columns] = undo(values[:, start : start + columns.size])
            start += columns.size
        return out

    return np.concatenate([columns for columns, _ in parts]), undo


def _column_parts(name, transformer):
    """Columns that each part of a ColumnTransformer gives, and how to undo it on them."""
    if transformer.transformer_weights is not None:
        raise ValueError(
            f"Step {name!r} multiplies columns by transformer_weights, which cannot be folded into thresholds: leave "
            "them out, thresholds do not need them."
        )
    parts = []
    for part, step, _ in transformer.transformers_:
        columns = np.asarray(transformer._transformer_to_input_indices[part], dtype=np.intp)
        if columns.size and not (isinstance(step, str) and step == "drop"):
            own, undo = _trace(f"{name}: {part}", step, columns.size)
            parts.append((columns[own], _selecting(undo, own)))
    return parts


def _selecting(undo, own):
    return lambda values: undo(values)[:, own]


def _check_increasing(name, scaler):
    """Refuse a scaler under which values may fall, stand still, or be lost beyond float32."""
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
                f"values of {label(getattr(scaler, 'feature_names_in_', None), j)}: thresholds cannot be folded "
                "through it. Rescale this feature first."
            )


def _check_order(columns, steps):
    if (np.diff(columns) <= 0).any():
        raise ValueError(
            f"The steps {[name for name, _ in steps]} hand columns on in the order {columns.tolist()}, but a codebook "
            "has every feature once, in the order of the raw columns: list the columns of a ColumnTransformer in "
            "their order, and each once."
        )


def _fold_thresholds(inner, transform, labels):
    """The thresholds of the quantizer in raw units."""
    padded = np.full((int(np.diff(inner.offsets).max()), inner.n_features), np.inf, dtype=np.float32)
    for column, t in zip(padded.T, inner.thresholds, strict=True):
        column[: t.size] = t
    if padded.size == 0:
        return inner.thresholds
    ends = last_floats(lambda x: transform(x) <= padded, padded.shape)
    folded = [end[: t.size] for end, t in zip(ends.T, inner.thresholds, strict=True)]
    for own, t, feature in zip(folded, inner.thresholds, labels, strict=True):
        if own.size and own[0] == -np.inf:
            raise ValueError(
                f"Every float32 of {feature} exceeds the threshold {t[0]}, so code 0 stands for none: leave this "
                "threshold out."
            )
        if (own[1:] == own[:-1]).any():
            k = int(np.argmax(own[1:] == own[:-1]))
            between = f"which is {own[k]} in raw units" if own[k] < FLOAT32_MAX else "and none exceeds them"
            raise ValueError(
                f"No float32 of {feature} lies between the thresholds {t[k]} and {t[k + 1]}, {between}: the code "
                "between them would be lost. Fit the pipeline on float32 rows, subtract an offset from the feature "
                "first, or use fewer thresholds."
            )
    return folded


def _raw_levels(inner, undo):
    """The levels of the quantizer in raw units, one column per raw feature; 0 scaled back where it has none."""
    levels = np.zeros((int(np.diff(inner.offsets).max()) + 1, inner.n_features))
    for column, own, n in zip(levels.T, inner.levels, np.diff(inner.offsets) + 1, strict=True):
        column[:n] = own[:n]
    with np.errstate(over="ignore", under="ignore"):
        return np.clip(undo(levels), -FLOAT32_MAX, FLOAT32_MAX)


def _spread(inner, folded, levels, columns, n_raw, names):
    """The codebook of all raw columns."""
    thresholds, counts = [np.empty(0, dtype=np.float32)] * n_raw, None
    has_missing = np.zeros(n_raw, dtype=bool)
    has_missing[columns] = inner.has_missing
    for j, own in zip(columns.tolist(), folded, strict=True):
        thresholds[j] = own
    if inner.counts is not None:
        counts = [inner.counts[0].sum(keepdims=True)] * n_raw
        for j, own in zip(columns.tolist(), inner.counts, strict=True):
            counts[j] = own
    given = {
        "levels": [column[: t.size + 1] for column, t in zip(levels.T, thresholds, strict=True)],
        "counts": counts,
        "missing": inner.missing,
        "has_missing": has_missing,
        "feature_names": names,
    }
    book = Codebook.from_thresholds(thresholds, **given)
    # Of a codebook that was folded before, the model is still the one that it was first folded from.
    origin = inner.folded_from or inner.fingerprint
    return book if book.fingerprint == origin else Codebook.from_thresholds(thresholds, **given, folded_from=origin)
