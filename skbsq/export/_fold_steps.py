"""Trace columns through the steps in front of a quantizer: where they go, how they are scaled, what encoders know."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import label

PASSTHROUGH = (None, "passthrough")  # steps that do nothing


@dataclass(frozen=True)
class Trace:
    """What steps do with columns.

    Parameters
    ----------
    columns : ndarray of int
        The input column of each output column.
    undo : callable
        Converts output values, float64 of shape (n, outputs), to the units of the input. Dropped columns become 0, and
        encoded ones anything.
    known : dict int -> ndarray
        The categories of each input column that an encoder reads.
    scaled : set of int
        Input columns that are scaled before any encoder.
    """

    columns: np.ndarray
    undo: Callable
    known: dict
    scaled: set


def flat_steps(fitted, name=None):
    """Yield name and step of everything in a pipeline and in the pipelines inside it."""
    if _is_pipeline(fitted):
        for name, step in fitted.steps:
            yield from flat_steps(step, name)
    else:
        yield name, fitted


def _is_pipeline(step):
    if isinstance(step, Codebook):
        return False
    from sklearn.pipeline import Pipeline

    return isinstance(step, Pipeline)


def chain(steps, n):
    """Trace n columns through several steps, one after the other.

    Parameters
    ----------
    steps : iterable of (name, step)
    n : int

    Returns
    -------
    Trace

    Raises
    ------
    ValueError
        If a step cannot be folded. The message names it.
    """
    columns, undos, known, scaled = np.arange(n), [], {}, set()
    for name, step in steps:
        one = _trace(name, step, columns.size)
        for k, categories in one.known.items():
            column = int(columns[k])
            if column in scaled:
                raise ValueError(
                    f"Step {name!r} encodes column {column}, which an earlier step scales: encode it first, and scale "
                    "the other columns alone, in a ColumnTransformer."
                )
            known.setdefault(column, categories)
        scaled |= {column for column in columns[sorted(one.scaled)].tolist() if column not in known}
        columns = columns[one.columns]
        undos.append(one.undo)

    def undo_all(values):
        for undo in reversed(undos):
            values = undo(values)
        return values

    return Trace(columns, undo_all, known, scaled)


def _trace(name, step, n):
    """Trace n columns through a step."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_selection import SelectorMixin
    from sklearn.preprocessing import (
        FunctionTransformer,
        MaxAbsScaler,
        MinMaxScaler,
        OneHotEncoder,
        OrdinalEncoder,
        RobustScaler,
        StandardScaler,
        TargetEncoder,
    )

    if _is_pipeline(step):
        return chain(flat_steps(step), n)
    # A subclass may do anything, so only the exact types count. A FunctionTransformer without a function does nothing.
    if step in PASSTHROUGH or (type(step) is FunctionTransformer and step.func is None):
        return _keeping(np.arange(n), n)
    if type(step) in (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler):
        _check_increasing(name, step)
        return Trace(np.arange(n), step.inverse_transform, {}, set(range(n)))
    if type(step) in (OrdinalEncoder, TargetEncoder):
        _check_one_number(name, step)
        return Trace(np.arange(n), lambda values: values, dict(enumerate(step.categories_)), set())
    if isinstance(step, SelectorMixin):
        return _keeping(step.get_support(indices=True), n)
    if type(step) is ColumnTransformer:
        return _side_by_side(_column_parts(name, step), n)
    why = "cannot be folded into thresholds" if type(step) is not OneHotEncoder else "makes several columns of one"
    raise ValueError(
        f"Step {name!r} ({type(step).__name__}) {why}: only scalers (StandardScaler, MinMaxScaler, MaxAbsScaler, "
        "RobustScaler), OrdinalEncoder, TargetEncoder and a selection of columns can be folded. Do this step on the "
        'device, and export the pipeline without it. Instead of an imputer use missing="seen", which gives NaN a '
        "code, and instead of a OneHotEncoder an OrdinalEncoder or categorical_features of the quantizer."
    )


def _keeping(columns, n):
    """Trace n columns of which some are kept as they are."""
    return _side_by_side([(columns, Trace(np.arange(columns.size), lambda values: values, {}, set()))], n)


def _side_by_side(parts, n):
    """Trace n columns through parts that each read some of them."""

    def undo(values):
        out, start = np.zeros((len(values), n)), 0
        for columns, part in parts:
            size = part.columns.size
            out[:, columns[part.columns]] = part.undo(values[:, start : start + size])[:, part.columns]
            start += size
        return out

    known, scaled = {}, set()
    for columns, part in parts:
        known |= {int(columns[k]): categories for k, categories in part.known.items()}
        scaled |= {int(columns[k]) for k in part.scaled}
    kept = [np.arange(0), *(columns[part.columns] for columns, part in parts)]
    return Trace(np.concatenate(kept), undo, known, scaled)


def _column_parts(name, transformer):
    """Return for each part of a ColumnTransformer the columns that it reads, and what it does with them."""
    if transformer.transformer_weights is not None:
        raise ValueError(
            f"Step {name!r} multiplies columns by transformer_weights, which cannot be folded into thresholds: leave "
            "the weights out, thresholds do not need them."
        )
    parts = []
    for part, step, _ in transformer.transformers_:
        columns = np.asarray(transformer._transformer_to_input_indices[part], dtype=np.intp)
        if columns.size and step != "drop":
            parts.append((columns, _trace(f"{name}: {part}", step, columns.size)))
    return parts


def _check_one_number(name, encoder):
    if len(getattr(encoder, "encodings_", encoder.categories_)) > len(encoder.categories_):
        raise ValueError(
            f"Step {name!r} (TargetEncoder) gives a number per class, and a codebook has every feature once: use an "
            "OrdinalEncoder, or give the column to the quantizer, with categorical_features."
        )


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
