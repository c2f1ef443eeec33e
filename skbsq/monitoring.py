"""Watch the codes of a fleet for drift and for sensors that fail. Needs NumPy alone, and pandas for a data frame."""

import json
import math

import numpy as np

from skbsq.codebook.checks import check_counts
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.json import check_keys, read_document
from skbsq.codebook.labels import label

__all__ = ["CodeMonitor"]

_FORMAT, _VERSION = "skbsq-monitor", 1
# Rows expected in a cell of the smaller sample. With fewer, the index is not chi-square distributed.
_LEAST_EXPECTED = 5


class CodeMonitor:
    """Counts received codes, and compares them with those of training.

    A monitor finds features that drift and sensors that fail, without the floats. It stores one count per code and no
    rows. `merge` adds up the monitors of several gateways.

    Parameters
    ----------
    codebook : Codebook
    reference : array-like of int of shape (n, d), default=None
        Codes to compare with, of n rows without drift. None: the training rows, which the codebook has as ``counts``.

    Attributes
    ----------
    codebook : Codebook

    Raises
    ------
    TypeError
        If `codebook` is not a Codebook.
    ValueError
        If there is no reference: neither `reference` nor counts in the codebook. If a feature has no reference rows, or
        `reference` holds something else than codes of the codebook.

    See Also
    --------
    skbsq.plotting.DriftDisplay : A plot of the report.
    skbsq.codec.loads : Codes from a message.

    Notes
    -----
    Drift within a code is invisible, whatever its size. In particular, all values above the highest threshold share a
    code, and so do all values up to the lowest one. With ``guard=True`` quantizers keep these two codes for values
    beyond all training rows. Categories that are unknown to the codebook show as missing, if its ``handle_unknown`` is
    "missing".

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.monitoring import CodeMonitor
    >>> rng = np.random.default_rng(0)
    >>> codebook = QuantileQuantizer(2).fit(rng.normal(size=(2000, 2))).codebook_
    >>> monitor = CodeMonitor(codebook)
    >>> for _ in range(5):  # messages; the second sensor reads half a standard deviation too much
    ...     monitor = monitor.update(codebook.encode(rng.normal([0, 0.5], size=(100, 2))))
    >>> report = monitor.report()
    >>> report[["feature", "psi", "ends"]].round(2)
       feature   psi  ends
    0        0  0.02  0.49
    1        1  0.25  0.57
    >>> (report["p_value"] < 0.001).tolist()
    [False, True]
    """

    def __init__(self, codebook, *, reference=None):
        if not isinstance(codebook, Codebook):
            raise TypeError(
                f"CodeMonitor takes a Codebook, got {type(codebook).__name__}: a fitted quantizer has one as codebook_."
            )
        if reference is not None:
            counts = _count(codebook, reference)
        elif codebook.counts is None:
            raise ValueError(
                "codebook has no counts of training rows to compare with: give codes without drift as reference, for "
                "example codebook.encode(X) of the training rows."
            )
        else:
            counts = codebook.counts
        self._start(codebook, counts)

    def _start(self, codebook, reference):
        for j, counts in enumerate(reference):
            if not counts.any():
                raise ValueError(
                    f"The reference has no rows for {label(codebook.feature_names, j)}: give codes as reference."
                )
        self.codebook = codebook
        self._reference = reference
        self.reset()

    def __repr__(self):
        return f"CodeMonitor({self.codebook!r}, n_rows={self.n_rows})"

    @property
    def n_rows(self):
        """Rows received."""
        return int(self._received[0].sum())

    def update(self, codes):
        """Count received codes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        CodeMonitor
            The monitor itself.

        Raises
        ------
        ValueError
            If a code is out of range, or the number of features is wrong. Then none of the rows is counted.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.monitoring import CodeMonitor
        >>> monitor = CodeMonitor(Codebook.from_thresholds([[0.5]], counts=[[8, 2]]))
        >>> monitor.update([[0], [1]]).update([[1]]).n_rows
        3
        """
        self._add(_count(self.codebook, codes))
        return self

    def merge(self, other):
        """Add the rows that another monitor received, for example on another gateway.

        Parameters
        ----------
        other : CodeMonitor
            With an equal codebook and the same reference. It is not changed.

        Returns
        -------
        CodeMonitor
            The monitor itself.

        Raises
        ------
        TypeError
            If `other` is not a CodeMonitor.
        ValueError
            If the codebooks or the references differ.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.monitoring import CodeMonitor
        >>> codebook = Codebook.from_thresholds([[0.5]], counts=[[8, 2]])
        >>> CodeMonitor(codebook).update([[0]]).merge(CodeMonitor(codebook).update([[1]])).n_rows
        2
        """
        if not isinstance(other, CodeMonitor):
            raise TypeError(f"other must be a CodeMonitor, got {type(other).__name__}.")
        if other.codebook != self.codebook:
            raise ValueError("other has a different codebook: make a monitor for each codebook.")
        if not all(map(np.array_equal, self._reference, other._reference)):
            raise ValueError("other has a different reference: make both monitors with the same reference codes.")
        self._add(other._received)
        return self

    def _add(self, counts):
        self._received = [old + new for old, new in zip(self._received, counts, strict=True)]

    def reset(self):
        """Forget the rows received, for example at the start of a day. The reference stays.

        Returns
        -------
        CodeMonitor
            The monitor itself.
        """
        self._received = [np.zeros(n, dtype=np.int64) for n in self.codebook.n_levels.tolist()]
        return self

    def report(self, *, as_dict=False):
        """Compare the rows received with the reference, feature by feature.

        Parameters
        ----------
        as_dict : bool, default=False
            Return a dict of lists, one per column, which needs no pandas.

        Returns
        -------
        DataFrame or dict
            One row per feature, in the order of the codebook:

            - feature: name, or number from 0 if the features have no names
            - psi: population stability index, see Notes
            - p_value: probability of at least this psi if nothing has drifted
            - ends: share of received rows in the lowest or highest code, the missing code aside; NaN for a categorical
              feature, whose codes have no ends
            - missing: share in the missing code, NaN if there is none
            - guard: share in codes beyond all reference rows, the missing code aside; NaN if there are none, and for a
              categorical feature. An end code without reference rows is such a code. Quantizers keep these codes with
              ``guard=True``.
            - n, n_reference: rows received, and rows of the reference
            - n_cells: cells that psi compares, see Notes

        Raises
        ------
        ValueError
            If no rows were received.

        Notes
        -----
        The population stability index is the sum of ``(p - q) * log(p / q)`` over cells, with the shares p of received
        and q of reference rows. If nothing has drifted, ``psi / (1 / n + 1 / n_reference)`` is about chi-square
        distributed with ``n_cells - 1`` degrees of freedom (Yurdakul and Naranjo, Journal of Risk Model Validation 14,
        2020). Both samples vary, so both sizes count.

        That holds for cells with enough rows. So a cell is a code, or neighbouring codes merged until at least 5 rows
        are expected in the smaller sample, by the shares of both samples together. A rare missing code joins the
        highest cell. The merging does not look at which sample a row is from, so it raises no false alarms. To each
        count ``0.5 + 1 / n_cells`` rows are added, so that psi is finite where one sample has no rows in a cell, and
        rare cells raise no more false alarms than others.

        With one cell psi is 0 and the p-value 1: the feature has one code, or one sample has fewer than 10 rows.

        Each feature is a test. For one alarm over all d features, compare p_value with alpha / d (Bonferroni).

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.monitoring import CodeMonitor
        >>> codebook = Codebook.from_thresholds([[0, 1]], missing="code", counts=[[50, 50, 0, 20]])
        >>> monitor = CodeMonitor(codebook).update([[0]] * 20 + [[1]] * 10 + [[2]] * 5 + [[3]] * 5)
        >>> for name, (value,) in monitor.report(as_dict=True).items():
        ...     print(name, round(value, 4))
        feature 0
        psi 0.0241
        p_value 0.6962
        ends 0.625
        missing 0.125
        guard 0.125
        n 40
        n_reference 120
        n_cells 3
        """
        if self.n_rows == 0:
            raise ValueError("No rows were received: call update with codes before report.")
        names = self.codebook.feature_names or range(self.codebook.n_features)
        kinds = self.codebook.has_missing.tolist(), self.codebook.is_categorical.tolist()
        parts = zip(names, self._reference, self._received, *kinds, strict=True)
        rows = [{"feature": name, **_compare(*counts)} for name, *counts in parts]
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        if as_dict:
            return columns
        import pandas as pd

        return pd.DataFrame(columns)

    def to_json(self):
        """Write the monitor as JSON text: the codebook, and the counts of the reference and of the received rows.

        Returns
        -------
        str

        See Also
        --------
        from_json : Read the text.

        Examples
        --------
        >>> from skbsq import Codebook
        >>> from skbsq.monitoring import CodeMonitor
        >>> monitor = CodeMonitor(Codebook.from_thresholds([[0.5]], counts=[[8, 2]])).update([[1]])
        >>> print(monitor.to_json())
        {"format": "skbsq-monitor", "version": 1, "reference": [[8, 2]], "received": [[0, 1]], "codebook": "..."}
        >>> CodeMonitor.from_json(monitor.to_json()).n_rows
        1
        """
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "reference": [counts.tolist() for counts in self._reference],
            "received": [counts.tolist() for counts in self._received],
            "codebook": self.codebook.to_json(),
        }
        return json.dumps(document)

    @classmethod
    def from_json(cls, text):
        """Read the JSON text of a monitor, which may come from an untrusted file.

        Parameters
        ----------
        text : str or bytes
            As `to_json` writes it.

        Returns
        -------
        CodeMonitor

        Raises
        ------
        ValueError
            If the text is not a monitor of a known version, or its counts do not fit the codebook.

        See Also
        --------
        to_json : Write the text.

        Examples
        --------
        >>> from skbsq.monitoring import CodeMonitor
        >>> CodeMonitor.from_json('{"format": "skbsq-monitor", "version": 2}')
        Traceback (most recent call last):
        ...
        ValueError: This monitor has format version 2; this skbsq reads version 1.
        """
        document = read_document(text, "monitor", _FORMAT, (_VERSION,))
        check_keys(document, {"format", "version", "codebook", "reference", "received"}, "the monitor")
        codebook = Codebook.from_json(document["codebook"])
        reference, received = (_read_counts(document[key], codebook, key) for key in ("reference", "received"))
        if len({int(counts.sum()) for counts in received}) > 1:
            raise ValueError('"received" counts different numbers of rows for different features.')
        monitor = cls.__new__(cls)
        monitor._start(codebook, reference)
        monitor._add(received)
        return monitor


