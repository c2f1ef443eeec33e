"""The encoders that `benchmarks.device` measures, as C: those of skbsq, and the nearest of emlearn and m2cgen."""

from dataclasses import dataclass

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from skbsq import Codebook
from skbsq.export import to_c
from skbsq.export._adc import first_counts_above, value_of

# Counts of a converter to a standard deviation.
COUNTS = 4000
# Rows of random values before those at the thresholds.
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
        Whether it packs the codes; else there is a byte for each.
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
    """A codebook, and the scale of the int16 counts that stand for its values."""

    book: Codebook
    scale: np.ndarray

    @property
    def n_features(self):
        return self.book.n_features

    @property
    def row_bytes(self):
        return (self.book.row_bits + 7) // 8

    def rows(self, dtype, n):
        """Random rows as an encoder reads them, counts where it reads integers; and what NumPy makes of them.

        Where values are floats, rows after the first `RANDOM` are thresholds and their neighbours.
        """
        z = np.random.default_rng(0).standard_normal((n, self.n_features))
        counts = np.clip(np.rint(COUNTS * z), -32768, 32767).astype(np.int16)
        values = value_of(counts, self.scale, 0.0)
        if dtype == "i2":
            return counts, self.book.encode(values)
        for j, thresholds in enumerate(self.book.thresholds):
            beside = [np.nextafter(thresholds, np.float32(end)) for end in (-np.inf, np.inf)]
            values[RANDOM:, j] = np.resize(np.concatenate([thresholds, *beside]), max(0, n - RANDOM))
        return values.astype(dtype), self.book.encode(values)


def make_job(n_features, bits):
    """Thresholds at the quantiles of random samples, so that no two features are alike, of several scales.

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
    """The header that `to_c` writes, for floats and for counts."""
    for value_type, dtype, options in [
        ("float", "f4", {}),
        ("int16_t", "i2", {"scale": job.scale, "count_type": "int16"}),
    ]:
        text = to_c(job.book, "book", **options)
        source = "\nvoid encode(const value_t *x, uint8_t *out) { (void)book_encode(x, out); }\n"
        yield Encoder(
            f"skbsq, {value_type}", value_type, dtype, text + source, job.n_features, job.row_bytes, packed=True
        )


def emlearn(job):
    """Trees of emlearn, inlined: on floats, and on counts."""
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
    """Trees of m2cgen, which reads doubles."""
    from m2cgen import export_to_c

    source, calls = "", ""
    for j, tree in enumerate(code_trees(job)):
        # Its functions are not declared beforehand, nor static.
        source += export_to_c(tree, function_name=f"f{j}")
        calls += f"    out[{j}] = (uint8_t)f{j}((double *)x + {j});\n"
    yield _of_trees("m2cgen, double", "double", "f8", source, calls, job)


RIVALS = {"emlearn": emlearn, "m2cgen": m2cgen}


def _of_trees(name, value_type, dtype, source, calls, job):
    source += f"\nvoid encode(const value_t *x, uint8_t *out)\n{{\n{calls}}}\n"
    return Encoder(name, value_type, dtype, source, job.n_features, job.n_features, packed=False)


def code_trees(job, *, on_counts=False):
    """A tree per feature whose leaves are its codes.

    It is fitted to the codes themselves, which gives it its shape, and then given the thresholds.
    """
    for thresholds, scale in zip(job.book.thresholds, job.scale, strict=True):
        codes = np.arange(thresholds.size + 1)
        tree = DecisionTreeRegressor(random_state=0).fit(codes[:, None], codes)
        inner = tree.tree_.feature >= 0
        # emlearn asks whether a count is less.
        cuts = first_counts_above(thresholds, scale, 0.0, "int16") if on_counts else thresholds
        tree.tree_.threshold[inner] = cuts[tree.tree_.threshold[inner].astype(int)]
        yield tree
