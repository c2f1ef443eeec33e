"""The codebook: what a quantizer is once it is trained. Imports NumPy alone."""

import hashlib
import json
from functools import cached_property
from itertools import pairwise

import numpy as np

from skbsq._encode import BLOCK_ROWS, as_float32, encode_column

MAX_BITS = 16
JSON_FORMAT = "skbsq-codebook"
JSON_VERSION = 1
MISSING_RULES = ("error", "code")


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
    ):
        """Build a codebook from thresholds in the units of the features.

        Parameters
        ----------
        thresholds : list of 1-d array-likes, one per feature
            Finite. Cast to float32, sorted and merged where equal; -0.0 is stored as 0.0. An empty
            array makes a feature of one level, which costs 0 bits.
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
        names = _check_names(feature_names)
        if isinstance(thresholds, str | bytes | dict) or not hasattr(thresholds, "__len__"):
            raise ValueError(f"thresholds must be a list with one 1-d array per feature, got {thresholds!r}.")
        d = len(thresholds)
        if d == 0:
            raise ValueError("A codebook needs at least one feature, got an empty list of thresholds.")
        for what, given in [("feature_names", names), ("levels", levels), ("counts", counts)]:
            if given is not None and len(given) != d:
                raise ValueError(f"{what} has {len(given)} entries for {d} features.")
        _check_missing_rule(missing)

        strict = levels is not None
        cuts = [check_thresholds(t, _label(names, j), strict=strict) for j, t in enumerate(thresholds)]
        has_missing = _check_has_missing(has_missing, missing, cuts)
        for j, t in enumerate(cuts):
            n_levels = t.size + 1 + has_missing[j]
            if n_levels > 2**MAX_BITS:
                raise ValueError(
                    f"{_label(names, j)} has {n_levels} levels; at most 2^{MAX_BITS} = {2**MAX_BITS} fit a code."
                )

        full_levels = []
        for j, t in enumerate(cuts):
            if levels is None:
                regular = midpoint_levels(t)
            else:
                regular = _check_levels(levels[j], t.size + 1, _label(names, j))
            full_levels.append(np.append(regular, np.float32(np.nan)) if has_missing[j] else regular)
        full_counts = None
        if counts is not None:
            full_counts = [_check_counts(c, full_levels[j].size, _label(names, j)) for j, c in enumerate(counts)]
        return cls._build(
            {
                "_thresholds": np.concatenate(cuts),
                "_offsets": np.concatenate([[0], np.cumsum([t.size for t in cuts])]).astype(np.int64),
                "_levels": np.concatenate(full_levels),
                "_counts": None if full_counts is None else np.concatenate(full_counts),
                "_has_missing": has_missing,
                "_missing": missing,
                "_names": names,
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
        # Arrays come out of a pickle writeable: freeze them here, the one door into an instance.
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

    @cached_property
    def _level_offsets(self):
        return _frozen(np.concatenate([[0], np.cumsum(self.n_levels)]))

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
            names = self._names or [f"x{j}" for j in range(self.n_features)]
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
            For NaN under ``missing="error"``, a wrong number of features, or values that are no numbers.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> Codebook.from_thresholds([[0.5], [1, 2]]).encode([[0.5, 1.5], [0.6, float("inf")]])
        array([[0, 1],
               [1, 2]], dtype=uint8)
        """
        X = self._check_rows(X, "X")
        codes = np.empty(X.shape, dtype=self.dtype)
        thresholds = self.thresholds
        nan_codes = np.where(self._has_missing, self.n_levels - 1, 0)
        for start in range(0, X.shape[0], BLOCK_ROWS):
            block = as_float32(X[start : start + BLOCK_ROWS])
            out = codes[start : start + BLOCK_ROWS]
            nan = np.isnan(block)
            if nan.any():
                if self._missing == "error":
                    row, j = np.argwhere(nan)[0]
                    raise ValueError(
                        f"X contains NaN in {_label(self._names, j)} (row {start + row}), and this codebook has no "
                        'code for it: impute first, or fit with missing="code".'
                    )
            else:
                nan = None
            for j, t in enumerate(thresholds):
                encode_column(block[:, j], t, out[:, j])
                if nan is not None:
                    out[nan[:, j], j] = nan_codes[j]
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
        codes = self.check_codes(codes)
        out = np.empty(codes.shape, dtype=np.float32)
        for j, levels in enumerate(self.levels):
            np.take(levels, codes[:, j], out=out[:, j])
        return out

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
        codes = self.check_codes(codes)
        out = np.empty((codes.shape[0], self.n_columns), dtype=np.uint8)
        for column, (j, low, high) in enumerate(self.columns.tolist()):
            code = codes[:, j]
            np.logical_and(code > low, code <= high, out=out[:, column].view(bool))
        return out

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
        bits = _as_matrix(bits, "bits")
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
        if codes.dtype.kind == "f":
            # A DataFrame or a scaler upstream may have made floats of them; whole numbers are still codes.
            whole = codes.astype(np.int64, copy=False) if np.isfinite(codes).all() else None
            if whole is None or not np.array_equal(whole, codes):
                raise ValueError("codes must be whole numbers, got floats that are not.")
            codes = whole
        bad = (codes < 0) | (codes >= self.n_levels)
        if bad.any():
            row, j = np.argwhere(bad)[0]
            raise ValueError(
                f"Code {codes[row, j]} of {_label(self._names, j)} (row {row}) is out of range: "
                f"it has the codes 0 to {self.n_levels[j] - 1}."
            )
        return codes

    def _check_rows(self, X, what):
        X = _as_matrix(X, what)
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
        names = self._names or [None] * self.n_features
        counts = self.counts or [None] * self.n_features
        features = [
            {
                "name": names[j],
                "thresholds": _to_hex(self.thresholds[j]),
                "levels": _to_hex(levels[:-1] if self._has_missing[j] else levels),
                "has_missing": bool(self._has_missing[j]),
                "counts": None if counts[j] is None else counts[j].tolist(),
            }
            for j, levels in enumerate(self.levels)
        ]
        head = json.dumps({"format": JSON_FORMAT, "version": JSON_VERSION, "missing": self._missing})
        body = ",\n".join(json.dumps(feature) for feature in features)
        return f'{head[:-1]}, "features": [\n{body}\n]}}'

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
        try:
            # A number is parsed as the text it is, so that a huge one cannot cost anything.
            document = json.loads(text, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant)
        except (RecursionError, UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"Not the JSON text of a codebook: {error}") from None
        if not isinstance(document, dict) or document.get("format") != JSON_FORMAT:
            raise ValueError(f'Not the JSON text of a codebook: "format" is not "{JSON_FORMAT}".')
        if type(document.get("version")) is not int or document["version"] != JSON_VERSION:
            raise ValueError(
                f"This codebook has format version {document.get('version')!r}; this skbsq reads version "
                f"{JSON_VERSION}."
            )
        _check_keys(document, {"format", "version", "missing", "features"}, "the codebook")
        features = document["features"]
        if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
            raise ValueError('"features" must be a list of objects.')
        for j, feature in enumerate(features):
            _check_keys(feature, {"name", "thresholds", "levels", "has_missing", "counts"}, f"feature {j}")
            if type(feature["has_missing"]) is not bool:
                raise ValueError(f'"has_missing" of feature {j} must be true or false, got {feature["has_missing"]!r}.')
        names = _all_or_none([f["name"] for f in features], "name")
        counts = _all_or_none([f["counts"] for f in features], "counts")
        return cls.from_thresholds(
            [_from_hex(f["thresholds"], f"thresholds of feature {j}") for j, f in enumerate(features)],
            levels=[_from_hex(f["levels"], f"levels of feature {j}") for j, f in enumerate(features)],
            counts=counts,
            missing=document["missing"],
            has_missing=[f["has_missing"] for f in features],
            feature_names=names,
        )


