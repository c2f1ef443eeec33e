"""Inputs of an ONNX model whose codebook has categorical features: one per feature with bits, in its own type."""

from dataclasses import dataclass

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.labels import label, numbered_names
from skbsq.export._fold_categories import placeholder
from skbsq.export._onnx_codes import any_in_row, encode

# The version of ai.onnx.ml, which has the lookup of categories.
ML_OPSET = 2
# The integer that stands for a missing one. For strings it is the empty one.
MISSING_INTEGER = int(np.iinfo(np.int64).min)
_UNKNOWN = -1


@dataclass(frozen=True)
class Column:
    """The input of a feature.

    Parameters
    ----------
    feature : int
    name : str
    dtype : dtype
        float32 for a numeric feature; object for strings, int64 or bool for a categorical one.
    """

    feature: int
    name: str
    dtype: np.dtype


def columns_of(book, taken):
    """Return the inputs of a codebook, one per feature with bits. If no feature has bits, one per feature.

    Parameters
    ----------
    book : Codebook
    taken : set of str
        Names of outputs. An input with such a name has an underscore behind it.

    Returns
    -------
    list of Column

    Raises
    ------
    ValueError
        If the categories of a feature have no common type in ONNX.
    """
    found, taken = [], set(taken)
    names = book.feature_names or numbered_names(book.n_features)
    features = np.flatnonzero(book.n_levels > 1) if (book.n_levels > 1).any() else np.arange(book.n_features)
    for j in features.tolist():
        name = names[j] or f"x{j}"
        while name in taken:
            name += "_"
        taken.add(name)
        found.append(Column(j, name, type_of(book, j)))
    return found


def type_of(book, j):
    """Return the type of the input of a feature."""
    if not book.is_categorical[j]:
        return np.dtype(np.float32)
    kinds = {type(category) for category in _codes(book, j) if category is not None}
    if kinds <= {str}:
        return np.dtype(object)
    integers = [category for category in _codes(book, j) if isinstance(category, int)]
    if str in kinds or not all(MISSING_INTEGER < category <= -MISSING_INTEGER - 1 for category in integers):
        raise ValueError(
            f"ONNX has no type for the categories of {label(book.feature_names, j)}, which are strings and integers, "
            "or integers beyond int64: turn them into strings before fit."
        )
    # A bool cannot be missing.
    return np.dtype(bool) if kinds == {bool} and not book.has_missing[j] else np.dtype(np.int64)


def _codes(book, j):
    """Return the codes of the categories of a feature, without those that stand for codes of no category."""
    return {category: code for category, code in book.categories[j].items() if category != placeholder(code)}


def encode_columns(graph, columns, book):
    """Encode columns as codes.

    Parameters
    ----------
    graph : Graph
    columns : dict int -> (name, dtype)
        By the feature: the value of its column, of shape (n, 1), and its type, see `type_of`. Features of 0 bits may be
        absent.
    book : Codebook

    Returns
    -------
    codes : str
        int32 of shape (n, d). A refused value has code 0.
    refused : str or None
        bool of shape (n,): rows with a value that `Codebook.encode` refuses. None if it refuses none.
    """
    numeric = [j for j in columns if not book.is_categorical[j]]
    categorical = [j for j in columns if book.is_categorical[j]]
    parts, flags = [], []
    if numeric:
        x = _joined(graph, [columns[j][0] for j in numeric])
        parts.append(encode(graph, x, _of_features(book, numeric)))
        if refusing := [place for place, j in enumerate(numeric) if book.refuses_nan[j]]:
            flags.append(graph.add("IsNaN", graph.add("Gather", x, np.array(refusing), axis=1)))
    for j in categorical:
        code, refused = _look_up(graph, *columns[j], book, j)
        parts.append(code)
        flags += [refused] * (refused is not None)
    order = numeric + categorical
    if len(order) < book.n_features:
        first = graph.add("Gather", parts[0], np.array([0]), axis=1)
        parts.append(graph.add("Sub", first, first))  # code 0, for all other features
    places = np.full(book.n_features, len(order))
    places[order] = np.arange(len(order))
    codes = graph.add("Gather", _joined(graph, parts), places, axis=1)
    return codes, any_in_row(graph, _joined(graph, flags)) if flags else None


def _joined(graph, values):
    return values[0] if len(values) == 1 else graph.add("Concat", *values, axis=1)


def _of_features(book, features):
    """Return a codebook of some of the numeric features."""
    thresholds = [book.thresholds[j] for j in features]
    return Codebook.from_thresholds(thresholds, missing="seen", has_missing=book.has_missing[features])


def _look_up(graph, x, dtype, book, j):
    """Return the codes of the categories in a column, int32, and which are refused: bool, or None if none can be."""
    codes = _codes(book, j)
    missing = codes.pop(None, None)
    if dtype.kind == "O":
        keys = {"keys_strings": list(codes)}
        special = ""
    else:
        x = graph.cast(x, np.int64) if dtype.kind == "b" else x
        keys = {"keys_int64s": [int(category) for category in codes]}
        special = MISSING_INTEGER
    ((kind, known),), values = keys.items(), list(codes.values())
    if missing is not None and special not in known:
        known, values = [*known, special], [*values, missing]
    default = _UNKNOWN
    if book.n_levels[j] == 1:
        default = 0
    elif missing is not None and book.handle_unknown == "missing":
        default = missing
    attributes = {kind: known, "values_int64s": values, "default_int64": default}
    code = graph.cast(graph.add("LabelEncoder", x, domain="ai.onnx.ml", **attributes), np.int32)
    if default != _UNKNOWN or (dtype.kind == "b" and len(codes) == 2):
        return code, None
    return graph.add("Max", code, np.int32(0)), graph.add("Less", code, np.int32(0))
