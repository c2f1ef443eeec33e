"""Contests of `benchmarks.speed`, one function per part."""

import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import KBinsDiscretizer
from torch import nn

from benchmarks.datasets import load
from benchmarks.processes import printed_number, timed
from benchmarks.speed.bare import RECIPE, Task, fit_bare, fit_skbsq
from skbsq import Codebook, KMeansQuantizer, QuantileQuantizer, ThresholdQuantizer, TreeQuantizer
from skbsq.codec import RowCodec
from skbsq.nn import JointNet, Thermometer

SEED = 0


@dataclass(frozen=True)
class Contest:
    """The same work in two ways.

    Parameters
    ----------
    case : str
    ours : callable
        Does the work, and returns an array whose sum is the checksum, or the checksum itself.
    rival : callable, default=None
        The same work by other means; None if there is only a limit.
    rival_name : str, default=None
    target : float, default=None
        Wanted ratio of the seconds, rival over ours.
    limit : float, default=None
        Most seconds that ours may take.
    repeats : int, default=5
        Turns.
    calls : int, default=1
        Calls that are timed together; the seconds are those of one call.
    """

    case: str
    ours: Callable
    rival: Callable | None = None
    rival_name: str | None = None
    target: float | None = None
    limit: float | None = None
    repeats: int = 5
    calls: int = 1


def run(part, contest):
    """Let the two sides take turns.

    Parameters
    ----------
    part : str
    contest : Contest

    Returns
    -------
    dict
        A row of the table: the best seconds of each side, their ratio (rival over ours), target, limit, whether these
        are met, and the two checksums.
    """
    sides = {"ours": contest.ours, "rival": contest.rival}
    seconds: dict = dict.fromkeys(sides, np.inf)
    checksums: dict = dict.fromkeys(sides)
    for _ in range(contest.repeats):
        for side, work in sides.items():
            if work is None:
                continue
            out = None  # freed first: reused memory is faster
            out, turn = timed(_repeat, work, contest.calls)
            seconds[side] = min(seconds[side], turn / contest.calls)
            checksums[side] = float(np.asarray(out).sum(dtype=np.float64))
    ratio = seconds["rival"] / seconds["ours"] if contest.rival else None
    in_time = contest.limit is None or seconds["ours"] <= contest.limit
    met = in_time and (contest.target is None or ratio >= contest.target)
    return {
        "part": part,
        "case": contest.case,
        "rival": contest.rival_name,
        "seconds": seconds["ours"],
        "rival_seconds": seconds["rival"] if contest.rival else None,
        "ratio": ratio,
        "target": contest.target,
        "limit": contest.limit,
        "met": None if contest.target is None and contest.limit is None else met,
        "checksum": checksums["ours"],
        "rival_checksum": checksums["rival"],
        "threads": torch.get_num_threads(),
    }


def _repeat(work, calls):
    for _ in range(calls):
        out = work()
    return out


# -- the parts -------------------------------------------------------------------------------------------------------

_DISTRIBUTIONS = {
    "normal": lambda x: x,
    "lognormal": lambda x: np.exp(2 * x, out=x),
    "integers": lambda x: np.rint(np.multiply(x, 50, out=x), out=x),
    "far from 0": lambda x: np.add(x, 1000, out=x),
}
_ENCODE_TARGETS = {2: 40, 4: 20, 8: 8}


def _rows(n, d, kind="normal"):
    return _DISTRIBUTIONS[kind](np.random.default_rng(SEED).standard_normal((n, d), dtype=np.float32))


def encode(n=1_000_000, d=20):
    """Compare `Codebook.encode` with KBinsDiscretizer on the same thresholds, for many rows and for one row.

    KBinsDiscretizer puts a value that equals a threshold into the bin above, so the checksums differ by the number of
    such values.
    """
    for kind in _DISTRIBUTIONS:
        X = _rows(n, d, kind)
        for bits, target in _ENCODE_TARGETS.items():
            bins, book = _same_bins(X, bits)
            forms = {"": X}
            if kind == "normal":
                forms |= {", columns in memory": np.asfortranarray(X), ", float64": X.astype(np.float64)}
            for form, given in forms.items():
                yield Contest(
                    f"{kind}, {bits} bits{form}",
                    partial(book.encode, given),
                    partial(bins.transform, given),
                    "KBinsDiscretizer.transform",
                    target=None if form else target,
                    repeats=3,
                )
    X = _rows(10_000, d)
    row = X[:1].copy()
    for bits in (4, 8):
        bins, book = _same_bins(X, bits)
        quantizer = ThresholdQuantizer(book.thresholds).fit(X)
        rival = {"rival": partial(bins.transform, row), "rival_name": "KBinsDiscretizer.transform", "calls": 300}
        yield Contest(f"one row, {bits} bits, encode", partial(book.encode, row), limit=30e-6, **rival)
        yield Contest(f"one row, {bits} bits, transform", partial(quantizer.transform, row), target=1, **rival)