def check_thresholds(thresholds, label, *, strict=False):
    """Return thresholds as the package stores them: the one validator.

    Parameters
    ----------
    thresholds : array-like, 1-d
    label : str
        The feature, for the message.
    strict : bool, default=False
        Refuse what would have to be sorted or merged.

    Returns
    -------
    ndarray of float32, strictly increasing, with 0.0 for -0.0

    Examples
    --------
    >>> from skbsq._codebook import check_thresholds
    >>> check_thresholds([2, 1, 1, -0.0], "feature 0")
    array([0., 1., 2.], dtype=float32)
    """
    raw = np.asarray(thresholds)
    if raw.size == 0 and raw.ndim == 1:
        return np.empty(0, dtype=np.float32)
    if raw.ndim != 1 or raw.dtype.kind not in "fiub":
        raise ValueError(f"The thresholds of {label} must be a 1-d array of numbers, got {thresholds!r}.")
    cast = as_float32(raw)
    finite = np.isfinite(cast)
    if not finite.all():
        raise ValueError(
            f"The thresholds of {label} must be finite in float32, got {raw[np.argmin(finite)]}; a threshold that "
            "no value exceeds, or every value, carries nothing: leave it out."
        )
    cast = cast + np.float32(0.0)  # -0.0 + 0.0 is 0.0
    if strict and (cast[1:] <= cast[:-1]).any():
        k = int(np.argmax(cast[1:] <= cast[:-1]))
        raise ValueError(
            f"The thresholds of {label} must be strictly increasing in float32 where levels are given, "
            f"got {cast[k]} before {cast[k + 1]}."
        )
    return np.unique(cast)