def _count(codebook, codes):
    """Count the rows with each code: a list of d arrays."""
    codes = codebook.check_codes(codes)
    sizes = codebook.n_levels.tolist()
    return [np.bincount(codes[:, j].astype(np.intp), minlength=size) for j, size in enumerate(sizes)]


def _read_counts(given, codebook, what):
    """Check counts of an untrusted file, and return them as a list of d arrays."""
    d = codebook.n_features
    if type(given) is not list or len(given) != d:
        raise ValueError(f'"{what}" must be a list of {d} lists, one per feature.')
    counts = []
    for j, (values, size) in enumerate(zip(given, codebook.n_levels.tolist(), strict=True)):
        where = f'{label(codebook.feature_names, j)} in "{what}"'
        if type(values) is not list or not all(type(value) is int for value in values):
            raise ValueError(f"The counts of {where} must be a list of integers, got {values!r}.")
        if sum(values) > np.iinfo(np.int64).max // 2:
            raise ValueError(f"The counts of {where} are too large: their sum is {sum(values)}.")
        counts.append(check_counts(values, size, where))
    return counts


def _compare(reference, received, has_missing, is_categorical):
    """Return the columns of the report for one feature."""
    n, n_reference = int(received.sum()), int(reference.sum())
    regular = received[: received.size - has_missing]
    code = np.arange(regular.size)
    with_rows = np.flatnonzero(reference[: regular.size])
    is_guard = (code < with_rows[0]) | (code > with_rows[-1]) if with_rows.size else np.ones(regular.size, dtype=bool)
    n_ends = int(regular[(code == 0) | (code == regular.size - 1)].sum())
    cells = _merge_rare(reference, received)
    psi = _stability_index(*cells)
    return {
        "psi": psi,
        "p_value": _chi2_sf(psi / (1 / n + 1 / n_reference), cells[0].size - 1),
        "ends": math.nan if is_categorical else n_ends / n,
        "missing": int(received[-1]) / n if has_missing else math.nan,
        "guard": int(regular[is_guard].sum()) / n if is_guard.any() and not is_categorical else math.nan,
        "n": n,
        "n_reference": n_reference,
        "n_cells": cells[0].size,
    }