def _same_bins(X, bits):
    bins = KBinsDiscretizer(2**bits, encode="ordinal", strategy="quantile")
    if "quantile_method" in bins.get_params():  # from scikit-learn 1.7 on
        bins.set_params(quantile_method="averaged_inverted_cdf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ties of integers
        bins.fit(X[:50_000])
    return bins, Codebook.from_thresholds([edges[1:-1] for edges in bins.bin_edges_])


def categories(n=1_000_000, d=4):
    """Compare `Codebook.encode` of columns of strings with the codes that pandas has for them, and a table of codes."""
    rng = np.random.default_rng(SEED)
    for n_categories in (10, 1000):
        names = [f"category {k}" for k in range(n_categories)]
        codes = {name: k * 10 // n_categories for k, name in enumerate(names)}
        book = Codebook.from_thresholds({f"x{j}": codes for j in range(d)})
        columns = {f"x{j}": np.array(names, dtype=object)[rng.integers(0, n_categories, n)] for j in range(d)}
        for dtype in ("object", "string", "category"):
            frame = pd.DataFrame({name: pd.Series(column, dtype=dtype) for name, column in columns.items()})
            found = [frame[name].astype("category").cat.categories for name in frame]
            tables = [np.array([codes[name] for name in of_column], dtype=book.dtype) for of_column in found]
            yield Contest(
                f"{n_categories} categories, {dtype}",
                partial(book.encode, frame),
                partial(_take_categories, frame, tables),
                "cat.codes, then np.take",
                target=0.8,
                repeats=5,
            )


def _take_categories(frame, tables):
    codes = np.empty(frame.shape, dtype=tables[0].dtype, order="F")
    for j, (name, table) in enumerate(zip(frame, tables, strict=True)):
        codes[:, j] = np.take(table, frame[name].astype("category").cat.codes)
    return codes


def decode(n=1_000_000, d=20):
    """Decode codes to levels and to thermometer bits; the limits are 100 million values and 300 million bits per s."""
    X = _rows(n, d)
    for bits in (2, 4, 8):
        bins, book = _same_bins(X, bits)
        codes = book.encode(X)
        yield Contest(
            f"levels, {bits} bits",
            partial(book.decode, codes),
            partial(bins.inverse_transform, codes),
            "KBinsDiscretizer.inverse_transform",
            limit=codes.size / 100e6,
            repeats=3,
        )
        few = codes[: len(codes) // 10] if bits == 8 else codes
        lower = np.arange(2**bits - 1, dtype=codes.dtype)
        yield Contest(
            f"thermometer, {bits} bits",
            partial(book.thermometer, few),
            partial(np.greater, few[:, :, None], lower),
            "codes[:, :, None] > steps",
            limit=few.size * lower.size / 300e6,
            repeats=3,
        )


def pack(n=1_000_000, d=20):
    """Pack codes and unpack them; the limits are 300 million codes a second at 4 bits, half of that for mixed bits."""
    rng = np.random.default_rng(SEED)
    cases = {
        "4 bits": (np.full(d, 4), 300e6),
        "1 to 8 bits, mixed": (1 + np.arange(d) % 8, 150e6),
        "0 to 16 bits, mixed": (np.arange(d) % 17, 150e6),
    }
    for case, (n_bits, rate) in cases.items():
        book = Codebook.from_thresholds([np.arange(2**bits - 1) for bits in n_bits])
        codec = RowCodec(book)
        codes = rng.integers(0, 2**n_bits, size=(n, d)).astype(book.dtype)
        packed = codec.pack(codes)
        limit = {"limit": codes.size / rate, "rival_name": "np.packbits, np.unpackbits", "repeats": 3}
        yield Contest(case, partial(codec.pack, codes), partial(_pack_bits, codes, n_bits), **limit)
        yield Contest(f"{case}, back", partial(codec.unpack, packed), partial(_unpack_bits, packed, n_bits), **limit)
        tight = codec.pack_tight(codes)
        yield Contest(f"{case}, without padding", partial(codec.pack_tight, codes))
        yield Contest(f"{case}, without padding, back", partial(codec.unpack_tight, tight, n))


def _pack_bits(codes, n_bits):
    bits = [codes[:, [j]] >> np.arange(b, dtype=codes.dtype) & 1 for j, b in enumerate(n_bits)]
    return np.packbits(np.concatenate(bits, axis=1).astype(np.uint8), axis=1, bitorder="little")


def _unpack_bits(data, n_bits):
    bits, dtype = np.unpackbits(data, axis=1, bitorder="little"), np.uint8 if max(n_bits) <= 8 else np.uint16
    ends = zip(np.cumsum(n_bits), n_bits, strict=True)
    codes = [bits[:, end - b : end].astype(dtype) << np.arange(b, dtype=dtype) for end, b in ends]
    return np.stack([code.sum(axis=1, dtype=dtype) for code in codes], axis=1)


def predict(n=4096, units=256):
    """Compare the first layer of a head as a table of codes with its dense product with the thermometer bits."""
    for bits, target in {4: 5, 8: 25}.items():
        for d in (8, 20, 81):
            X = _rows(n, d)
            _, book = _same_bins(X, bits)
            torch.manual_seed(SEED)
            linear = nn.Linear(book.n_columns, units)
            net = JointNet(Thermometer(book), linear).eval()
            codes = torch.from_numpy(book.encode(X).astype(np.int32))
            yield Contest(
                f"{d} features, {bits} bits",
                partial(_infer, [net.from_codes], codes),
                partial(_infer, [net.quantization.from_codes, linear], codes),
                "bits, then nn.Linear",
                target=target,
                repeats=20,
            )


def _infer(functions, out):
    with torch.inference_mode():
        for function in functions:
            out = function(out)
        return out.numpy()


def train(data_dir=None, epochs=10, names=("california", "superconduct")):
    """Compare fits on hard bits with the same model in plain PyTorch."""
    for case, task in _tasks(data_dir, epochs, names, (256, 512), (2, 3, 4, 8)):
        yield Contest(
            case,
            partial(_training_error, fit_skbsq, task),
            partial(_training_error, fit_bare, task),
            "the dense layer in plain PyTorch",
            target=1,
            repeats=2,
        )


def recipe(data_dir=None, epochs=10, names=("california", "superconduct")):
    """Compare fits of the default recipe with fits without levels, ranks and sigmoids."""
    for case, task in _tasks(data_dir, epochs, names, (256,), (2, 4, 8)):
        yield Contest(
            case,
            partial(_training_error, partial(fit_skbsq, recipe={"init": "quantile"}), task),
            partial(_training_error, fit_skbsq, task),
            "hard bits in a standardized space, read alone",
            repeats=2,
        )


def _tasks(data_dir, epochs, names, batch_sizes, n_bits):
    for name in names:
        x, y = _standardized(load(name, data_dir))
        for batch_size, bits in product(batch_sizes, n_bits):
            task = Task(x, y, bits, [256] * 3, batch_size, epochs)
            yield f"{name}, {bits} bits, batches of {batch_size}", task


def _standardized(data):
    x, y = data.X.to_numpy(), data.y.to_numpy()[:, None]
    return [((z - z.mean(axis=0)) / z.std(axis=0)).astype(np.float32) for z in (x, y)]


def _training_error(fit, task):
    return np.mean((fit(task, SEED)(task.x) - task.y.ravel()) ** 2)


def start(n=1_000_000, d=50, n_of_fit=10_000, epochs=30):
    """Limit the time of initial thresholds on many rows, and compare a fit with a bare loop of the same steps."""
    X, y = _rows(n, d), _rows(n, 1).ravel()
    for quantizer in (QuantileQuantizer(), KMeansQuantizer(), TreeQuantizer()):
        yield Contest(
            f"{type(quantizer).__name__} on {n} x {d}",
            partial(_thresholds, quantizer, X, y),
            limit=10,
            repeats=1,
        )
    X = _rows(n_of_fit, 20)
    y = (X[:, :5].sum(axis=1) + np.sin(3 * X[:, 5]))[:, None]
    y = ((y - y.mean()) / y.std()).astype(np.float32)
    task = Task(X, y, 4, [256, 256, 256], 256, epochs)
    yield Contest(
        f"BitwiseRegressor.fit on {n_of_fit} x 20, hard bits",
        partial(_training_error, partial(fit_skbsq, recipe={**RECIPE, "init": "auto"}), task),
        partial(_training_error, fit_bare, task),
        "a bare loop of the same steps",
        target=1 / 1.2,
        repeats=3,
    )


def _thresholds(quantizer, X, y):
    return np.concatenate(quantizer.fit(X, y).thresholds_)


_GATEWAY = """
import sys
from skbsq import Codebook
print(Codebook.from_json(sys.stdin.buffer.read()).encode([[0.25] * 20]).sum())
"""
_GATEWAY_RIVAL = """
import pickle, sys
from sklearn.preprocessing import KBinsDiscretizer
print(pickle.loads(sys.stdin.buffer.read()).transform([[0.25] * 20]).sum())
"""


def gateway():
    """Compare a new process that imports, reads a fitted object from standard input and encodes one row."""
    bins, book = _same_bins(_rows(10_000, 20), 4)
    yield Contest(
        "process start to one row, 4 bits",
        partial(printed_number, _GATEWAY, book.to_json().encode()),
        partial(printed_number, _GATEWAY_RIVAL, pickle.dumps(bins)),
        "KBinsDiscretizer",
        limit=0.3,
    )


PARTS = {part.__name__: part for part in (encode, categories, decode, pack, predict, train, recipe, start, gateway)}
