"""Inputs of a head: the quantization layer, and the layer's column that each input reads."""

import copy
from dataclasses import dataclass

import numpy as np
from torch import nn

from skbsq import nn as sq
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.guards import inner_thresholds
from skbsq.codebook.labels import label
from skbsq.nn.layers import columns_among
from skbsq.training.ranks import levels_of_inputs
from skbsq.training.starts import check_total

MAX_INPUTS = 2**20


@dataclass(frozen=True)
class Feed:
    """A layer, and how a head reads it.

    Parameters
    ----------
    layer : nn.Module
    n_inputs : int
        Number of inputs of the head.
    column_map : ndarray of int64 of shape (n_inputs,), default=None
        See `skbsq.nn.JointNet`.
    levels : tuple, default=None
        What `levels_of_inputs` returned, if the default head reads levels in training.
    """

    layer: nn.Module
    n_inputs: int
    column_map: np.ndarray | None = None
    levels: tuple | None = None


@dataclass(frozen=True)
class Bits:
    """Learn thresholds, and let the head read their bits: bitwise soft quantization.

    Parameters
    ----------
    space : {"rank", "standard"}
    forward : {"auto", "hard", "soft"}
    level_inputs : bool
        See `skbsq.BitwiseQuantizer`.

    See Also
    --------
    Learner : Learns what this class describes.

    Notes
    -----
    arXiv 2603.05172, Section 3 (Bw-SQ).

    Examples
    --------
    >>> from skbsq.training import Bits
    >>> Bits(space="standard")
    Bits(space='standard', forward='auto', level_inputs=True)
    """

    space: str = "rank"
    forward: str = "auto"
    level_inputs: bool = True

    def feed(self, learner, widths, starts):
        """Build the feed of a head whose thresholds are learned.

        Parameters
        ----------
        learner : Learner
        widths : Widths
        starts : list of d ndarrays of float32
            Initial thresholds.

        Returns
        -------
        Feed

        Raises
        ------
        ValueError
            If the head would have more than 2^20 inputs.
        """
        space = learner.rows.space(self.space)
        given = {"has_missing": widths.has_missing, "forward": self.forward}
        given |= {"fixed": learner.rows.fixed(starts), "one_hot": learner.rows.one_hot}
        layer = sq.BitwiseQuantization(starts, space=space, **given)
        feature, is_missing = layer.column_features()
        column_map = head_inputs(feature, is_missing, widths.n_bits)
        return _bit_feed(learner.rows, layer, starts, np.flatnonzero(~is_missing), column_map, self.level_inputs)

    def still_feed(self, learner, widths, starts):
        """Build the feed of a head whose thresholds stay where they start.

        Parameters
        ----------
        learner : Learner
        widths : Widths
        starts : list of d ndarrays of float32
            The thresholds.

        Returns
        -------
        Feed

        Raises
        ------
        ValueError
            If the head would have more than 2^20 inputs.
        """
        parts = [_one_hot_part(t) if alone else t for t, alone in zip(starts, learner.rows.one_hot, strict=True)]
        codebook = Codebook.from_thresholds(parts, missing="seen", has_missing=widths.has_missing)
        return codebook_feed(learner.rows, codebook, widths.n_bits, self.level_inputs)


@dataclass(frozen=True)
class Soft:
    """Learn sums of sigmoids around thresholds: SQ, and SQ+ with `learn_values`."""

    learn_values: bool = False

    def feed(self, learner, widths, starts):
        """See `Bits.feed`."""
        mean, scale = learner.rows.moments()
        layer = sq.SoftQuantization(
            starts, mean=mean, scale=scale, has_missing=widths.has_missing, learn_values=self.learn_values
        )
        return _value_feed(layer, widths)


