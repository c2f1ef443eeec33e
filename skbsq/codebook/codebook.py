"""The codebook: what a quantizer is once it is trained. Imports NumPy alone."""

import hashlib
from functools import cached_property
from itertools import pairwise

import numpy as np

from skbsq.codebook import json
from skbsq.codebook.checks import (
    check_counts,
    check_fields,
    check_folded_from,
    check_has_missing,
    check_levels,
    check_missing_rule,
    check_n_levels,
    check_names,
    check_thresholds,
    midpoint_levels,
)
from skbsq.codebook.kernels import Encoder, decode, in_range, thermometer
from skbsq.codebook.labels import check_columns, columns_of, in_feature_order, label, labels_of, numbered_names
from skbsq.codebook.matrix import as_matrix


class Codebook:
    """Thresholds per feature and the levels they separate.

    Every quantizer ends as a codebook, and everything that encodes, decodes, packs, exports or
    predicts reads the codebook and nothing else. It is immutable, compares by value and can be
    pickled. Build one with `from_thresholds` or `from_json`.

    The code of `x` is the number of thresholds `t` with `x > t` (strict), in float32. A feature
    with ``has_missing`` owns one more code, the highest, which stands for NaN alone.

    See Also
    --------
    skbsq.ThresholdQuantizer : A transformer around thresholds of your own.

    Notes
    -----
    arXiv 2603.05172, Section 3: the comparisons of one feature, in threshold order, are the
    *thermometer bits* of its code; both hold the same information.

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

    # Set once by `_build`; plain arrays and plain values only, so that any serialiser can hold them.
    _FIELDS = (
        "_thresholds",  # float32, flat
        "_offsets",  # int64, (d + 1,): feature j owns _thresholds[_offsets[j]:_offsets[j + 1]]
        "_levels",  # float32, flat, n_levels per feature, NaN for the missing code
        "_counts",  # int64, flat like _levels, or None
        "_has_missing",  # bool, (d,)
        "_missing",  # "error" | "code"
        "_names",  # tuple of str, or None
        "_folded_from",  # bytes, or None
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
    ):
        """Build a codebook from thresholds in the units of the features.

        Parameters
        ----------
        thresholds : list, dict or pandas Series of d 1-d array-likes
            Finite. Cast to float32, sorted and merged where equal; -0.0 is stored as 0.0. An empty
            array makes a feature of one level, which costs 0 bits. The labels of a dict or Series are names
            of features, or their numbers. Names become `feature_names` where none are given. `levels`,
            `counts` and `has_missing` may have labels too.
        levels : list of 1-d array-likes, default=None
            What each code decodes to: one more value than thresholds. The NaN level is added, never
            given. With levels the thresholds must already be strictly increasing in float32.
            None: midpoints, see `midpoint_levels`.
        counts : list of 1-d integer array-likes, default=None
            Training rows per code, one entry per level, the missing code included.
        missing : {"error", "code"}, default="error"
            "error" refuses NaN in `encode`; "code" gives it the feature's top code (code 0 where the
            feature has no missing code).
        has_missing : array-like of bool of shape (d,), default=None
            Which features own a missing code, under ``missing="code"``. None: those with at least
            one threshold.
        feature_names : sequence of str, default=None
            Unique names.
        folded_from : bytes of length 8, default=None
            See `folded_from`.

        Returns
        -------
        Codebook

        Raises
        ------
        ValueError
            Naming the feature and the value that is wrong.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> book = Codebook.from_thresholds([[2, 1]], levels=None, missing="code")
        >>> book.thresholds, book.levels
        ([array([1., 2.], dtype=float32)], [array([0.5, 1.5, 2.5, nan], dtype=float32)])
        """
        names, thresholds, levels, counts = _by_feature(thresholds, levels, counts, feature_names)
        check_missing_rule(missing)
        check_folded_from(folded_from)

        strict = levels is not None
        cuts = [check_thresholds(t, label(names, j), strict=strict) for j, t in enumerate(thresholds)]
        has_missing = check_has_missing(has_missing, missing, cuts, names)
        check_n_levels(cuts, has_missing, names)
        full_levels = []
        for j, t in enumerate(cuts):
            if levels is None:
                regular = midpoint_levels(t)
            else:
                regular = check_levels(levels[j], t.size + 1, label(names, j))
            full_levels.append(np.append(regular, np.float32(np.nan)) if has_missing[j] else regular)
        full_counts = None
        if counts is not None:
            full_counts = [check_counts(c, full_levels[j].size, label(names, j)) for j, c in enumerate(counts)]
        return cls._build(
            {
                "_thresholds": np.concatenate(cuts),
                "_offsets": np.concatenate([[0], np.cumsum([t.size for t in cuts])]).astype(np.int64),
                "_levels": np.concatenate(full_levels),
                "_counts": None if full_counts is None else np.concatenate(full_counts),
                "_has_missing": has_missing,
                "_missing": missing,
                "_names": names,
                "_folded_from": folded_from,
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
        # The only way into an instance: the state may come from an untrusted file, and arrays from a pickle are
        # writeable. Pickles of before 0.1 have no _folded_from.
        state = {"_folded_from": None, **state}
        check_fields(*(state[field] for field in self._FIELDS))
        for field in self._FIELDS:
            value = state[field]
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
            self.__dict__[field] = value

    def __setattr__(self, name, value):
        raise AttributeError(f"A Codebook is immutable: cannot set {name!r}. Build a new one instead.")

    def __delattr__(self, name):
        raise AttributeError(f"A Codebook is immutable: cannot delete {name!r}.")

    def __eq__(self, other):
        if not isinstance(other, Codebook):
            return NotImplemented
        return (
            self._missing == other._missing
            and self._names == other._names
            and self._folded_from == other._folded_from
            and np.array_equal(self._offsets, other._offsets)
            and np.array_equal(self._thresholds, other._thresholds)
            and np.array_equal(self._has_missing, other._has_missing)
            and np.array_equal(self._levels, other._levels, equal_nan=True)
            and (self._counts is None) == (other._counts is None)
            and (self._counts is None or np.array_equal(self._counts, other._counts))
        )

    def __hash__(self):
        return hash(self.fingerprint)

    def __repr__(self):
        return f"Codebook(n_features={self.n_features}, row_bits={self.row_bits}, missing={self._missing!r})"

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
        """Columns of `thermometer`: one per threshold and one per missing code."""
        return int(self._offsets[-1] + self._has_missing.sum())

    @property
    def dtype(self):
        """Type of the codes: uint8, or uint16 if any feature has more than 8 bits."""
        return np.dtype(np.uint8 if self.n_bits.max() <= 8 else np.uint16)

    # -- contents ------------------------------------------------------------------------------------

    @property
    def missing(self):
        """The rule for NaN, "error" or "code"."""
        return self._missing

    @property
    def has_missing(self):
        """Which features own a missing code: read-only bool array of shape (d,)."""
        return self._has_missing

    @property
    def feature_names(self):
        """Tuple of names, or None."""
        return self._names

    @property
    def offsets(self):
        """Feature j owns the flat thresholds ``offsets[j]:offsets[j + 1]``; int64, shape (d + 1,)."""
        return self._offsets

    @property
    def thresholds(self):
        """List of d read-only float32 arrays, strictly increasing, in the units of X."""
        return [self._thresholds[a:b] for a, b in pairwise(self._offsets.tolist())]

    @property
    def levels(self):
        """List of d read-only float32 arrays, a level per code, NaN for the missing code."""
        return [self._levels[a:b] for a, b in pairwise(self._level_offsets.tolist())]

    @property
    def counts(self):
        """List of d read-only int64 arrays, training rows per code; None where not known."""
        if self._counts is None:
            return None
        return [self._counts[a:b] for a, b in pairwise(self._level_offsets.tolist())]

    @cached_property
    def fingerprint(self):
        """8 bytes that name the encoder: equal exactly where every float gets an equal code.

        The first 8 bytes of the SHA-256 of, little-endian: ``skbsq1``, u32 d, u32 offsets[d + 1],
        u8 has_missing[d], float32 thresholds. Names, levels and counts are not in it.
        """
        digest = hashlib.sha256(b"skbsq1")
        digest.update(np.array([self.n_features], dtype="<u4").tobytes())
        digest.update(self._offsets.astype("<u4").tobytes())
        digest.update(self._has_missing.astype("u1").tobytes())
        digest.update(self._thresholds.astype("<f4").tobytes())
        return digest.digest()[:8]

    @property
    def folded_from(self):
        """Fingerprint of the codebook that this one was folded from, 8 bytes; None where it was not folded.

        `skbsq.export.to_codebook` folds the scalers of a pipeline into the thresholds. The model behind the pipeline
        knows its rows by this fingerprint, see ``predict_packed``.
        """
        return self._folded_from

    @cached_property
    def _numbered_names(self):
        return numbered_names(self.n_features)

    @cached_property
    def _level_offsets(self):
        return _frozen(np.concatenate([[0], np.cumsum(self.n_levels)]))

    @cached_property
    def _encoder(self):
        nan_codes = None if self._missing == "error" else np.where(self._has_missing, self.n_levels - 1, 0)
        return Encoder(self._thresholds, self._offsets, nan_codes, self.dtype)

    @cached_property
    def columns(self):
        """What each thermometer column asks of a code: int64 array of shape (n_columns, 3).

        Row ``(j, low, high)`` stands for the bit ``low < code[j] <= high``. Threshold k of a feature is
        on for the codes k + 1 up to its highest regular code, the missing column for the missing code
        alone.
        """
        rows = []
        for j, (n_thresholds, missing) in enumerate(
            zip(np.diff(self._offsets).tolist(), self._has_missing.tolist(), strict=True)
        ):
            rows += [(j, k, n_thresholds) for k in range(n_thresholds)]
            rows += [(j, n_thresholds, n_thresholds + 1)] * missing
        return _frozen(np.array(rows, dtype=np.int64).reshape(-1, 3))

    def column_names(self, feature_names=None):
        """Names of the thermometer columns, in order.

        Parameters
        ----------
        feature_names : sequence of str, default=None
            None: those of the codebook, or x0, x1, ... where it has none.

        Returns
        -------
        list of str
            ``f0_t0, f0_t1, ..., f0_missing, f1_t0, ...`` with the feature's name for f0.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0, 1], [5]], missing="code").column_names()
        ['x0_t0', 'x0_t1', 'x0_missing', 'x1_t0', 'x1_missing']
        """
        names = feature_names
        if names is None:
            names = self._names or self._numbered_names
        out = []
        for name, thresholds, missing in zip(names, self.thresholds, self._has_missing, strict=True):
            out += [f"{name}_t{k}" for k in range(thresholds.size)] + [f"{name}_missing"] * bool(missing)
        return out

    # -- floats to codes and back --------------------------------------------------------------------

    def encode(self, X):
        """Floats to codes.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Real numbers of any type, cast to float32. Infinities are allowed: +inf gets the top regular
            code, -inf code 0.

        Returns
        -------
        ndarray of shape (n, d)
            uint8, or uint16 if any feature has more than 8 bits.

        Raises
        ------
        ValueError
            For NaN under ``missing="error"``, a wrong number of features, columns of a data frame that are not those
            of `feature_names` in their order, or values that are no numbers.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0.5], [1, 2]]).encode([[0.5, 1.5], [0.6, float("inf")]])
        array([[0, 1],
               [1, 2]], dtype=uint8)
        """
        X = self._check_rows(X, "X")
        codes, refused = self._encoder.encode(X)
        if refused is not None:
            row, j = refused
            raise ValueError(
                f"X contains NaN in {label(self._names, j)} (row {row}), and this codebook has no code for it: impute "
                'first, or fit with missing="code".'
            )
        return codes

    def decode(self, codes):
        """Codes to levels.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of float32 of shape (n, d)
            In the units of X; NaN for missing codes.

        Raises
        ------
        ValueError
            For a code the feature does not have.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> book = Codebook.from_thresholds([[1.0]], levels=[[0.25, 7.0]])
        >>> book.decode([[0], [1]])
        array([[0.25],
               [7.  ]], dtype=float32)
        """
        return decode(self.check_codes(codes), self._levels, self._level_offsets[:-1])

    def thermometer(self, codes):
        """Codes to thermometer bits.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of uint8 of shape (n, n_columns)
            Columns ``f0_t0, f0_t1, ..., f0_missing, f1_t0, ...``: column ``fj_tk`` is 1 where the value lay
            above threshold k. A missing value has all its t-columns 0 and its missing column 1.

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
        """Thermometer bits back to codes.

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
            Where the bits of a feature are not those of any code.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0, 1]]).codes_from_thermometer([[1, 0], [1, 1]])
        array([[1],
               [2]], dtype=uint8)
        """
        given, bits = bits, as_matrix(bits, "bits")
        if (columns := columns_of(given)) is not None:
            check_columns(columns, self.column_names(), "bits", strict=self._names is not None)
        if bits.shape[1] != self.n_columns:
            raise ValueError(
                f"bits has {bits.shape[1]} columns, but the thermometer of this codebook has {self.n_columns}."
            )
        codes = np.zeros((bits.shape[0], self.n_features), dtype=self.dtype)
        start = 0
        for j, t in enumerate(self.thresholds):
            regular = bits[:, start : start + t.size]
            codes[:, j] = (regular != 0).sum(axis=1)
            start += t.size
            if self._has_missing[j]:
                codes[bits[:, start] != 0, j] = t.size + 1
                start += 1
        wrong = (self.thermometer(codes) != bits).any(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"Row {row} holds no thermometer bits: within a feature they read 1...10...0.")
        return codes

    def check_codes(self, codes):
        """Return `codes` as an integer array after checking its shape and range.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of an integer type of shape (n, d)

        Raises
        ------
        ValueError
            Naming the feature and the code.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0, 1]]).check_codes([[3]])
        Traceback (most recent call last):
        ...
        ValueError: Code 3 of feature 0 (row 0) is out of range: it has the codes 0 to 2.
        """
        codes = self._check_rows(codes, "codes")
        if codes.dtype.kind == "b":
            codes = codes.astype(np.uint8)  # as an index, bool would be a mask
        if codes.dtype.kind == "f":
            # A DataFrame or a scaler upstream may have made floats of them; whole numbers are still codes.
            with np.errstate(invalid="ignore"):  # of floats beyond int64
                whole = codes.astype(np.int64, copy=False) if np.isfinite(codes).all() else None
            if whole is None or not np.array_equal(whole, codes):
                self._refuse_codes(codes)
            codes = whole
        if not in_range(codes, self.n_levels):
            row, j = np.argwhere((codes < 0) | (codes >= self.n_levels))[0]
            raise ValueError(
                f"Code {codes[row, j]} of {label(self._names, j)} (row {row}) is out of range: "
                f"it has the codes 0 to {self.n_levels[j] - 1}."
            )
        return codes

    def _refuse_codes(self, codes):
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(codes) < 2.0**63) | (codes != np.trunc(codes))
        row, j = np.argwhere(wrong)[0]
        where = f"in {label(self._names, j)} (row {row})"
        if np.isnan(codes[row, j]):
            raise ValueError(
                f"codes are missing or masked {where}, and every row needs a code per feature: a missing value has the "
                'highest code of its feature under missing="code".'
            )
        raise ValueError(f"codes must be whole numbers, got {codes[row, j]} {where}.")

    def _check_rows(self, X, what):
        X = as_matrix(X, what, self._names or self._numbered_names, strict=self._names is not None)
        if X.shape[1] != self.n_features:
            raise ValueError(f"{what} has {X.shape[1]} features, but this codebook has {self.n_features}.")
        return X

    # -- text ----------------------------------------------------------------------------------------

    def to_json(self):
        """Write the codebook as JSON text.

        Floats are hexadecimal, so that they read back to the same bits on any machine; no pickle.

        Returns
        -------
        str

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
        """Read what `to_json` wrote.

        Parameters
        ----------
        text : str or bytes

        Returns
        -------
        Codebook

        Raises
        ------
        ValueError
            For anything but a codebook of a known version, unknown fields included.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_json('{"format": "skbsq-codebook", "version": 2}')
        Traceback (most recent call last):
        ...
        ValueError: This codebook has format version 2; this skbsq reads version 1.
        """
        return cls.from_thresholds(**json.parse(text))


def _frozen(array):
    array.flags.writeable = False
    return array


def _by_feature(thresholds, levels, counts, feature_names):
    """Names, and what is given of each feature in the order of the features."""
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
