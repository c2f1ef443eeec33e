"""Categories of a feature: the numbers behind them, and columns of strings, integers or booleans. Needs NumPy alone.

A codebook orders the categories of a feature by their codes and numbers them from 0. Thresholds lie between these
numbers, so that everything behind a lookup treats a category as the float of its number.
"""

import numpy as np

from skbsq.codebook.labels import in_number_order, shortened
from skbsq.codebook.matrix import is_missing

UNKNOWN_RULES = ("error", "missing")
# Thresholds between the numbers of more categories would be rounded in float32.
MAX_CATEGORIES = 2**22
_INT64 = np.iinfo(np.int64)


def plain(value):
    """Return a category as str, int or bool, and None for a missing value.

    Parameters
    ----------
    value : object
        NumPy scalars and whole floats are accepted too.

    Returns
    -------
    str, int, bool or None

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.categories import plain
    >>> plain(np.int8(3)), plain(2.0), plain(np.nan), plain(np.str_("a"))
    (3, 2, None, 'a')
    """
    if is_missing(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, int):
        raise ValueError(f"A category must be a string, an integer or a bool, got {value!r}.")
    return value if isinstance(value, bool) else int(value)


def codes_of_mapping(mapping, label):
    """Read the codes of the categories of a feature.

    Parameters
    ----------
    mapping : Mapping category -> int
        The codes from 0, each used. None has the highest code, alone.
    label : str
        The feature, for the message.

    Returns
    -------
    categories : tuple
        Without None, ordered by code.
    codes : ndarray of int64
        Their codes, ascending.
    has_missing : bool
        Whether None is among the categories.

    Raises
    ------
    ValueError
        If a category or a code makes no sense.

    Examples
    --------
    >>> from skbsq.codebook.categories import codes_of_mapping
    >>> codes_of_mapping({"shut": 1, "open": 0, "ajar": 1}, "feature 'valve'")
    (('open', 'shut', 'ajar'), array([0, 1, 1]), False)
    """
    if not mapping:
        raise ValueError(f"The codes of {label} name no category.")
    entries = {}
    for category, code in mapping.items():
        if isinstance(code, bool | np.bool_) or not isinstance(code, int | np.integer):
            raise ValueError(f"The code of {category!r} of {label} must be an integer, got {code!r}.")
        name = plain(category)
        if name in entries:
            raise ValueError(f"The codes of {label} name {name!r} twice.")
        entries[name] = int(code)
    has_missing = None in entries
    missing_code = entries.pop(None, None)
    if not entries:
        raise ValueError(f"The codes of {label} name no category but None.")
    categories = tuple(sorted(entries, key=entries.get))
    check_kinds(categories, label)
    used = sorted(set(entries.values()))
    if used != list(range(len(used))) or missing_code not in (None, len(used)):
        last = f"; None must have the highest, {len(used)}, alone" if has_missing else ""
        given = shortened([*entries.values(), *([missing_code] if has_missing else [])])
        raise ValueError(f"The codes of the categories of {label} must be all of 0, 1, ...{last}, got {given}.")
    return categories, np.array(sorted(entries.values()), dtype=np.int64), has_missing


def check_kinds(categories, label):
    """Raise ValueError if some categories are bools and others integers, which compare as equal."""
    kinds = {type(category) for category in categories}
    if {bool, int} <= kinds:
        raise ValueError(f"The categories of {label} are bools and integers: turn them into strings.")


def thresholds_of_codes(codes):
    """Return the thresholds between the numbers of categories, where the code rises.

    Parameters
    ----------
    codes : ndarray of int
        Of the categories in order, ascending, each from 0 used.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.categories import thresholds_of_codes
    >>> thresholds_of_codes(np.array([0, 1, 1, 2]))
    array([0.5, 2.5], dtype=float32)
    """
    return (np.flatnonzero(np.diff(codes)) + 0.5).astype(np.float32)


def level_numbers(thresholds, categories, given, label):
    """Return the number of the category that stands for each code.

    Parameters
    ----------
    thresholds : ndarray of float32
        Between the numbers of categories.
    categories : tuple
        In order.
    given : sequence of categories, dict or pandas Series, or None
        A category of each code; None: the first.
    label : str
        The feature, for the message.

    Returns
    -------
    ndarray of float32
        One more than thresholds.

    Raises
    ------
    ValueError
        If a category is unknown or has another code.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.categories import level_numbers
    >>> level_numbers(np.float32([0.5]), ("open", "ajar", "shut"), ["open", "shut"], "feature 0")
    array([0., 2.], dtype=float32)
    """
    if given is None:
        return np.append(0, thresholds + np.float32(0.5)).astype(np.float32)
    given = in_number_order(given, f"the levels of {label}")
    if isinstance(given, str | bytes) or not hasattr(given, "__len__") or len(given) != thresholds.size + 1:
        raise ValueError(
            f"The levels of {label} must be {thresholds.size + 1} categories, one per code, got {given!r}."
        )
    numbers = {category: number for number, category in enumerate(categories)}
    found = np.array([numbers.get(plain(category), -1) for category in given])
    wrong = (found < 0) | (np.searchsorted(thresholds, found) != np.arange(found.size))
    if wrong.any():
        code = int(np.argmax(wrong))
        raise ValueError(f"The level of code {code} of {label} is {given[code]!r}, which does not have this code.")
    return found.astype(np.float32)


def _can_be_written(category):
    """Return whether a category fits in JSON, fingerprints and tables of other languages."""
    if isinstance(category, int):
        return _INT64.min <= category <= _INT64.max
    try:
        category.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_categories(categories, thresholds, levels, labels):
    """Check the categories of all features as a codebook stores them.

    Parameters
    ----------
    categories : tuple of length d
        None for a numeric feature, else a tuple of its categories in order.
    thresholds, levels : lists of d ndarrays of float32
    labels : list of d str

    Raises
    ------
    ValueError
        If they do not belong to a codebook.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.categories import check_categories
    >>> check_categories((("a", "a"),), [np.float32([0.5])], [np.float32([0, 1])], ["feature 0"])
    Traceback (most recent call last):
    ...
    ValueError: Not a valid codebook: the categories of feature 0 are not distinct strings, integers or bools.
    """

    def demand(right, problem):
        if not right:
            raise ValueError(f"Not a valid codebook: {problem}.")

    demand(isinstance(categories, tuple) and len(categories) == len(labels), "its categories are not one per feature")
    demand(any(known is not None for known in categories), "none of its features has categories")
    for known, t, level, name in zip(categories, thresholds, levels, labels, strict=True):
        if known is None:
            continue
        are_plain = isinstance(known, tuple) and all(type(category) in (str, int, bool) for category in known)
        distinct = are_plain and known and len(set(known)) == len(known)
        demand(distinct, f"the categories of {name} are not distinct strings, integers or bools")
        check_kinds(known, name)
        demand(len(known) <= MAX_CATEGORIES, f"{name} has {len(known)} categories, more than {MAX_CATEGORIES}")
        if (strange := next((category for category in known if not _can_be_written(category)), None)) is not None:
            raise ValueError(
                f"The category {strange!a:.40} of {name} cannot be written: integers must fit in 64 bits, and strings "
                "must be Unicode without lone surrogates."
            )
        between = np.isin(t, np.arange(len(known) - 1, dtype=np.float32) + np.float32(0.5)).all()
        demand(between, f"a threshold of {name} does not lie between two categories")
        numbers, codes = level[: t.size + 1], np.arange(t.size + 1)
        inside = np.isin(numbers, np.arange(len(known))).all()
        demand(inside and (np.searchsorted(t, numbers) == codes).all(), f"a level of {name} has another code")