@dataclass(frozen=True)
class Steps:
    """Learn the step size of a uniform grid: LSQ."""

    def feed(self, learner, widths, starts=None):
        """See `Bits.feed`; there are no initial thresholds.

        Raises
        ------
        ValueError
            For a feature of 1 bit.
        """
        rows = learner.rows
        n_levels = _value_levels(rows, widths)
        if (n_levels == 2).any():
            j = int(np.argmax(n_levels == 2))
            raise ValueError(
                f"n_bits is 1 for {label(rows.names, j)}: with 1 bit LSQ has no positive multiple, by which it scales "
                "its gradient. Use 0 or at least 2 bits, or another quantizer."
            )
        mean, scale = rows.moments()
        # The step starts at 2 mean|z| / sqrt(Q), with the weighted mean.
        mean_size = np.zeros(len(mean))
        for j, feature in enumerate(rows.features()):
            if feature.x.size:
                mean_size[j] = np.average(np.abs(feature.x - mean[j]) / scale[j], weights=feature.weights)
        step = 2 * mean_size / np.sqrt(np.maximum((n_levels - 1) // 2, 1))
        step = np.where(step > 0, step, 1.0)
        return _value_feed(sq.LSQQuantization(n_levels, step, **_scaling(mean, scale, widths)), widths)


@dataclass(frozen=True)
class Table:
    """Learn a lookup table: LLT.

    Parameters
    ----------
    granularity : int
    """

    granularity: int

    def feed(self, learner, widths, starts=None):
        """See `Bits.feed`; there are no initial thresholds."""
        rows = learner.rows
        # 2 R + 1 levels, or 2 with 1 bit.
        n_levels = _value_levels(rows, widths)
        n_levels = np.where(n_levels > 2, (n_levels - 1) // 2 * 2 + 1, n_levels)
        mean, scale = rows.moments()
        batch = rows.drawn(learner.recipe.batch_size_for(rows.n_rows), learner.seed)
        # Standard deviations within a batch; those of all rows for features that are constant there.
        deviation = np.where([f.is_constant for f in batch], scale, [f.moments[1] for f in batch])
        given = {"granularity": self.granularity, **_scaling(mean, scale, widths)}
        return _value_feed(sq.LLTQuantization(n_levels, 3 * deviation / scale, **given), widths)


def codebook_feed(rows, codebook, n_bits, level_inputs):
    """Build the feed of a head that reads the bits of a codebook, except for those of guard thresholds.

    Parameters
    ----------
    rows : Rows or ChunkedRows
    codebook : Codebook
    n_bits : ndarray of int64 of shape (d,)
    level_inputs : bool

    Returns
    -------
    Feed

    Raises
    ------
    ValueError
        If the head would have more than 2^20 inputs.
    """
    layer, thresholds = sq.Thermometer(codebook), inner_thresholds(codebook)
    columns = columns_among(codebook, thresholds)
    feature, is_missing = (of_column[columns] for of_column in layer.column_features())
    column_map = np.append(columns, -1)[head_inputs(feature, is_missing, n_bits)]
    return _bit_feed(rows, layer, thresholds, columns[~is_missing], column_map, level_inputs)


def frozen_feed(rows, module, codebook, level_inputs):
    """Build the feed of a new head that reads what the head of a frozen net reads.

    Parameters
    ----------
    rows : Rows or ChunkedRows
    module : JointNet
        Not changed.
    codebook : Codebook
        That of the net.
    level_inputs : bool

    Returns
    -------
    Feed
        With as many inputs as the head of the net has.
    """
    layer = copy.deepcopy(module.quantization)
    if module.column_map is None:
        return Feed(layer, layer.n_columns)
    # Inputs whose thresholds were merged read the same column. The first of them is enough.
    given = module.column_map.numpy()
    columns, first = np.unique(given, return_index=True)
    column_map = np.full_like(given, -1)
    column_map[first] = columns
    # The head of a coarse rate has inputs for guard thresholds, with weights of 0.
    thresholds = inner_thresholds(codebook)
    columns = columns_among(codebook, thresholds)
    column_map[~np.isin(column_map, columns)] = -1
    _, is_missing = layer.column_features()
    return _bit_feed(rows, layer, thresholds, columns[~is_missing[columns]], column_map, level_inputs)


def float_feed(rows):
    """Build the feed of a head that reads standardised floats.

    Parameters
    ----------
    rows : Rows or ChunkedRows
        Features that may be missing have one more column, which shows where they are.

    Returns
    -------
    Feed
    """
    mean, scale = rows.moments()
    layer = sq.Standardization(mean=mean, scale=scale, indicators=rows.may_be_missing)
    return Feed(layer, layer.n_columns)


def _one_hot_part(thresholds):
    """Return the codes of categories whose numbers are their codes."""
    return {code: code for code in range(len(thresholds) + 1)}


def _bit_feed(rows, layer, thresholds, columns, column_map, level_inputs):
    """Build a feed; `columns` are those of the thresholds."""
    one_hot = layer.one_hot.cpu().numpy()
    levels = levels_of_inputs(rows, thresholds, columns, column_map, one_hot) if level_inputs else None
    return Feed(layer, column_map.size, column_map, levels)


def _value_feed(layer, widths):
    return Feed(layer, widths.n_bits.size + np.count_nonzero(widths.has_missing))


def _scaling(mean, scale, widths):
    return {"mean": mean, "scale": scale, "has_missing": widths.has_missing}


def _value_levels(rows, widths):
    """Count the levels for numbers of each feature: one if the feature is constant."""
    levels = np.where(rows.constant, 1, widths.n_levels)
    check_total(int((levels - 1).sum()))
    return levels


def head_inputs(feature, is_missing, n_bits):
    """Find the layer's column that each input of the head reads.

    A feature of b bits has 2^b - 1 inputs whatever the data, so that the size of the head does not depend on the data.
    The thresholds of a feature come first. Its missing bit is the last input.

    Parameters
    ----------
    feature : ndarray of int64 of shape (n_columns,)
        Feature of each column; those of thresholds ascend.
    is_missing : ndarray of bool of shape (n_columns,)
        Columns that are missing bits.
    n_bits : ndarray of int64 of shape (d,)

    Returns
    -------
    ndarray of int64 of shape (n_inputs,)
        -1 for an input without a column.

    Raises
    ------
    ValueError
        For more than 2^20 inputs.
    """
    sizes = 2**n_bits - 1
    total = int(sizes.sum())
    if total > MAX_INPUTS:
        raise ValueError(
            f"n_bits gives the head {total} inputs, 2^n_bits - 1 per feature; at most 2^20 = {MAX_INPUTS} are trained. "
            "Lower n_bits."
        )
    # Without any bits there is one input of zeros, because torch handles layers without inputs badly.
    inputs = np.full(max(total, 1), -1, dtype=np.int64)
    stops = np.cumsum(sizes)
    owner = feature[~is_missing]
    place_in_feature = np.arange(owner.size) - np.searchsorted(owner, owner)
    inputs[(stops - sizes)[owner] + place_in_feature] = np.flatnonzero(~is_missing)
    inputs[stops[feature[is_missing]] - 1] = np.flatnonzero(is_missing)
    return inputs
