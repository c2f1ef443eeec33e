"""The codebook, which every trained quantizer ends as. Needs NumPy alone."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise

import numpy as np

from skbsq.codebook import json
from skbsq.codebook.bits import bit_conditions, bit_names, codes_of_bits
from skbsq.codebook.categories import (
    UNKNOWN_RULES,
    check_categories,
    codes_of_mapping,
    level_numbers,
    thresholds_of_codes,
)
from skbsq.codebook.checks import (
    check_counts,
    check_fields,
    check_has_missing,
    check_levels,
    check_n_bits,
    check_n_levels,
    check_names,
    check_thresholds,
    midpoint_levels,
    refuse_missing,
)
from skbsq.codebook.fingerprint import fingerprint_of
from skbsq.codebook.guards import guard_numbers
from skbsq.codebook.kernels import Encoder, decode, thermometer
from skbsq.codebook.labels import in_feature_order, label, labels_of, numbered_names
from skbsq.codebook.nesting import coarsened, obstacle, recoding
from skbsq.codebook.origin import check_folded_order
from skbsq.codebook.tables import TableEncoder, check_codes, check_rows, readers_of
from skbsq.codebook.transcoding import Transcoder


class Codebook:
    """Thresholds per feature and the levels they separate.

    Every quantizer ends as a codebook. Encoding, decoding, packing, export and prediction read the
    codebook and nothing else. It is immutable, compares by value and can be pickled. Build one with
    `from_thresholds` or `from_json`.

    The code of `x` is the number of thresholds `t` with `x > t` (strict), in float32. A feature
    with ``has_missing`` has one more code, the highest, which stands for NaN alone. A categorical feature has a
    table of the code of each category.

    See Also
    --------
    skbsq.ThresholdQuantizer : A transformer with thresholds that you choose.
    skbsq.codec.RowCodec : Packs the codes of a codebook into bytes.

    Notes
    -----
    In all shapes, n is the number of rows and d the number of features.

    The comparisons of one feature, in threshold order, are the *thermometer bits* of its code
    (arXiv 2603.05172, Section 3). Code and bits hold the same information.

    The categories of a feature are ordered by code, and numbered from 0. Its thresholds lie between these numbers:
    everything behind the lookup of the number treats a category as a float. If every category has a code of its own,
    the bits of the feature are *one-hot*: each stands for one code, and code 0 has all bits off.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> book = Codebook.from_thresholds([[0.0, 1.0, 2.0], [10.0]], feature_names=["a", "b"])
    >>> book
    Codebook(n_features=2, row_bits=3, missing='error')
    >>> codes = book.encode([[0.0, 11.0], [1.5, 10.0]])
    >>> codes
    array([[0, 1],
           [2, 0]], dtype=uint8)
    >>> book.decode(codes)
    array([[-0.5, 15. ],
           [ 1.5,  5. ]], dtype=float32)
    >>> book.thermometer(codes)
    array([[0, 0, 0, 1],
           [1, 1, 0, 0]], dtype=uint8)
    """

    # Set once by `_build`. Only arrays and plain values, so that any serialiser can store them.
    _FIELDS = (
        "_thresholds",  # float32, flat
        "_offsets",  # int64, (d + 1,): feature j has the thresholds _thresholds[_offsets[j]:_offsets[j + 1]]
        "_levels",  # float32, flat, n_levels per feature, NaN for the missing code
        "_counts",  # int64, flat like _levels, or None
        "_has_missing",  # bool, (d,)
        "_names",  # tuple of str, or None
        "_folded_from",  # bytes, or None
        "_categories",  # tuple of d entries, None or a tuple of categories in order; None without categorical features
        "_handle_unknown",  # "error" or "missing"
        "_folded_order",  # int64, a permutation of the features with bits, or None
    )

    def __init__(self):
        raise TypeError("Use Codebook.from_thresholds(...) or Codebook.from_json(...).")

    @classmethod
    def from_thresholds(
        cls,
        thresholds,
        *,
        levels=None,
        counts=None,
        missing="error",
        has_missing=None,
        feature_names=None,
        folded_from=None,
        handle_unknown="error",
        folded_order=None,
    ):
        """Build a codebook from thresholds in the units of the features.

        Parameters
        ----------
        thresholds : list, dict or pandas Series of d 1-d array-likes
            Finite. Cast to float32, sorted and merged where equal; -0.0 is stored as 0.0. A feature with an empty
            array has one level and costs 0 bits. The labels of a dict or Series are feature names or feature numbers.
            Names become `feature_names` if none are given. `levels`, `counts` and `has_missing` may have labels too.
            A dict in place of an array makes a categorical feature: it has the code of each category, a string, an
            integer or a bool. The codes are all of 0, 1, ...; None has the highest, which is the missing code.
        levels : list of 1-d array-likes, default=None
            What each code decodes to: one more value than thresholds. The NaN level is added, never
            given. With levels the thresholds must already be strictly increasing in float32.
            None: midpoints of the bins; the outer levels lie half the neighbouring gap outside. For a categorical
            feature a category of each code; None: the first one.
        counts : list of 1-d integer array-likes, default=None
            Training rows per code, one entry per level, the missing code included.
        missing : {"error", "seen", "code"}, array-like, dict or pandas Series, default="error"
            Rule for NaN, for all features or one per feature. "code" gives a feature with thresholds a missing code,
            "error" gives it none. "seen" leaves it to `has_missing`.
        has_missing : array-like of bool of shape (d,), default=None
            Which features have a missing code; none can have one under "error". None: those with at least one
            threshold under "code".
        feature_names : sequence of str, default=None
            Unique names.
        folded_from : bytes of length 8, default=None
            See the attribute of this name.
        handle_unknown : {"error", "missing"}, default="error"
            What `encode` does with a value that is none of the categories: an error, or the missing code if the feature
            has one. In a feature of 0 bits it has code 0.
        folded_order : array-like of int, default=None
            See the attribute of this name.

        Returns
        -------
        Codebook

        Raises
        ------
        ValueError
            If a value is wrong. The message names the value and its feature.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> book = Codebook.from_thresholds([[2, 1]], levels=None, missing="code")
        >>> book.thresholds, book.levels
        ([array([1., 2.], dtype=float32)], [array([0.5, 1.5, 2.5, nan], dtype=float32)])
        """
        names, thresholds, levels, counts = _by_feature(thresholds, levels, counts, feature_names)
        labels = [label(names, j) for j in range(len(thresholds))]
        thresholds, categories, none_seen = _split_mappings(thresholds, labels)
        strict = levels is not None
        thresholds = [check_thresholds(t, name, strict=strict) for t, name in zip(thresholds, labels, strict=True)]
        has_missing = check_has_missing(has_missing, missing, thresholds, names) | none_seen
        check_n_levels(thresholds, has_missing, names)
        given_levels = [None] * len(thresholds) if levels is None else levels
        parts = zip(thresholds, categories, given_levels, has_missing, labels, strict=True)
        levels = [_levels_of(*part) for part in parts]
        if counts is not None:
            parts = zip(counts, levels, labels, strict=True)
            counts = np.concatenate([check_counts(given, of_feature.size, name) for given, of_feature, name in parts])
        return cls._build(
            {
                "_thresholds": np.concatenate(thresholds),
                "_offsets": np.cumsum([0, *(t.size for t in thresholds)], dtype=np.int64),
                "_levels": np.concatenate(levels),
                "_counts": counts,
                "_has_missing": has_missing,
                "_names": names,
                "_folded_from": folded_from,
                "_categories": categories if any(of_feature is not None for of_feature in categories) else None,
                "_handle_unknown": handle_unknown,
                "_folded_order": folded_order,
            }
        )

    @classmethod
    def _build(cls, state):
        book = object.__new__(cls)
        book.__setstate__(state)
        return book

    def __getstate__(self):
        return {field: self.__dict__[field] for field in self._FIELDS}

    def __setstate__(self, state):
        # Every instance is filled here: the state may come from an untrusted file, and arrays from a pickle are
        # writeable. Pickles from before 0.1 have no _folded_from, and old ones a _missing that _has_missing repeats.
        state = {"_folded_from": None, "_categories": None, "_handle_unknown": "error", "_folded_order": None, **state}
        check_fields(*(state[field] for field in self._FIELDS[:-3]))
        if state["_handle_unknown"] not in UNKNOWN_RULES:
            raise ValueError(f"handle_unknown must be one of {list(UNKNOWN_RULES)}, got {state['_handle_unknown']!r}.")
        if state["_categories"] is None:
            state["_handle_unknown"] = "error"  # so that codebooks without categories are equal
        for field in self._FIELDS:
            value = state[field]
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
            self.__dict__[field] = value
        if self._categories is not None:
            labels = [label(self._names, j) for j in range(self.n_features)]
            check_categories(self._categories, self.thresholds, self.level_numbers, labels)
        self.__dict__["_folded_order"] = check_folded_order(self._folded_order, self._folded_from, self.n_levels)

    def __setattr__(self, name, value):
        raise AttributeError(f"A Codebook is immutable: cannot set {name!r}. Build a new one instead.")

    def __delattr__(self, name):
        raise AttributeError(f"A Codebook is immutable: cannot delete {name!r}.")

    def __eq__(self, other):
        if not isinstance(other, Codebook):
            return NotImplemented

        def is_equal(field):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine is None or theirs is None:
                return mine is theirs
            return np.array_equal(mine, theirs, equal_nan=True) if isinstance(mine, np.ndarray) else mine == theirs

        # The fingerprint tells True from 1, which are equal in Python.
        return all(is_equal(field) for field in self._FIELDS) and self.fingerprint == other.fingerprint

    def __hash__(self):
        return hash(self.fingerprint)

    def __repr__(self):
        categorical = f"n_categorical={self.is_categorical.sum()}, " if self._categories is not None else ""
        return (
            f"Codebook(n_features={self.n_features}, {categorical}row_bits={self.row_bits}, missing={self.missing!r})"
        )

    # -- sizes ---------------------------------------------------------------------------------------

    @property
    def n_features(self):
        """Number of features, d."""
        return self._offsets.size - 1

    @cached_property
    def n_levels(self):
        """Codes per feature, the missing one included: int64 array of shape (d,)."""
        return _frozen(np.diff(self._offsets) + 1 + self._has_missing)

    @cached_property
    def n_bits(self):
        """Bits per feature, ceil(log2(n_levels)): int64 array of shape (d,)."""
        return _frozen(np.array([int(n - 1).bit_length() for n in self.n_levels.tolist()], dtype=np.int64))

    @property
    def row_bits(self):
        """Bits per row, the sum of `n_bits`."""
        return int(self.n_bits.sum())

    @property
    def n_columns(self):
        """Number of columns of `thermometer`: one per threshold and one per missing code."""
        return int(self._offsets[-1] + self._has_missing.sum())

    @property
    def dtype(self):
        """Type of the codes: uint8, or uint16 if any feature has more than 8 bits."""
        return np.dtype(np.uint8 if self.n_bits.max() <= 8 else np.uint16)

    # -- contents ------------------------------------------------------------------------------------

    @property
    def missing(self):
        """The rule for NaN: "code" if any feature has a missing code, else "error". See `refuses_nan`."""
        return "code" if self._has_missing.any() else "error"

    @property
    def has_missing(self):
        """Which features have a missing code: read-only bool array of shape (d,)."""
        return self._has_missing

    @cached_property
    def has_guard(self):
        """Which features have guard codes: read-only bool array of shape (d,).

        The lowest and the highest code of such a feature, apart from the missing code, stand for values below and
        above all training rows. They decode to the smallest and the largest value of these rows.
        """
        return _frozen(np.array([bool(guards) for guards in map(guard_numbers, self.thresholds, self.level_numbers)]))

    @cached_property
    def refuses_nan(self):
        """Features in which NaN is refused, those with bits and no missing code: read-only bool array of shape (d,)."""
        return _frozen((self.n_bits > 0) & ~self._has_missing)

    @property
    def feature_names(self):
        """Names of the features: a tuple, or None."""
        return self._names

    @property
    def offsets(self):
        """Where the thresholds of feature j start and end in the flat form: int64 array of shape (d + 1,)."""
        return self._offsets

    @property
    def thresholds(self):
        """Thresholds in the units of X: list of d read-only float32 arrays, strictly increasing.

        Those of a categorical feature lie between the numbers of its categories, which `categories` has in order.
        """
        return [self._thresholds[a:b] for a, b in pairwise(self._offsets.tolist())]

    @property
    def levels(self):
        """Level of each code, NaN for the missing code: list of d read-only float32 arrays.

        For a categorical feature an array of objects, a category for each code, and None for the missing code.
        """
        numbers = self.level_numbers
        if self._categories is None:
            return numbers
        return [
            of_feature if known is None else _category_array(of_feature, known)
            for of_feature, known in zip(numbers, self._categories, strict=True)
        ]

    @property
    def level_numbers(self):
        """`levels` with the numbers of categories in place of categories: list of d read-only float32 arrays."""
        return [self._levels[a:b] for a, b in pairwise(self._level_offsets.tolist())]

    @property
    def categories(self):
        """Code of each category, and of None if there is a missing code: list of d dicts, None for numeric features.

        In the order of the numbers of the categories.
        """
        found: list = []
        parts = zip(self._categories or [None] * self.n_features, self.thresholds, self._has_missing, strict=True)
        for known, thresholds, has_missing in parts:
            if known is None:
                found.append(None)
                continue
            codes = np.searchsorted(thresholds, np.arange(len(known))).tolist()
            found.append(dict(zip(known, codes, strict=True)) | ({None: thresholds.size + 1} if has_missing else {}))
        return found

    @cached_property
    def is_categorical(self):
        """Which features are categorical: read-only bool array of shape (d,)."""
        categories = self._categories or [None] * self.n_features
        return _frozen(np.array([of_feature is not None for of_feature in categories]))

    @cached_property
    def is_one_hot(self):
        """Which features are categorical with a code of its own for every category: read-only bool array."""
        sizes = [0 if of_feature is None else len(of_feature) for of_feature in self._categories or ()]
        return _frozen(self.is_categorical & (np.array(sizes or 0) == np.diff(self._offsets) + 1))

    @property
    def handle_unknown(self):
        """What a value is that is none of the categories: "error" or "missing"."""
        return self._handle_unknown

    @property
    def parts(self):
        """Thresholds of each numeric feature and `categories` of the others: what `from_thresholds` takes."""
        return [t if known is None else known for t, known in zip(self.thresholds, self.categories, strict=True)]

    @property
    def counts(self):
        """Training rows per code: list of d read-only int64 arrays, or None if not known."""
        return None if self._counts is None else [self._counts[a:b] for a, b in pairwise(self._level_offsets.tolist())]

    @cached_property
    def fingerprint(self):
        """Identity of the encoder, 8 bytes: equal exactly if every float has an equal code.

        It is the first 8 bytes of the SHA-256 of, little-endian: ``skbsq1``, u32 d, u32 offsets[d + 1],
        u8 has_missing[d], float32 thresholds. Names, levels and counts do not change it. If there are categorical
        features, the text is ``skbsq2``, thresholds are those of the numeric features alone, and the categories follow:
        per feature that has them u32 feature, u8 unknown values have the missing code, u32 number of categories; and
        per category, ordered by code, kind and text: u16 code, u8 kind (0 string, 1 integer, 2 bool), u32 size, text
        in UTF-8 (``true`` and ``false`` for bools).
        """
        return fingerprint_of(self)

    @property
    def folded_from(self):
        """Fingerprint of the codebook from which this codebook was folded, 8 bytes; None if it was not folded.

        `skbsq.export.to_codebook` folds the scalers of a pipeline into the thresholds. ``predict_packed`` of the model
        behind the pipeline accepts rows with this fingerprint.
        """
        return self._folded_from

    @property
    def folded_order(self):
        """Features with bits in the order of the codebook from which this one was folded: read-only int64 array.

        None if that is their order here. A `ColumnTransformer` reorders columns, and a folded codebook has the features
        in the order of the raw columns.
        """
        return self._folded_order

    @cached_property
    def _level_offsets(self):
        return _frozen(np.concatenate([[0], np.cumsum(self.n_levels)]))

    @cached_property
    def _level_objects(self):
        """Levels of all codes, flat, as floats, categories and None."""
        return np.concatenate([of_feature.astype(object) for of_feature in self.levels])

    @cached_property
    def _encoder(self):
        # A feature of 0 bits need not be measured, so that NaN is as good as any number there.
        nan_codes = np.where(self._has_missing, self.n_levels - 1, 0)
        return Encoder(self._thresholds, self._offsets, nan_codes, self.refuses_nan, self.dtype)

    @cached_property
    def category_readers(self):
        """For each categorical feature the function that turns its column into numbers, see `as_numbers`."""
        return readers_of(self)

    @cached_property
    def _table_encoder(self):
        return TableEncoder(self)

    @cached_property
    def columns(self):
        """Condition of each thermometer column: int64 array of shape (n_columns, 3).

        Row ``(j, low, high)`` stands for the bit ``low < code[j] <= high``. The bit of threshold k is 1
        for the codes from k + 1 to the highest regular code; if the feature is one-hot, for code k + 1 alone. The
        missing bit is 1 for the missing code alone.
        """
        return _frozen(bit_conditions(self))

    def column_names(self, feature_names=None):
        """Name the thermometer columns, in order.

        Parameters
        ----------
        feature_names : sequence of d str, default=None
            None: the names in the codebook, or x0, x1, ... if it has none.

        Returns
        -------
        list of str
            ``f0_t0, f0_t1, ..., f0_missing, f1_t0, ...`` with the names of the features for f0, f1, ... The columns of
            a one-hot feature have the names of its categories from code 1 on: ``f0_open``. Where two of them would have
            one name, strings are in quotes: ``f0_'1'`` beside ``f0_1``.

        Raises
        ------
        ValueError
            If `feature_names` has another length than d.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0, 1], [5]], missing="code").column_names()
        ['x0_t0', 'x0_t1', 'x0_missing', 'x1_t0', 'x1_missing']
        """
        names = self._names or numbered_names(self.n_features)
        return bit_names(self, names if feature_names is None else feature_names)

    # -- floats to codes and back --------------------------------------------------------------------

    def encode(self, X):
        """Encode floats as codes.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Real numbers of any type, cast to float32. Infinities are allowed: +inf has the top regular
            code, -inf code 0. NaN has the missing code of its feature, or code 0 in a feature of 0 bits. A categorical
            feature holds its categories, and None or NaN where it is missing.

        Returns
        -------
        ndarray of shape (n, d)
            uint8, or uint16 if any feature has more than 8 bits.

        Raises
        ------
        ValueError
            If X contains NaN in a feature that `refuses_nan`, has a wrong number of features, holds values that are
            not numbers or none of the categories, or is a data frame whose columns are not `feature_names` in their
            order.

        See Also
        --------
        decode : Codes to levels.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0.5], [1, 2]]).encode([[0.5, 1.5], [0.6, float("inf")]])
        array([[0, 1],
               [1, 2]], dtype=uint8)
        """
        if self._categories is None:
            return self.encode_numbers(check_rows(self, X, "X"))
        return self._table_encoder.encode(X)

    def encode_numbers(self, X):
        """Encode a matrix in which the numbers of categories stand for the categories.

        Parameters
        ----------
        X : ndarray of shape (n, d)

        Returns
        -------
        ndarray of shape (n, d)
            As `encode` returns it.

        Raises
        ------
        ValueError
            If X contains NaN in a feature that `refuses_nan`.

        Examples
        --------
        >>> import numpy as np
        >>> from skbsq import Codebook
        >>> book = Codebook.from_thresholds([{"open": 0, "shut": 1}])
        >>> book.encode([["shut"]]) == book.encode_numbers(np.array([[1.0]]))
        array([[ True]])
        """
        codes, refused = self._encoder.encode(X)
        if refused is not None:
            row, j = refused
            refuse_missing(label(self._names, j), row)
        return codes

    def decode(self, codes):
        """Decode codes as levels.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of float32 of shape (n, d)
            In the units of X; NaN for missing codes. If there are categorical features, an array of objects: floats,
            categories, and None for a missing category.

        Raises
        ------
        ValueError
            If a code is out of range, or the number of features is wrong.

        See Also
        --------
        encode : Floats to codes.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> book = Codebook.from_thresholds([[1.0]], levels=[[0.25, 7.0]])
        >>> book.decode([[0], [1]])
        array([[0.25],
               [7.  ]], dtype=float32)
        """
        codes = self.check_codes(codes)
        if self._categories is None:
            return decode(codes, self._levels, self._level_offsets[:-1])
        return decode(codes, self._level_objects, self._level_offsets[:-1])

    def thermometer(self, codes):
        """Turn codes into thermometer bits.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of uint8 of shape (n, n_columns)
            Columns ``f0_t0, f0_t1, ..., f0_missing, f1_t0, ...``: column ``fj_tk`` is 1 where the value lay
            above threshold k. For a missing value all t-columns are 0 and the missing column is 1. A one-hot feature
            has a column for each code from 1 on.

        Raises
        ------
        ValueError
            If a code is out of range, or the number of features is wrong.

        See Also
        --------
        codes_from_thermometer : The way back.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0, 1]], missing="code").thermometer([[0], [1], [2], [3]])
        array([[0, 0, 0],
               [1, 0, 0],
               [1, 1, 0],
               [0, 0, 1]], dtype=uint8)
        """
        return thermometer(self.check_codes(codes), self.columns)

    def codes_from_thermometer(self, bits):
        """Turn thermometer bits back into codes.

        Parameters
        ----------
        bits : array-like of shape (n, n_columns)
            What `thermometer` returns, of any numeric type.

        Returns
        -------
        ndarray of uint8 or uint16 of shape (n, d)

        Raises
        ------
        ValueError
            If the bits of a feature belong to no code, or the number of columns is wrong.

        See Also
        --------
        thermometer : The way there.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0, 1]]).codes_from_thermometer([[1, 0], [1, 1]])
        array([[1],
               [2]], dtype=uint8)
        """
        return codes_of_bits(self, bits)

    def check_codes(self, codes):
        """Check the shape and range of codes, and return them as an integer array.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of an integer type of shape (n, d)

        Raises
        ------
        ValueError
            If a code is not a whole number or out of range, or the number of features is wrong. The message names
            the code and its feature.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0, 1]]).check_codes([[3]])
        Traceback (most recent call last):
        ...
        ValueError: Code 3 of feature 0 (row 0) is out of range: it has the codes 0 to 2.
        """
        return check_codes(self, codes)

    # -- coarser codebooks ---------------------------------------------------------------------------

    def coarsened(self, n_bits):
        """Return a codebook with fewer bits, whose thresholds are some of those of this one.

        Each bit less drops every second threshold of a feature, and the levels between are merged: to their mean,
        weighted by the counts, or to midpoints if there are no counts. So its codes can be computed from the codes of
        this codebook, see `recode`. Codes of categories are merged in their order, and decode to the level of the most
        frequent of them, or of the first if there are no counts.

        Parameters
        ----------
        n_bits : int, array-like of shape (d,), dict or pandas Series name -> int
            Most bits per feature. A feature with no more bits than that is not changed.

        Returns
        -------
        Codebook
            A feature with a missing code keeps it at 1 bit or more; at 1 bit nothing else is left. At 0 bits NaN and
            all numbers share code 0. A feature with guard codes keeps them as long as at least two other codes for
            numbers have room beside them.

        Raises
        ------
        ValueError
            If a number of bits is not an integer from 0 to 16, or a feature is absent or unknown.

        See Also
        --------
        recode : Codes of this codebook as codes of a coarse one.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> book = Codebook.from_thresholds([[1, 2, 3, 4, 5, 6, 7], [10]])
        >>> coarse = book.coarsened(2)
        >>> coarse.thresholds, coarse.row_bits
        ([array([2., 4., 6.], dtype=float32), array([10.], dtype=float32)], 3)
        """
        if n_bits is None:
            raise ValueError("n_bits must be given: the number of bits per feature that remain.")
        return Codebook.from_thresholds(**coarsened(self, check_n_bits(n_bits, self._names, self.n_features)))

    def is_refinement_of(self, other):
        """Return whether the codes of this codebook determine the codes of another one.

        They do if each feature has the thresholds of the other codebook, and NaN has a code of its own in both or in
        neither. For a categorical feature both must know the same categories, in any order, and those that share a code
        here must share one there. Where the other codebook has no bits, anything may be here.

        Parameters
        ----------
        other : Codebook

        Returns
        -------
        bool
            False if the names of the features differ.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> fine, coarse = Codebook.from_thresholds([[1, 2, 3]]), Codebook.from_thresholds([[2]])
        >>> fine.is_refinement_of(coarse), coarse.is_refinement_of(fine)
        (True, False)
        """
        return obstacle(self, other) is None

    def recode(self, codes, coarse):
        """Turn codes of this codebook into codes of a coarse one, without the floats.

        A gateway can so lower the rate of rows that a device sent.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)
        coarse : Codebook
            This codebook must be a refinement of it.

        Returns
        -------
        ndarray of shape (n, d)
            What ``coarse.encode`` gives for the same floats: uint8, or uint16 if any of its features has more than 8
            bits.

        Raises
        ------
        ValueError
            If a code is out of range, or this codebook is no refinement of `coarse`.

        See Also
        --------
        coarsened : A coarse codebook.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> fine = Codebook.from_thresholds([[1, 2, 3]])
        >>> fine.recode([[0], [1], [2], [3]], fine.coarsened(1)).ravel()
        array([0, 0, 1, 1], dtype=uint8)
        """
        if (why := obstacle(self, coarse)) is not None:
            raise ValueError(f"codes cannot become codes of coarse: {why}. Make it with coarsened.")
        table = np.concatenate(recoding(self, coarse)).astype(coarse.dtype)
        return decode(self.check_codes(codes), table, self._level_offsets[:-1])

    def transcoder(self, new, *, same_units=False):
        """Return what turns codes of this codebook into codes of another one, such as that of a new model.

        So old devices can stay in the field: a gateway or server turns their codes into those of the new codebook, by a
        table per feature. An old code becomes the new code of its level, which is exact if no new threshold lies inside
        its bin.

        Parameters
        ----------
        new : Codebook
            With thresholds in the same units as this one, those of the raw features: fold scalers with
            `skbsq.export.to_codebook`.
        same_units : bool, default=False
            True if both have the same features in the same units, as you know. Needed if features have no names
            or other names, and if only one of the codebooks was folded from a pipeline.

        Returns
        -------
        Transcoder
            ``transcode(codes)`` gives codes of `new`, and ``cost()`` a table of how many codes may be wrong.

        Raises
        ------
        ValueError
            If features do not match, or if a feature has a missing code here and none in `new`, where it has bits. If
            `new` knows a level of a categorical feature neither as a category nor as a missing value.

        See Also
        --------
        recode : Codes of a codebook with some of the thresholds, always exact.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> old = Codebook.from_thresholds({"t": [10, 20], "p": [1000]})
        >>> new = Codebook.from_thresholds({"p": [990, 1000, 1010], "t": [10, 15, 18]})
        >>> old.transcoder(new).transcode([[0, 0], [1, 1], [2, 1]])
        array([[0, 0],
               [3, 1],
               [3, 3]], dtype=uint8)
        """
        return Transcoder(self, new, same_units=same_units)

    # -- text ----------------------------------------------------------------------------------------

    def to_json(self):
        """Write the codebook as JSON text.

        Floats are hexadecimal, so that every machine reads back the same bits. There is no pickle in it.

        Returns
        -------
        str

        See Also
        --------
        from_json : Read the text.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> book = Codebook.from_thresholds([[0.1]])
        >>> print(book.to_json())
        {"format": "skbsq-codebook", "version": 1, "missing": "error", "features": [
        {"name": null, "thresholds": ["0x1.99999a0000000p-4"], ..., "has_missing": false, "counts": null}
        ]}
        >>> Codebook.from_json(book.to_json()) == book
        True
        """
        return json.dump(self)

    @classmethod
    def from_json(cls, text):
        """Read the JSON text of a codebook, which may come from an untrusted file.

        Parameters
        ----------
        text : str or bytes
            As `to_json` writes it.

        Returns
        -------
        Codebook

        Raises
        ------
        ValueError
            If the text is not a codebook of a known version, or has unknown fields.

        See Also
        --------
        to_json : Write the text.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_json('{"format": "skbsq-codebook", "version": 3}')
        Traceback (most recent call last):
        ...
        ValueError: This codebook has format version 3; this skbsq reads versions 1 and 2.
        """
        return cls.from_thresholds(**json.parse(text))


def _frozen(array):
    array.flags.writeable = False
    return array


def _by_feature(thresholds, levels, counts, feature_names):
    """Return the names, and thresholds, levels and counts in the order of the features."""
    if isinstance(thresholds, str | bytes) or not hasattr(thresholds, "__len__"):
        raise ValueError(f"thresholds must be a list with one 1-d array per feature, got {thresholds!r}.")
    d = len(thresholds)
    if d == 0:
        raise ValueError("A codebook needs at least one feature, got an empty list of thresholds.")
    labels = labels_of(thresholds)
    if feature_names is None and labels is not None and all(isinstance(name, str) for name in labels):
        feature_names = labels
    names = check_names(feature_names)
    for what, given in [("feature_names", names), ("levels", levels), ("counts", counts)]:
        if given is not None and len(given) != d:
            raise ValueError(f"{what} has {len(given)} entries for {d} features.")
    parts = [(thresholds, "thresholds"), (levels, "levels"), (counts, "counts")]
    return names, *(in_feature_order(given, names, d, what) for given, what in parts)


def _split_mappings(thresholds, labels):
    """Return the thresholds and the categories of each feature, and which features have None among them."""
    found, categories, none_seen = [], [], np.zeros(len(labels), dtype=bool)
    for j, (given, name) in enumerate(zip(thresholds, labels, strict=True)):
        known = None
        if isinstance(given, Mapping):
            known, codes, none_seen[j] = codes_of_mapping(given, name)
            given = thresholds_of_codes(codes)
        found.append(given)
        categories.append(known)
    return found, tuple(categories), none_seen


def _category_array(numbers, categories):
    """Return the categories of numbers, None for NaN, as a read-only array of objects."""
    found = np.empty(numbers.size, dtype=object)
    found[:] = [None if number != number else categories[int(number)] for number in numbers.tolist()]
    return _frozen(found)


def _levels_of(thresholds, categories, given, has_missing, label):
    """Return the levels of a feature, with NaN for the missing code."""
    if categories is not None:
        levels = level_numbers(thresholds, categories, given, label)
    else:
        levels = midpoint_levels(thresholds) if given is None else check_levels(given, thresholds.size + 1, label)
    return np.append(levels, np.float32(np.nan)) if has_missing else levels