def midpoint_levels(thresholds, lone_gap=None):
    """Levels in the middle of the bins.

    The inner levels are the midpoints of neighbouring thresholds, the two outer ones lie half the
    neighbouring gap outside (arXiv 2603.05172, Section 4). All are finite.

    Parameters
    ----------
    thresholds : ndarray of float32, strictly increasing
    lone_gap : float, default=None
        The gap where there is only one threshold. None: its magnitude, or 1 where it is 0.

    Returns
    -------
    ndarray of float32, one more than thresholds
        0.0 alone where there are no thresholds.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq._codebook import midpoint_levels
    >>> midpoint_levels(np.float32([0, 1, 3]))
    array([-0.5,  0.5,  2. ,  4. ], dtype=float32)
    """
    t = thresholds.astype(np.float64)
    if t.size == 0:
        return np.zeros(1, dtype=np.float32)
    gaps = np.diff(t)
    if t.size == 1:
        gaps = np.array([lone_gap if lone_gap is not None else (abs(t[0]) or 1.0)])
    middle = np.concatenate([[t[0] - gaps[0] / 2], (t[1:] + t[:-1]) / 2, [t[-1] + gaps[-1] / 2]])
    limit = np.finfo(np.float32).max
    return np.clip(middle, -limit, limit).astype(np.float32) + np.float32(0.0)


def _frozen(array):
    array.flags.writeable = False
    return array


def _label(names, j):
    return f"feature {j}" if names is None else f"feature {names[j]!r}"


def _as_matrix(X, what):
    X = np.asarray(X)
    if X.dtype.kind == "O":
        try:
            X = X.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{what} must hold numbers: {error}") from None
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{what} must hold real numbers, got dtype {X.dtype}.")
    if X.ndim != 2:
        raise ValueError(f"{what} must be 2-d, one row per reading, got shape {X.shape}.")
    return X


def _check_missing_rule(missing):
    if missing not in MISSING_RULES:
        raise ValueError(f"missing must be one of {list(MISSING_RULES)}, got {missing!r}.")


def _check_has_missing(has_missing, missing, cuts):
    if has_missing is None:
        return np.array([missing == "code" and t.size > 0 for t in cuts])
    has_missing = np.asarray(has_missing)
    if has_missing.shape != (len(cuts),) or has_missing.dtype != bool:
        raise ValueError(f"has_missing must be {len(cuts)} bools, one per feature, got {has_missing!r}.")
    if missing == "error" and has_missing.any():
        raise ValueError('has_missing must be all False under missing="error".')
    return has_missing.copy()


def _check_names(names):
    if names is None:
        return None
    names = tuple(names)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"feature_names must be strings, got {name!r}.")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"feature_names must be unique, got {twice!r} twice.")
    return tuple(str(name) for name in names)


def _check_levels(levels, n, label):
    raw = np.asarray(levels)
    if raw.shape != (n,) or raw.dtype.kind not in "fiub":
        raise ValueError(
            f"The levels of {label} must be {n} numbers, one more than its thresholds (the missing level is added, "
            f"never given), got {levels!r}."
        )
    cast = as_float32(raw)
    if not np.isfinite(cast).all():
        raise ValueError(f"The levels of {label} must be finite in float32, got {raw[np.argmin(np.isfinite(cast))]}.")
    return cast + np.float32(0.0)


def _check_counts(counts, n, label):
    raw = np.asarray(counts)
    if raw.shape != (n,) or raw.dtype.kind not in "iu" or (raw < 0).any() or (raw > np.iinfo(np.int64).max).any():
        raise ValueError(f"The counts of {label} must be {n} non-negative integers, one per code, got {counts!r}.")
    return raw.astype(np.int64)


def _to_hex(values):
    return [value.hex() for value in values.tolist()]


def _from_hex(texts, what):
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"The {what} must be a list of hexadecimal floats.")
    try:
        values = np.array([float.fromhex(text) for text in texts], dtype=np.float64)
    except (ValueError, OverflowError):
        raise ValueError(f"The {what} are not all hexadecimal floats.") from None
    cast = as_float32(values)
    if not np.array_equal(cast, values):
        raise ValueError(f"The {what} are not all finite float32 values.")
    return cast


def _unique_pairs(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("Not the JSON text of a codebook: a key stands twice.")
    return dict(pairs)


def _refuse_constant(text):
    raise ValueError(f"Not the JSON text of a codebook: {text} is no JSON.")


def _check_keys(mapping, keys, where):
    if unknown := sorted(set(mapping) - keys):
        raise ValueError(f"Unknown field {unknown[0]!r} in {where}; a newer skbsq may have written it.")
    if absent := sorted(keys - set(mapping)):
        raise ValueError(f"Field {absent[0]!r} is missing in {where}.")


def _all_or_none(values, what):
    absent = [value is None for value in values]
    if all(absent):
        return None
    if any(absent):
        raise ValueError(f'Either every feature has a "{what}" or none.')
    return values
