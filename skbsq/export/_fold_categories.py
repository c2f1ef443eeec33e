"""The codes that a pipeline gives to the categories of a column."""

from dataclasses import dataclass

import numpy as np

from skbsq.codebook.categories import plain
from skbsq.codebook.matrix import is_missing


@dataclass(frozen=True)
class RawRows:
    """Makes rows in the type of those that a pipeline was fitted on.

    Parameters
    ----------
    n : int
        Number of columns.
    names : array-like of str, or None
        Names of the columns; then the rows are a data frame.
    dtype : {"float32", "float64"}
        Type of the numeric columns.
    known : dict int -> ndarray
        The categories of the categorical columns.
    """

    n: int
    names: object
    dtype: str
    known: dict

    def make(self, n_rows, given):
        """Return rows with values in some columns; the others hold 0 or their first category."""
        columns = {j: np.zeros(n_rows, dtype=self.dtype) for j in range(self.n)}
        columns |= {j: categories[:1].repeat(n_rows) for j, categories in self.known.items()}
        columns |= given
        if self.names is not None:
            import pandas as pd

            frame = {
                name: pd.Series(column, dtype=object if column.dtype.kind in "OUS" else None)
                for name, column in zip(self.names, (columns[j] for j in range(self.n)), strict=True)
            }
            return pd.DataFrame(frame)
        is_mixed = any(column.dtype.kind not in "fiub" for column in columns.values())
        rows = np.empty((n_rows, self.n), dtype=object if is_mixed else self.dtype)
        for j, column in columns.items():
            rows[:, j] = column
        return rows


@dataclass(frozen=True)
class Categories:
    """The categories of a raw column, with the codes that a pipeline gives them.

    Parameters
    ----------
    codes : dict category -> int
        With None if missing values have the highest code, alone. A code of no category has one that stands for it.
    levels : list
        A category of each code, without None.
    unknown_is_missing : bool or None
        Whether unknown categories have the code of None; None if there is no None.
    """

    codes: dict
    levels: list
    unknown_is_missing: bool | None


def placeholder(code):
    """Return what stands for the categories of a code that none has."""
    return f"no category (code {code})"


def codes_of_categories(rows, transform, inner, columns, labels):
    """Find the codes of the categories of each categorical column.

    Parameters
    ----------
    rows : RawRows
    transform : callable
        Turns rows into those that `inner` encodes.
    inner : Codebook
        That of the quantizer.
    columns : ndarray of int of shape (d,)
        The column that feature k of `inner` comes from.
    labels : list of str
        The raw columns, for messages.

    Returns
    -------
    dict int -> Categories
        By the raw column.

    Raises
    ------
    ValueError
        If a column holds values that are no categories, or missing ones have a code that no codebook can give them.
    """
    regular = {
        j: np.array([value for value in known if not is_missing(value)], dtype=known.dtype)
        for j, known in rows.known.items()
    }
    n = max((values.size for values in regular.values()), default=0)
    given = {j: np.resize(values, n) for j, values in regular.items() if values.size}
    outputs = transform(rows.make(n, given))
    codes = inner.encode(outputs)
    feature_of = {j: k for k, j in enumerate(columns.tolist())}
    found = {}
    for j, values in regular.items():
        categories = _plain(values.tolist(), labels[j])
        if j not in feature_of:
            found[j] = Categories(dict.fromkeys(categories, 0), categories[:1], None)
            continue
        k = feature_of[j]
        by_code = {}
        for category, code, output in zip(categories, codes[:, k].tolist(), outputs[:, k], strict=False):
            by_code.setdefault(code, []).append((category, output))

        def code_of(value, j=j, k=k):
            is_number = rows.known[j].dtype.kind in "fiu" and isinstance(value, float)
            column = np.array([value], dtype=None if is_number else object)
            try:
                return int(inner.encode(transform(rows.make(1, {j: column})))[0, k])
            except (ValueError, TypeError):
                return None

        missing = _code_of_missing(rows.known[j], code_of, by_code, int(inner.n_levels[k]), labels[j])
        unknown_is_missing = None if missing is None else code_of(_unknown(values)) == missing
        found[j] = _categories(by_code, missing, inner, k, unknown_is_missing)
    return found


def _plain(values, label):
    try:
        return [plain(value) for value in values]
    except ValueError as error:
        problem = f"Categories of {label} cannot be folded. {error} Turn them into strings before the pipeline."
        raise ValueError(problem) from None


def _code_of_missing(known, code_of, by_code, n_levels, label):
    """Return the code of missing values if it is the highest and no category has it, or None."""
    seen = [value for value in known.tolist() if is_missing(value)]
    codes = {code_of(value) for value in seen or [np.nan if known.dtype.kind == "f" else None]}
    code = codes.pop()
    if not codes and (code is None or n_levels == 1):
        return None
    if codes or code != n_levels - 1 or code in by_code:
        if not seen:
            return None
        raise ValueError(
            f"Missing values of {label} have a code that categories have too, or not the highest one, and a codebook "
            'gives them the highest, alone: give the quantizer missing="code", and the OrdinalEncoder '
            "encoded_missing_value=np.nan, or replace missing values by a category before the pipeline."
        )
    return code


def _unknown(values):
    """Return a value that is none of the categories."""
    if values.dtype.kind in "fiu":
        return float(values.max(initial=0)) + 1
    return "\0 no category"


def _categories(by_code, missing, inner, k, unknown_is_missing):
    codes, levels = {}, []
    for code in range(int(inner.n_levels[k])):
        if code == missing:
            continue
        members = by_code.get(code) or [(placeholder(code), None)]
        codes |= dict.fromkeys((category for category, _ in members), code)
        levels.append(_closest(members, inner, k, code))
    if missing is not None:
        codes[None] = missing
    return Categories(codes, levels, unknown_is_missing)


def _closest(members, inner, k, code):
    """Return the category whose value before the quantizer is that of the level, or comes closest to it."""
    level = inner.levels[k][code]
    if inner.is_categorical[k]:
        return next((category for category, output in members if output == level), members[0][0])
    if len(members) == 1:
        return members[0][0]
    return min(members, key=lambda member: abs(float(member[1]) - float(level)))[0]
