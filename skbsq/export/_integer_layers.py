"""Round linear maps with a ReLU between two of them to integers. NumPy alone.

A ReLU commutes with positive factors. So each unit can have its own scale, which the weights behind it absorb: between
layers integers are shifted and never multiplied.
"""

from dataclasses import dataclass

import numpy as np

INT8, INT16 = 2**7 - 1, 2**15 - 1
# Sums in int32 stay below it, so that the difference of two outputs is an int32 too.
LIMIT = 2**30


@dataclass(frozen=True, eq=False)
class IntegerTable:
    """The first layer: a sum over features of the rows that the codes select.

    Parameters
    ----------
    rows : ndarray of int8 of shape (total, units)
        A row per code of each feature with more than one level.
    n_levels : ndarray of int64 of shape (d,)
    bias : ndarray of int32 of shape (units,)
    """

    rows: np.ndarray
    n_levels: np.ndarray
    bias: np.ndarray

    def sums(self, codes):
        """Return the sums for codes, as int64 of shape (n, units)."""
        sums, start = np.tile(self.bias.astype(np.int64), (len(codes), 1)), 0
        for column, n_levels in zip(codes.T.astype(np.int64), self.n_levels.tolist(), strict=True):
            if n_levels > 1:
                sums += self.rows[start + column]
                start += n_levels
        return sums


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A linear layer behind the first.

    Parameters
    ----------
    weight : ndarray of int8 of shape (units, inputs of a member), or of int16 for the last layer
        The units of the first member come first. They read its inputs, which come first too.
    bias : ndarray of int32 of shape (units,)
    n_members : int
        1 if every unit reads every input.
    shift : int
        Bits by which sums are shifted to become the inputs of the next layer; 0 for the last layer.
    """

    weight: np.ndarray
    bias: np.ndarray
    n_members: int
    shift: int

    def sums(self, inputs):
        """Return the sums for inputs, as int64 of shape (n, units)."""
        n_units, n_inputs = self.weight.shape
        weight = self.weight.astype(np.int64).reshape(self.n_members, n_units // self.n_members, n_inputs)
        by_member = inputs.reshape(len(inputs), self.n_members, n_inputs)
        return np.einsum("nmi,mui->nmu", by_member, weight).reshape(len(inputs), n_units) + self.bias


def activations(sums, shift=0):
    """Apply a ReLU, and shift to the right, rounded half up.

    Examples
    --------
    >>> import numpy as np
    >>> activations(np.array([-9, 5, 6, 7]), shift=2)
    array([0, 1, 2, 2])
    """
    return (np.maximum(sums, 0) + (1 << shift >> 1)) >> shift


def round_stages(stages, n_levels, *, common=False):
    """Round linear maps with a ReLU between two of them.

    Parameters
    ----------
    stages : list of (weight, bias)
        Of float64, as `round_table` and `round_layer` take them.
    n_levels : ndarray of int64 of shape (d,)
    common : bool, default=False
        Whether all outputs have the same scale, so that they can be compared.

    Returns
    -------
    table : IntegerTable
    layers : tuple of IntegerLayer
    scale : ndarray of float64 of shape (outputs,)
        Value of an output of 1.

    Raises
    ------
    ValueError
        As `round_table` and `round_layer`.
    """
    first, *others = stages
    table, scale, highest = round_table(*first, n_levels, is_last=not others, common=common)
    layers = []
    for k, (weight, bias) in enumerate(others, start=1):
        given = scale, np.maximum(highest, 0)
        layer, scale, highest = round_layer(weight, bias, *given, is_last=k == len(others), common=common)
        layers.append(layer)
    return table, tuple(layers), scale


def round_table(weight, bias, n_levels, *, is_last=False, common=False):
    """Round the first layer.

    Parameters
    ----------
    weight : ndarray of shape (units, total levels)
        A column per code of each feature.
    bias : ndarray of shape (units,)
    n_levels : ndarray of int64 of shape (d,)
    is_last : bool, default=False
        Whether the sums are the outputs.
    common : bool, default=False
        Whether all outputs have the same scale.

    Returns
    -------
    table : IntegerTable
        Sums are int16, and also while features are added. Those of the last layer are less than `LIMIT`.
    scale : ndarray of float64 of shape (units,)
        Value of a sum of 1: a power of two in the last layer.
    highest : ndarray of int64 of shape (units,)
        The highest sums.

    Raises
    ------
    ValueError
        If there are too many features, or as `round_layer`.
    """
    starts = np.cumsum(n_levels) - n_levels
    low, high = (extreme.reduceat(weight, starts, axis=1) for extreme in (np.minimum, np.maximum))
    # Around the middles of their ranges weights are smallest. The bias takes the middles.
    middle, largest = (low + high) / 2, (high - low) / 2
    weight, bias = weight - np.repeat(middle, n_levels, axis=1), bias + middle.sum(axis=1)
    # Each rounding adds up to a half.
    spare = _spare(LIMIT if is_last else INT16, (n_levels.size + 1) / 2, f"{n_levels.size} features")
    reach = (np.abs(bias) + largest.sum(axis=1)) / spare
    if is_last:
        _check_reach(reach, largest.max(axis=1), bias)
    scale = np.maximum(largest.max(axis=1) / INT8, reach)
    scale = _of_outputs(scale, common) if is_last else _positive(scale)
    rounded = np.rint(weight / scale[:, None]).T.astype(np.int8)
    bias = np.rint(bias / scale).astype(np.int32)
    highest = bias + np.maximum.reduceat(rounded, starts, axis=0).sum(axis=0, dtype=np.int64)
    return IntegerTable(rounded[np.repeat(n_levels > 1, n_levels)], n_levels, bias), scale, highest


def round_layer(weight, bias, input_scale, highest, *, is_last=False, common=False):
    """Round a layer behind the first.

    Parameters
    ----------
    weight : ndarray of shape (units, inputs)
    bias : ndarray of shape (units,)
    input_scale : ndarray of shape (inputs,)
        Value of an input of 1.
    highest : ndarray of int64 of shape (inputs,)
        The highest inputs. The lowest are 0.
    is_last : bool, default=False
        Whether the sums are the outputs.
    common : bool, default=False
        Whether all outputs have the same scale.

    Returns
    -------
    layer : IntegerLayer
        Sums are less than `LIMIT`, and also while inputs are added. Activations are int16.
    scale : ndarray of float64 of shape (units,)
        Value of an activation of 1, or of an output of 1, which is a power of two.
    highest : ndarray of int64 of shape (units,)
        The highest sums, after the shift.

    Raises
    ------
    ValueError
        If there are too many inputs, or if the target is so far from zero that weights would have few steps.
    """
    weight = weight * input_scale
    # Each rounding adds up to half an input.
    spare = _spare(LIMIT, 1 + highest.sum() / 2, f"{highest.size} hidden units")
    largest = np.abs(weight).max(axis=1)
    reach = (np.abs(bias) + np.abs(weight) @ highest) / spare
    if is_last:
        _check_reach(reach, largest, bias)
    scale = np.maximum(largest / (INT16 if is_last else INT8), reach)
    scale = _of_outputs(scale, common) if is_last else _positive(scale)
    rounded = np.rint(weight / scale[:, None]).astype(np.int16 if is_last else np.int8)
    bias = np.rint(bias / scale).astype(np.int32)
    top = bias + np.maximum(rounded, 0).astype(np.int64) @ highest
    shift = 0 if is_last else next(k for k in range(32) if activations(top, k).max() <= INT16)
    by_member, n_members = _by_member(rounded)
    layer = IntegerLayer(weight=by_member, bias=bias, n_members=n_members, shift=shift)
    return layer, scale * 2.0**shift, activations(top, shift)


def _spare(limit, rounding, what):
    if rounding > limit / 2:
        raise ValueError(f"{what} are too many for sums of integers: fit with fewer.")
    return limit - rounding - 1


def _check_reach(reach, largest, bias):
    """Reject outputs that a sum can only reach in steps so coarse that the largest weight has fewer than 127."""
    if (reach * INT8 > largest)[largest > 0].any():
        raise ValueError(
            f"The target is so far from zero, around {np.abs(bias).max():.4g}, that int32 leaves too few steps for its "
            "changes: subtract an offset from y before fit, and add it to the predictions."
        )


def _positive(scale):
    # A unit that is always 0 has a scale too.
    return np.where(scale > 0, scale, 1.0)


def _of_outputs(scale, common):
    """Return powers of two that are not below the scales."""
    return np.exp2(np.ceil(np.log2(_positive(np.full_like(scale, scale.max()) if common else scale))))


def _by_member(weight):
    """Leave out the weights between members, which are zero: return the others, and how many members there are.

    Examples
    --------
    >>> import numpy as np
    >>> _by_member(np.array([[1, 2, 0, 0], [0, 0, 3, 4]]))
    (array([[1, 2],
           [3, 4]]), 2)
    """
    n_units, n_inputs = weight.shape
    for n_members in range(int(np.gcd(n_units, n_inputs)), 1, -1):
        sizes = n_units // n_members, n_inputs // n_members
        if n_units % n_members == n_inputs % n_members == 0:
            blocks = weight.reshape(n_members, sizes[0], n_members, sizes[1])
            own = np.eye(n_members, dtype=bool)
            if not blocks.transpose(0, 2, 1, 3)[~own].any():
                return blocks.transpose(0, 2, 1, 3)[own].reshape(n_units, sizes[1]), n_members
    return weight, 1
