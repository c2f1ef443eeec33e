"""What a head reads: the layer in front of it, and which of its columns each input shows."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from skbsq import nn as sq
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.labels import label
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
        Columns the head reads.
    column_map : ndarray of int64 of shape (n_inputs,), default=None
        See `skbsq.nn.JointNet`.
    levels : tuple, default=None
        From `levels_of_inputs`, where the default head is to read levels in training.
    """

    layer: nn.Module
    n_inputs: int
    column_map: np.ndarray | None = None
    levels: tuple | None = None


@dataclass(frozen=True)
class Bits:
    """Bits of thresholds that are learned: bitwise soft quantization.

    Parameters
    ----------
    space : {"rank", "standard"}
    forward : {"auto", "hard", "soft"}
    level_inputs : bool
        See `skbsq.BitwiseQuantizer`.

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
        """What a head reads while thresholds are learned.

        Parameters
        ----------
        learner : Learner
        widths : Widths
        starts : list of d ndarrays of float32

        Returns
        -------
        Feed
        """
        rows = learner.rows
        layer = sq.BitwiseQuantization(
            starts, space=rows.space(self.space), has_missing=widths.has_missing, forward=self.forward
        )
        columns = layer_columns(starts, widths.has_missing)
        return _bit_feed(rows, layer, starts, *columns, widths.n_bits, self.level_inputs)

    def still_feed(self, learner, widths, starts):
        """What a head reads where thresholds stay where they start.

        Parameters
        ----------
        learner : Learner
        widths : Widths
        starts : list of d ndarrays of float32

        Returns
        -------
        Feed
        """
        book = Codebook.from_thresholds(starts, missing=learner.recipe.missing, has_missing=widths.has_missing)
        return codebook_feed(learner.rows, book, widths.n_bits, self.level_inputs)


@dataclass(frozen=True)
class Soft:
    """Sums of sigmoids around thresholds: SQ, and SQ+ with `learn_values`."""

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
    """Multiples of a learned step: LSQ."""

    def feed(self, learner, widths, starts=None):
        """See `Bits.feed`; there are no thresholds to start from.

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
        # 2 mean|z| / sqrt(Q), the mean by the weights of the rows.
        size = np.array(
            [
                np.average(np.abs(own.x - mean[j]) / scale[j], weights=own.weights) if own.x.size else 0.0
                for j, own in enumerate(rows.features())
            ]
        )
        step = 2 * size / np.sqrt(np.maximum((n_levels - 1) // 2, 1))
        step = np.where(step > 0, step, 1.0)
        given = {"mean": mean, "scale": scale, "has_missing": widths.has_missing}
        return _value_feed(sq.LSQQuantization(n_levels, step, **given), widths)


@dataclass(frozen=True)
class Table:
    """A learned lookup table: LLT.

    Parameters
    ----------
    granularity : int
    """

    granularity: int

    def feed(self, learner, widths, starts=None):
        """See `Bits.feed`; there are no thresholds to start from."""
        rows = learner.rows
        # 2 R + 1 levels, and 2 with 1 bit.
        n_levels = _value_levels(rows, widths)
        n_levels = np.where(n_levels > 2, (n_levels - 1) // 2 * 2 + 1, n_levels)
        mean, scale = rows.moments()
        drawn = rows.drawn(learner.recipe.batch_size_for(rows.n_rows), learner.seed)
        # Of a batch; those of all rows where a feature is constant there.
        deviation = np.where([own.is_constant for own in drawn], scale, [own.moments[1] for own in drawn])
        given = {"mean": mean, "scale": scale, "has_missing": widths.has_missing}
        layer = sq.LLTQuantization(n_levels, 3 * deviation / scale, granularity=self.granularity, **given)
        return _value_feed(layer, widths)


def codebook_feed(rows, book, n_bits, level_inputs):
    """Bits of a codebook.

    Parameters
    ----------
    rows : Rows or ChunkedRows
    book : Codebook
    n_bits : ndarray of int64 of shape (d,)
    level_inputs : bool

    Returns
    -------
    Feed
    """
    sizes = np.diff(book.offsets)
    starts = book.offsets[:-1] + np.cumsum(book.has_missing) - book.has_missing
    columns = [np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    missing = np.where(book.has_missing, starts + sizes, -1)
    return _bit_feed(rows, sq.Thermometer(book), book.thresholds, columns, missing, n_bits, level_inputs)


def float_feed(rows, indicators):
    """Standardized floats.

    Parameters
    ----------
    rows : Rows or ChunkedRows
    indicators : bool
        A column more for each feature, that says where it is missing.

    Returns
    -------
    Feed
    """
    mean, scale = rows.moments()
    layer = sq.Standardization(mean=mean, scale=scale, indicators=indicators)
    return Feed(layer, rows.n_features * (1 + indicators))


def layer_columns(starts, has_missing):
    """Columns of a layer of bits: those of thresholds, feature by feature, and then those of missing bits.

    Parameters
    ----------
    starts : list of d ndarrays
    has_missing : ndarray of bool of shape (d,)

    Returns
    -------
    thresholds : list of d ndarrays of int
    missing : ndarray of int of shape (d,)
        -1 where a feature has no missing bit.
    """
    stops = np.cumsum([t.size for t in starts])
    thresholds = [np.arange(stop - t.size, stop) for t, stop in zip(starts, stops, strict=True)]
    return thresholds, np.where(has_missing, stops[-1] + np.cumsum(has_missing) - 1, -1)


def _bit_feed(rows, layer, thresholds, columns, missing, n_bits, level_inputs):
    column_map = head_inputs(columns, missing, n_bits)
    levels = levels_of_inputs(rows, thresholds, columns, column_map) if level_inputs else None
    return Feed(layer, column_map.size, column_map, levels)


def _value_feed(layer, widths):
    return Feed(layer, widths.n_bits.size + np.count_nonzero(widths.has_missing))


def _value_levels(rows, widths):
    """Levels that numbers have at a width: one alone where the feature is constant."""
    levels = np.where(rows.constant, 1, widths.n_levels)
    check_total(int((levels - 1).sum()))
    return levels


def head_inputs(thresholds, missing, n_bits):
    """For each input of the head the column of the layer that feeds it; -1 where none does.

    A feature of b bits has 2^b - 1 inputs whatever the data, so that the head's size does not depend on them: first
    its thresholds, last its missing bit.

    Parameters
    ----------
    thresholds : list of d ndarrays of int
        Columns of each feature's thresholds.
    missing : ndarray of int of shape (d,)
        Column of each feature's missing bit, or -1.
    n_bits : ndarray of int64 of shape (d,)

    Returns
    -------
    ndarray of int64 of shape (n_inputs,)

    Raises
    ------
    ValueError
        For more inputs than a head can reasonably have.
    """
    total = int((2**n_bits - 1).sum())
    if total > MAX_INPUTS:
        raise ValueError(
            f"n_bits gives the head {total} inputs, 2^n_bits - 1 per feature; at most 2^20 = {MAX_INPUTS} are trained. "
            "Lower n_bits."
        )
    # Where nothing is sent there is one input of zeros, because a layer of no inputs is a corner of torch.
    inputs = np.full(max(total, 1), -1, dtype=np.int64)
    start = 0
    for own, missing_column, width in zip(thresholds, missing, n_bits.tolist(), strict=True):
        inputs[start : start + len(own)] = own
        start += 2**width - 1
        if missing_column >= 0:
            inputs[start - 1] = missing_column
    return inputs
