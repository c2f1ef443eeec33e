"""Rates in the C header: codes of coarse codebooks are computed from those of the finest one. NumPy alone."""

from itertools import accumulate

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.nesting import obstacle, recoding
from skbsq.export import _c_categories
from skbsq.export import _c_text as c
from skbsq.export._fold import fold_rates


def find_rates(fitted, coarser, dtype):
    """Return the codebooks of a header, in the units of the raw features.

    Parameters
    ----------
    fitted : Codebook, fitted quantizer, predictor or Pipeline
    coarser : sequence of Codebook
    dtype : {"float32", "float64"}

    Returns
    -------
    dict int -> Codebook
        The finest comes first. The keys are the rates of a model with rates, and else the bits per row.

    Raises
    ------
    ValueError
        If `coarser` is given for a model with rates, or holds something that cannot be a rate of the codebook.
    """
    rates = fold_rates(fitted, dtype)
    if not isinstance(coarser, list | tuple) or not all(isinstance(book, Codebook) for book in coarser):
        raise ValueError(f"coarser must be a list of Codebooks, got {coarser!r}.")
    if coarser and len(rates) > 1:
        raise ValueError(
            f"coarser is for codebooks and models without rates, but this model has the rates {list(rates)}: leave "
            "coarser out, or give codebook_ of the model instead of the model."
        )
    finest, *_ = rates.values()
    for i, book in enumerate(coarser):
        if (why := obstacle(finest, book)) is not None:
            raise ValueError(f"coarser[{i}] cannot be a rate of this codebook: {why}. Make it with coarsened.")
        if (why := _c_categories.disorder(finest, book)) is not None:
            raise ValueError(f"coarser[{i}] cannot be a rate of this codebook: {why}. Make it with coarsened.")
        if book.row_bits in rates:
            raise ValueError(
                f"coarser[{i}] has {book.row_bits} bits per row, as another codebook has, but these bits name the rate "
                "in the header: leave one of the two out."
            )
        rates[book.row_bits] = book
    return rates


def title_lines(rates):
    """Return lines for the comment at the top of the header."""
    lines = [f"{rate}, {i}, {b.row_bits}, {b.fingerprint.hex()}" for i, (rate, b) in enumerate(rates.items())]
    return ["", "Rate, its number, bits per row, codebook:", *lines]


def sizes(rates):
    """Write the numbers of the rates, and macros for the sizes at a rate."""
    finest, *coarser = (book.row_bits for book in rates.values())
    return c.RATE_SIZES.format(
        n_rates=len(rates),
        numbers="".join(f"#define NAME_RATE_{rate} {i}\n" for i, rate in enumerate(rates)),
        row_bits="".join(f"(rate) == {i} ? {bits}u : " for i, bits in enumerate(coarser, 1)) + f"{finest}u",
    )


def lowering(rates):
    """Write how a code of the finest codebook becomes the code at a rate.

    It is shifted right if that gives every code of every feature at every rate. If not, a coarse code rises by 1 after
    some of the fine codes. They are either listed, a byte or two each, or marked, with a bit for each fine code: the
    header has what is smaller.

    Parameters
    ----------
    rates : dict int -> Codebook

    Returns
    -------
    tables : str
    fields : dict
        Fields of `ENCODE`.
    """
    finest, *coarser = rates.values()
    tables = c.RATE_TABLES + c.array("name_rate_row_bytes", [-(-book.row_bits // 8) for book in rates.values()])
    tables += _rows("fingerprints", [[f"0x{byte:02x}" for byte in book.fingerprint] for book in coarser])
    tables += _rows("bits", [book.n_bits.tolist() for book in coarser])
    recoded = [recoding(finest, book) for book in coarser]
    if all(_is_shift(finest, *pair) for pair in zip(coarser, recoded, strict=True)):
        return tables, {"begin": c.ENCODE_AT_BEGIN, "before": "", "lower": c.SHIFT}
    rises = [[np.flatnonzero(np.diff(table)) for table in of_features] for of_features in recoded]
    steps = [_steps(finest, *pair) for pair in zip(coarser, rises, strict=True)]
    marks = [_marks(finest, of_features) for of_features in rises]
    if sum(step.nbytes for step in steps) < sum(mark.nbytes for mark in marks):
        more, begin = _listed(steps)
        return tables + more, {"begin": begin, "before": "", "lower": c.STEPS}
    tables += c.MARKS_ABOUT + _rows("marks", [mark.tolist() for mark in marks])
    return tables, {"begin": c.MARKS_BEGIN, "before": c.MARKS_RANGE, "lower": c.MARKS}


def _is_shift(finest, book, tables):
    """Return whether each code of a codebook is the code of the finest one without its lowest bits."""
    return all(
        np.array_equal(table, np.arange(table.size) >> before - after)
        for table, before, after in zip(tables, finest.n_bits.tolist(), book.n_bits.tolist(), strict=True)
    )


def _steps(finest, book, rises):
    """List after which fine codes the coarse code rises: for each feature of b bits, 2^b - 1 numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> fine, coarse = Codebook.from_thresholds([[1, 2, 3, 4], [5]]), Codebook.from_thresholds([[2, 3], []])
    >>> _steps(fine, coarse, [np.array([1, 2]), np.array([])])
    array([  1,   2, 255], dtype=uint8)
    """
    dtype = np.uint8 if finest.n_levels.max() <= 256 else np.uint16
    # The largest number fills up: no fine code exceeds it.
    steps = [np.full(2**n_bits - 1, np.iinfo(dtype).max, dtype=dtype) for n_bits in book.n_bits.tolist()]
    for step, after in zip(steps, rises, strict=True):
        step[: after.size] = after
    return np.concatenate(steps)


def _listed(steps):
    """Write tables of the steps of each rate, and the beginning of the function that reads them."""
    every = np.concatenate(steps).tolist()
    # The first start is for the finest rate, which has no steps.
    starts = [0, *accumulate((step.size for step in steps[:-1]), initial=0)]
    tables = c.STEPS_ABOUT + c.array("name_steps", every) + c.array("name_step_starts", starts)
    return tables, c.STEPS_BEGIN.format(bits=c.bits_of(every))


def _marks(finest, rises):
    """Mark after which fine codes the coarse code rises: for each feature of b fine bits, 2^b - 1 bits.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> fine = Codebook.from_thresholds([[1, 2, 3, 4], [5]])
    >>> [f"{mark:08b}" for mark in _marks(fine, [np.array([1, 2]), np.array([0])])]
    ['10000110']
    """
    marks = [np.isin(np.arange(2**n_bits - 1), after) for n_bits, after in zip(finest.n_bits, rises, strict=True)]
    return np.packbits(np.concatenate(marks), bitorder="little")


def _rows(name, rows):
    """Write a table with a row of bytes for each rate."""
    lines = ",\n".join(f"    {{{', '.join(map(str, row))}}}" for row in rows)
    return f"static const uint8_t name_rate_{name}[{len(rows)}][{len(rows[0])}] NAME_FLASH = {{\n{lines}}};\n"
