"""Fold a fitted pipeline into one codebook, in the units of the raw features."""

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.floats import FLOAT32_MAX, last_floats
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import label
from skbsq.codebook.origin import sent_features
from skbsq.export._fold_categories import RawRows, codes_of_categories
from skbsq.export._fold_steps import PASSTHROUGH, chain, flat_steps

DTYPES = ("float32", "float64")


def to_codebook(fitted, *, dtype="float32"):
    """Return the codebook of a quantizer, of a predictor, or of a pipeline that ends in one.

    The scalers of a pipeline are folded into the thresholds, so that a device encodes raw readings. For float32 rows
    the codes are exactly those of the pipeline. A folded threshold is the largest float32 that the fitted scaler maps
    to at most the threshold of the quantizer. It is found by bisection over the floats. The columns that an encoder
    reads become categorical features: each category has the code that the pipeline gives it.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline
        The steps of a pipeline before the quantizer can be StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler,
        OrdinalEncoder, TargetEncoder, "passthrough", feature selection (VarianceThreshold, SelectKBest, ...), pipelines
        of these, and a ColumnTransformer of these that has each column once. A column is encoded before it is scaled.
    dtype : {"float32", "float64"}, default="float32"
        Type of the rows for which the codes are exact. A scaler computes in the type of its input. The two types round
        differently, which changes the code of a value on a threshold. Give the type that the pipeline was fitted on.
        With "float64" the codes are those of ``transform`` for float64 rows that hold float32 values, and for polars
        frames of any type, which scikit-learn scales in float64. Without a scaler it makes no difference.

    Returns
    -------
    Codebook
        It has one feature per raw column. A column that was not selected has no threshold and no missing code. It costs
        0 bits, so rows take as many bytes as with the codebook of the quantizer. Levels are those of the quantizer,
        scaled back; of categories, the closest. Names and the order of the features are those that the pipeline was
        fitted with, see `Codebook.folded_order`.

    Raises
    ------
    ValueError
        If a step cannot be folded; the message names it. Also if no codebook can be exact: because no raw float32 lies
        between two thresholds (the code between them would be lost), because every raw float32 exceeds a threshold, or
        because missing values, which an encoder saw in fit, share a code with a category.
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

    Infrequent categories of an OrdinalEncoder share a code. A code that no category has belongs to the category
    ``no category (code 3)``, because every code of a codebook belongs to some category. A category that the encoder did
    not see in fit can only have the missing code: so the codebook has ``handle_unknown="missing"`` if the pipeline
    gives such values that code in every feature that has one, and refuses them otherwise. To have them accepted, give
    the encoder ``handle_unknown="use_encoded_value", unknown_value=np.nan`` and the quantizer ``missing="code"``. A
    TargetEncoder gives them the mean of the target: they are refused. So are missing values that the encoder did not
    see, unless the pipeline gives them the missing code.

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
    trace = chain(before, n_raw)
    columns = trace.columns
    _check_once(columns, before)
    labels = [label(names, j) for j in range(n_raw)]
    rows = RawRows(n_raw, names, dtype, _known(inner, trace, labels))

    def transform(raw):
        with np.errstate(all="ignore"):  # a value beyond float32 becomes an infinity, which keeps the order
            for _, step in before:
                raw = step.transform(raw)
        return np.asarray(raw)

    numeric = np.array([k for k, j in enumerate(columns.tolist()) if j not in rows.known], dtype=np.int64)
    given = columns[numeric].tolist()

    def scaled(x):
        raw = rows.make(len(x), dict(zip(given, x[:, numeric].T.astype(dtype), strict=True)))
        out = np.zeros(x.shape, dtype=np.float32)
        out[:, numeric] = as_float32(transform(raw)[:, numeric].astype(np.float64))
        return out

    categories = codes_of_categories(rows, transform, inner, columns, labels) if rows.known else {}
    folded = _fold_thresholds(inner, scaled, numeric.tolist(), [labels[j] for j in columns.tolist()])
    return _raw_codebook(inner, folded, _raw_levels(inner, trace.undo), categories, columns, n_raw, names), columns


def _known(inner, trace, labels):
    """Return the categories of each raw column that holds some, in an encoder or in the codebook of the quantizer."""
    known = dict(trace.known)
    for k, j in enumerate(trace.columns.tolist()):
        if not inner.is_categorical[k] or j in known:
            continue
        if j in trace.scaled:
            raise ValueError(f"{labels[j]} is scaled before a quantizer that takes it as categories: do not scale it.")
        categories = [category for category in inner.categories[k] if category is not None]
        known[j] = np.empty(len(categories), dtype=object)
        known[j][:] = categories
    return known


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
    *before, (name, last) = flat_steps(fitted)
    return [(name, step) for name, step in before if step not in PASSTHROUGH], name, last


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


def _check_once(columns, steps):
    if np.unique(columns).size < columns.size:
        raise ValueError(
            f"The steps {[name for name, _ in steps]} return the columns {columns.tolist()}, but a codebook has every "
            "feature once: list each column of a ColumnTransformer once."
        )


def _fold_thresholds(inner, transform, numeric, labels):
    """Return the thresholds of the quantizer in raw units; None for categorical columns."""
    folded, thresholds = [None] * inner.n_features, inner.thresholds
    padded = np.full((int(np.diff(inner.offsets).max()), inner.n_features), np.inf, dtype=np.float32)
    for k in numeric:
        padded[: thresholds[k].size, k] = thresholds[k]
    if np.isfinite(padded).any():
        ends = last_floats(lambda x: transform(x) <= padded, padded.shape)
    for k in numeric:
        t, feature = thresholds[k], labels[k]
        folded[k] = raw = ends[: t.size, k] if t.size else t
        if raw.size and raw[0] == -np.inf:
            raise ValueError(
                f"Every float32 of {feature} exceeds the threshold {t[0]}, so no value has code 0: leave this "
                "threshold out."
            )
        if (raw[1:] == raw[:-1]).any():
            i = int(np.argmax(raw[1:] == raw[:-1]))
            between = f"which is {raw[i]} in raw units" if raw[i] < FLOAT32_MAX else "and none exceeds them"
            raise ValueError(
                f"No float32 of {feature} lies between the thresholds {t[i]} and {t[i + 1]}, {between}: the code "
                "between them would be lost. Fit the pipeline on float32 rows, subtract an offset from the feature "
                "first, or use fewer thresholds."
            )
    return folded


def _raw_levels(inner, undo):
    """Return the levels of the quantizer in raw units, one column per raw feature; unused entries are arbitrary."""
    levels = np.zeros((int(np.diff(inner.offsets).max()) + 1, inner.n_features))
    for column, given, n in zip(levels.T, inner.level_numbers, np.diff(inner.offsets) + 1, strict=True):
        column[:n] = given[:n]
    with np.errstate(over="ignore", under="ignore"):
        return np.clip(undo(levels), -FLOAT32_MAX, FLOAT32_MAX)


def _raw_codebook(inner, folded, raw_levels, categories, columns, n_raw, names):
    """Build the codebook of all raw columns."""
    parts, counts = [np.empty(0, dtype=np.float32)] * n_raw, None
    has_missing = np.zeros(n_raw, dtype=bool)
    for k, j in enumerate(columns.tolist()):
        if j not in categories:
            parts[j], has_missing[j] = folded[k], inner.has_missing[k]
    for k in np.flatnonzero(inner.has_guard).tolist():
        if (t := folded[k]) is not None:
            # The levels of guard codes are next to the guard thresholds, whatever the scalers round.
            raw_levels[[0, t.size], columns[k]] = np.nextafter(t[0], np.float32(np.inf)), t[-1]
    levels = [column[: t.size + 1] for column, t in zip(raw_levels.T, parts, strict=True)]
    for j, of_column in categories.items():
        parts[j], levels[j] = of_column.codes, of_column.levels
    if inner.counts is not None:
        counts = [inner.counts[0].sum(keepdims=True)] * n_raw
        for j, count in zip(columns.tolist(), inner.counts, strict=True):
            counts[j] = count
    unknown = [of_column.unknown_is_missing for of_column in categories.values()]
    unknown = [is_missing for is_missing in unknown if is_missing is not None]
    given = {
        "levels": levels,
        "counts": counts,
        "missing": "seen",
        "has_missing": has_missing,
        "feature_names": names,
        "handle_unknown": ("missing" if all(unknown) else "error") if unknown else inner.handle_unknown,
    }
    book = Codebook.from_thresholds(parts, **given)
    # A codebook can be folded several times. Its model is still that of the first codebook.
    origin = inner.folded_from or inner.fingerprint
    order = columns[sent_features(inner)]
    order = order if (np.diff(order) < 0).any() else None
    if book.fingerprint != origin:
        return Codebook.from_thresholds(parts, **given, folded_from=origin, folded_order=order)
    if order is not None:
        raise ValueError(
            f"The steps return columns in the order {columns.tolist()}, and the codebook of the raw columns would have "
            "the fingerprint of that of the quantizer, so its rows could be mistaken: list the columns of a "
            "ColumnTransformer in their order."
        )
    return book
