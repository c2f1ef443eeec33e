"""Encoders in C that `benchmarks.device` measures: those of skbsq, and the nearest ones of emlearn and m2cgen."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from skbsq import Codebook
from skbsq.export import to_c
from skbsq.export._adc import first_counts_above, value_of

# Counts of a converter per standard deviation.
COUNTS = 4000
# Rows of random values, before the rows at thresholds.
RANDOM = 20


@dataclass(frozen=True)
class Encoder:
    """C that turns one row of values into bytes.

    Parameters
    ----------
    name : str
    value_type : str
        C type of a value.
    dtype : dtype
        The same for NumPy.
    source : str
        Defines ``encode(const value_t *x, uint8_t *out)``.
    n_values, out_bytes : int
        Per row.
    packed : bool
        Whether it packs the codes; otherwise it writes a byte per code.
    """

    name: str
    value_type: str
    dtype: str
    source: str
    n_values: int
    out_bytes: int
    packed: bool


@dataclass(frozen=True)
class Job:
    """A codebook, and the scale of the int16 counts that represent its values."""

    book: Codebook
    scale: np.ndarray

    @property
    def n_features(self):
        """Number of features of the codebook."""
        return self.book.n_features

    @property
    def row_bytes(self):
        """Bytes of a packed row."""
        return (self.book.row_bits + 7) // 8

    def rows(self, dtype, n):
        """Make random rows as an encoder reads them, as counts if it reads integers, and their codes from NumPy.

        If values are floats, rows after the first `RANDOM` are thresholds and their neighbours.
        """
        z = np.random.default_rng(0).standard_normal((n, self.n_features))
        counts = np.clip(np.rint(COUNTS * z), -32768, 32767).astype(np.int16)
        values = value_of(counts, self.scale, 0.0)
        if dtype == "i2":
            return counts, self.book.encode(values)
        for j, thresholds in enumerate(self.book.thresholds):
            neighbours = [np.nextafter(thresholds, np.float32(end)) for end in (-np.inf, np.inf)]
            values[RANDOM:, j] = np.resize(np.concatenate([thresholds, *neighbours]), max(0, n - RANDOM))
        return values.astype(dtype), self.book.encode(values)


def make_job(n_features, bits):
    """Make a codebook with thresholds at the quantiles of random samples, so that no two features are alike.

    Examples
    --------
    >>> make_job(8, 2).book.row_bits
    16
    """
    scale = 10.0 ** (np.arange(n_features) % 5 - 2) / COUNTS
    sample = np.random.default_rng(1).standard_normal((1000, n_features)) * scale * COUNTS
    shares = np.arange(1, 2**bits) / 2**bits
    return Job(Codebook.from_thresholds(list(np.quantile(sample, shares, axis=0).T)), scale)


def ours(job):
    """Yield the header of `to_c`, for floats and for counts, small and fast."""
    for (value_type, dtype, options), optimize in product(
        [("float", "f4", {}), ("int16_t", "i2", {"scale": job.scale, "count_type": "int16"})], ["size", "speed"]
    ):
        name = f"skbsq, {value_type}" + ", speed" * (optimize == "speed")
        text = to_c(job.book, "book", optimize=optimize, **options)
        source = "\nvoid encode(const value_t *x, uint8_t *out) { (void)book_encode(x, out); }\n"
        yield Encoder(name, value_type, dtype, text + source, job.n_features, job.row_bytes, packed=True)


def emlearn(job):
    """Yield inlined trees of emlearn, on floats and on counts."""
    import emlearn as package

    for value_type, dtype in [("float", "f4"), ("int16_t", "i2")]:
        trees = code_trees(job, on_counts=dtype == "i2")
        source, calls = "", ""
        for j, tree in enumerate(trees):
            model = package.convert(tree, method="inline", dtype=value_type)
            source += model.save(name=f"f{j}", format="c")
            calls += f"    out[{j}] = (uint8_t)f{j}_predict(x + {j}, 1);\n"
        yield _of_trees(f"emlearn, {value_type}", value_type, dtype, source, calls, job)


def m2cgen(job):
    """Yield trees of m2cgen, which reads doubles."""
    from m2cgen import export_to_c

    source, calls = "", ""
    for j, tree in enumerate(code_trees(job)):
        # Its functions are neither declared before nor static.
        source += export_to_c(tree, function_name=f"f{j}")
        calls += f"    out[{j}] = (uint8_t)f{j}((double *)x + {j});\n"
    yield _of_trees("m2cgen, double", "double", "f8", source, calls, job)


RIVALS = {"emlearn": emlearn, "m2cgen": m2cgen}


def _of_trees(name, value_type, dtype, source, calls, job):
    source += f"\nvoid encode(const value_t *x, uint8_t *out)\n{{\n{calls}}}\n"
    return Encoder(name, value_type, dtype, source, job.n_features, job.n_features, packed=False)


def code_trees(job, *, on_counts=False):
    """Yield a tree per feature whose leaves are its codes.

    A fit to the codes gives the tree its shape. The thresholds are set afterwards.
    """
    for thresholds, scale in zip(job.book.thresholds, job.scale, strict=True):
        codes = np.arange(thresholds.size + 1)
        tree = DecisionTreeRegressor(random_state=0).fit(codes[:, None], codes)
        inner = tree.tree_.feature >= 0
        # emlearn tests whether a count is less than the threshold.
        limits = first_counts_above(thresholds, scale, 0.0, "int16") if on_counts else thresholds
        tree.tree_.threshold[inner] = limits[tree.tree_.threshold[inner].astype(int)]
        yield tree
