"""Predictors in integers, as the C of `to_c` computes them. NumPy alone, but `to_integers` needs torch."""

from dataclasses import dataclass, replace

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.export._fold import fold, split_off
from skbsq.export._integer_layers import LIMIT, IntegerTable, activations, round_stages

# Rows whose activations are in memory at once.
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class IntegerPredictor:
    """A predictor in integers: exactly what the C of ``to_c(..., part="predictor")`` predicts.

    Made by `to_integers`. It needs no torch.

    Parameters
    ----------
    codebook_ : Codebook
        In the units of the raw features.
    table : IntegerTable
        The first layer.
    layers : tuple of IntegerLayer
        The layers behind it.
    output_scale : ndarray of float64 of shape (k,)
        Value of an output of 1: powers of two.
    output_range : ndarray of int32 of shape (2, k), or None
        Lowest and highest outputs of a regressor: those of its training targets.
    classes_ : ndarray or None
        Labels of a classifier.
    ndim : int
        Dimensions of the predictions.

    See Also
    --------
    to_integers : Make one from a fitted model.
    to_c : Write an encoder or a whole predictor as a C header.

    Notes
    -----
    The outputs are integers of 32 bits. Those of a regressor are targets in steps of ``output_scale``. Those of a
    classifier are logits in such steps: one per class, or for two classes one, that of the second class.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.export import to_integers
    >>> X, y = make_friedman1(500, random_state=0)
    >>> model = BitwiseRegressor(n_bits=2, hidden_sizes=(16,), max_epochs=20, random_state=0).fit(X, y)
    >>> integers = to_integers(model)
    >>> integers.n_bytes < 1024
    True
    >>> codes = integers.codebook_.encode(X[[0, 0, 1]])
    >>> integers.changes(codes, tolerance=0.5 / integers.output_scale).tolist()
    [True, False, True]
    """

    codebook_: Codebook
    table: IntegerTable
    layers: tuple
    output_scale: np.ndarray
    output_range: np.ndarray | None
    classes_: np.ndarray | None
    ndim: int

    @property
    def n_bytes(self):
        """Bytes of its tables on a chip: weights, biases, the levels of each feature, and the range of the outputs."""
        sums = 2 if self.layers else 4
        size = self.table.rows.size + sums * self.table.bias.size
        size += self.table.n_levels.size * (1 if self.table.n_levels.max() < 256 else 2)
        size += 0 if self.output_range is None else self.output_range.nbytes
        return size + sum(layer.weight.nbytes + layer.bias.nbytes for layer in self.layers)

    def outputs(self, codes):
        """Compute the outputs for codes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of int32 of shape (n, k)

        Raises
        ------
        ValueError
            If a code is out of range, or the array has another number of features.
        """
        codes = self.codebook_.check_codes(codes)
        outputs = np.empty((len(codes), self.output_scale.size), dtype=np.int32)
        for start in range(0, len(codes), _ROWS_AT_ONCE):
            sums, shift = self.table.sums(codes[start : start + _ROWS_AT_ONCE]), 0
            for layer in self.layers:
                sums, shift = layer.sums(activations(sums, shift)), layer.shift
            outputs[start : start + _ROWS_AT_ONCE] = sums
        return outputs if self.output_range is None else np.clip(outputs, *self.output_range)

    def predict_codes(self, codes):
        """Predict targets or labels from codes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            Of a regressor in float64, without rounding: outputs times ``output_scale``.

        Raises
        ------
        ValueError
            If a code is out of range, or the array has another number of features.
        """
        outputs = self.outputs(codes)
        if self.classes_ is not None:
            return self.classes_[self._numbers(outputs)]
        y = outputs * self.output_scale
        return y.ravel() if self.ndim == 1 else y

    def predict(self, X):
        """Predict targets or labels from raw features.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            As `predict_codes`.

        Raises
        ------
        ValueError
            If X has another number of features, or NaN in a feature with bits and no missing code.
        """
        return self.predict_codes(self.codebook_.encode(X))

    def changes(self, codes, *, tolerance=0, keyframe=65535):
        """Find the rows that a device sends if it sends when the prediction changes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)
            The rows of a stream, in the order of time.
        tolerance : int or array-like of int of shape (k,), default=0
            Of a regressor: send if an output differs by more from that of the row sent last. A classifier sends if the
            class differs.
        keyframe : int, default=65535
            Most rows from a row that is sent to the next.

        Returns
        -------
        ndarray of bool of shape (n,)
            What ``NAME_predict_changed`` returns for each row.
        """
        outputs = self.outputs(codes).astype(np.int64)
        if self.classes_ is not None:
            outputs, tolerance = self._numbers(outputs)[:, None], 0
        sent, last = np.zeros(len(outputs), dtype=bool), None
        for i, row in enumerate(outputs):
            if last is None or i - last >= keyframe or (np.abs(row - outputs[last]) > tolerance).any():
                sent[i], last = True, i
        return sent

    def _numbers(self, outputs):
        """Return the number of the class for outputs."""
        return (outputs[:, 0] > 0).astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def to_integers(fitted, *, dtype="float32"):
    """Return a predictor in integers, which predicts exactly what the C of a device predicts.

    Weights are int8, those of the outputs int16, and sums int32. No data is needed: all scales follow from the weights.

    Parameters
    ----------
    fitted : fitted BitwiseRegressor or BitwiseClassifier, Pipeline that ends in one, or IntegerPredictor
        Steps before the predictor are folded into the thresholds, see `to_codebook`. With `rates`: the finest.
    dtype : {"float32", "float64"}, default="float32"
        Type in which the scalers of a pipeline compute, see `to_codebook`.

    Returns
    -------
    IntegerPredictor

    Raises
    ------
    ValueError
        If `fitted` is no predictor, or if its head has other layers than nn.Linear, nn.ReLU, nn.BatchNorm1d and
        dropout, does not read bits, predicts logarithms (``loss="poisson"``) or does not end in logits. Also if the
        target is so far from zero that int32 cannot hold its changes, or if `to_codebook` raises it.
    sklearn.exceptions.NotFittedError
        If `fitted`, or a step of it, is not fitted.

    See Also
    --------
    to_c : Write an encoder or a whole predictor as a C header.

    Notes
    -----
    The first layer is a table: for each code of a feature what it adds to the units. Each unit has its own scale, so
    that its largest weight is 127, or less if its sums would leave int16. Behind the first layer, a sum is shifted
    to the right by as few bits as bring it into int16 for any codes, and rounded half up. The scale of the outputs is
    a power of two. All bounds follow from the weights, so no sum overflows, whatever the codes.
    docs/deploy/device.md has the error beside that of the floats.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.export import to_integers
    >>> X, y = make_friedman1(500, random_state=0)
    >>> model = BitwiseRegressor(n_bits=2, hidden_sizes=(16,), max_epochs=20, random_state=0).fit(X, y)
    >>> integers = to_integers(model)
    >>> bool(np.abs(integers.predict(X) - model.predict(X)).max() < 0.1 * y.std())
    True
    >>> integers.outputs(model.codebook_.encode(X[:2])).dtype
    dtype('int32')
    """
    if isinstance(fitted, IntegerPredictor):
        return fitted
    _, _, last = split_off(fitted)
    if not hasattr(last, "predict_codes"):
        raise ValueError(f"Only a predictor has a head, got {fitted!r}: give a BitwiseRegressor or BitwiseClassifier.")
    codebook, _ = fold(fitted, dtype)
    from skbsq.export._stages import read_stages

    classes = getattr(last, "classes_", None)
    n_levels = last.codebook_.n_levels
    table, layers, scale = round_stages(read_stages(last), n_levels, common=classes is not None)
    # Raw features that a pipeline drops have one level, and so no rows.
    table = replace(table, n_levels=codebook.n_levels)
    limits = getattr(last, "target_range_", None)
    if limits is not None:
        limits = np.clip(np.rint(limits / scale), 1 - LIMIT, LIMIT - 1).astype(np.int32)
    return IntegerPredictor(codebook, table, layers, scale, limits, classes, getattr(last, "target_ndim_", 1))