def _merge_rare(reference, received):
    """Merge neighbouring codes until each cell has enough pooled rows, and return the counts of the cells.

    It goes from the highest code down, so that the missing code, the highest, has a cell of its own unless it is rare.
    """
    n, n_reference = int(received.sum()), int(reference.sum())
    least = _LEAST_EXPECTED * (n + n_reference) / min(n, n_reference)
    pooled = (reference + received).tolist()
    starts, rows = [], 0
    for code in reversed(range(len(pooled))):
        rows += pooled[code]
        if rows >= least:
            starts.insert(0, code)
            rows = 0
    starts[:1] = [0]  # what is left at the lower end joins the lowest cell
    return np.add.reduceat(reference, starts), np.add.reduceat(received, starts)


def _stability_index(reference, received):
    added = _added(reference.size)
    q, p = ((counts + added) / (counts.sum() + added * counts.size) for counts in (reference, received))
    return float(np.sum((p - q) * np.log(p / q)))


def _added(n_cells):
    """Return the rows that are added to each count, so that the index is finite: half a row, and a share of one row.

    With half a row alone, which is usual, two to four cells of which one is rare raise up to 5.2 % false alarms at a
    p-value below 0.05, for 500 rows received and 2000 of the reference; with the share, at most 5.0 %. More would cost
    power where there are many cells: with 0.75 rows in each of 16 cells, 37 instead of 49 % of the shifts of a gamma
    distribution by 0.2 standard deviations are found in 100 rows.
    """
    return 0.5 + 1 / n_cells


def _chi2_sf(x, df):
    """Return the probability that a chi-square variable with an integer number of degrees of freedom exceeds x.

    It is Q(df / 2, x / 2), the regularised upper incomplete gamma function (Abramowitz and Stegun, 6.5.21 and 6.5.29).
    Below the mean it is 1 minus the power series of the lower function. Above, it is reached from Q(1/2, x) or Q(1, x)
    by ``Q(a + 1, x) = Q(a, x) + x^a exp(-x) / Gamma(a + 1)``. All terms are positive, so small probabilities are
    accurate too.
    """
    a, x = df / 2, x / 2
    if x <= 0:
        return 1.0
    if x < a:
        term = total = math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        while term > total * 1e-17:
            a += 1
            term *= x / a
            total += term
        return 1.0 - total
    term, total = math.exp((a - 1) * math.log(x) - x - math.lgamma(a)), 0.0
    while a > 1:
        total += term
        a -= 1
        term *= a / x
    return total + (math.erfc(math.sqrt(x)) if df % 2 else math.exp(-x))
