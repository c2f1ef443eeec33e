"""Thermometer and one-hot bits of codes: their conditions and names, and the codes of bits. Needs NumPy alone."""

import numpy as np

from skbsq.codebook.labels import check_columns, columns_of
from skbsq.codebook.matrix import as_matrix


def bit_conditions(book):
    """Compute `skbsq.Codebook.columns`.

    Parameters
    ----------
    book : Codebook

    Returns
    -------
    ndarray of int64 of shape (n_columns, 3)
    """
    rows = []
    parts = zip(np.diff(book.offsets).tolist(), book.is_one_hot, book.has_missing, strict=True)
    for j, (size, one_hot, missing) in enumerate(parts):
        rows += [(j, k, k + 1 if one_hot else size) for k in range(size)] + [(j, size, size + 1)] * bool(missing)
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def bit_names(book, feature_names):
    """Name the bits, see `skbsq.Codebook.column_names`.

    Parameters
    ----------
    book : Codebook
    feature_names : sequence of d str

    Returns
    -------
    list of str
    """
    names = []
    parts = zip(feature_names, book.levels, book.is_one_hot, book.has_missing, strict=True)
    for name, levels, one_hot, has_missing in parts:
        regular = levels[1 : len(levels) - has_missing]
        own = list(regular) if one_hot else [f"t{k}" for k in range(len(regular))]
        endings = [*map(str, own), *["missing"] * bool(has_missing)]
        if len(set(endings)) < len(endings):
            endings[: len(own)] = map(repr, own)
        names += [f"{name}_{ending}" for ending in endings]
    return names


def codes_of_bits(book, bits):
    """Turn bits back into codes, see `skbsq.Codebook.codes_from_thermometer`.

    Parameters
    ----------
    book : Codebook
    bits : array-like of shape (n, n_columns)

    Returns
    -------
    ndarray of uint8 or uint16 of shape (n, d)
    """
    given, bits = bits, as_matrix(bits, "bits")
    if (columns := columns_of(given)) is not None:
        check_columns(columns, book.column_names(), "bits", strict=book.feature_names is not None)
    if bits.shape[1] != book.n_columns:
        raise ValueError(
            f"bits has {bits.shape[1]} columns, but the thermometer of this codebook has {book.n_columns}."
        )
    codes = np.zeros((bits.shape[0], book.n_features), dtype=book.dtype)
    ends = np.cumsum(np.diff(book.offsets) + book.has_missing)
    for j, of_feature in enumerate(np.split(bits != 0, ends[:-1], axis=1)):
        codes[:, j] = of_feature.sum(axis=1)
        if book.is_one_hot[j] and of_feature.shape[1]:
            codes[:, j] = np.where(of_feature.any(axis=1), of_feature.argmax(axis=1) + 1, 0)
        if book.has_missing[j]:
            codes[of_feature[:, -1], j] = book.n_levels[j] - 1
    wrong = (book.thermometer(codes) != bits).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        how = "1...10...0, and a one-hot feature has at most a single 1" if book.is_one_hot.any() else "1...10...0"
        raise ValueError(f"Row {row} holds no thermometer bits: the bits of a feature must read {how}.")
    return codes
