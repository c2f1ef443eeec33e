"""The contests of `benchmarks.speed`, one function per part."""

import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.preprocessing import KBinsDiscretizer
from torch import nn

from benchmarks.datasets import load
from benchmarks.processes import printed_number
from benchmarks.speed.bare import Task, fit_bare, fit_skbsq
from skbsq import BitwiseRegressor, Codebook, KMeansQuantizer, QuantileQuantizer, ThresholdQuantizer, TreeQuantizer
from skbsq.codec import RowCodec
from skbsq.nn import JointNet, Thermometer

SEED = 0


@dataclass(frozen=True)
class Contest:
    """One thing to do, twice.

    Parameters
    ----------
    part, case : str
    ours : callable
        Does it and returns what came out: an array whose sum is the checksum, or the checksum itself.
    rival : callable, default=None
        The same by other means; None where there is only a limit.
    rival_name : str, default=None
    target : float, default=None
        What ours is to be faster by.
    limit : float, default=None
        Seconds that ours may take at most.
    repeats : int, default=5
        Turns.
    calls : int, default=1
        Calls in a row that are timed together; the seconds are those of one.
    """

    part: str
    case: str
    ours: Callable
    rival: Callable | None = None
    rival_name: str | None = None
    target: float | None = None
    limit: float | None = None
    repeats: int = 5
    calls: int = 1


def run(contest):
    """Let the two take turns.

    Parameters
    ----------
    contest : Contest

    Returns
    -------
    dict
        A row of the table: the best seconds of each, their ratio (rival over ours), target, limit, whether these are
        met, and the two checksums.
    """
    sides = {"ours": contest.ours, "rival": contest.rival}
    seconds: dict = dict.fromkeys(sides, np.inf)
    checksums: dict = dict.fromkeys(sides)
    for _ in range(contest.repeats):
        for side, work in sides.items():
            if work is None:
                continue
            out = None  # the last one: memory that is given back comes cheaper
            start = time.perf_counter()
            for _ in range(contest.calls):
                out = work()
            seconds[side] = min(seconds[side], (time.perf_counter() - start) / contest.calls)
            checksums[side] = float(np.asarray(out).sum(dtype=np.float64))
    ratio = seconds["rival"] / seconds["ours"] if contest.rival else None
    in_time = contest.limit is None or seconds["ours"] <= contest.limit
    met = in_time and (contest.target is None or ratio >= contest.target)
    return {
        "part": contest.part,
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


# -- the parts -------------------------------------------------------------------------------------------------------

_COLUMNS = {
    "normal": lambda x: x,
    "lognormal": lambda x: np.exp(2 * x, out=x),
    "integers": lambda x: np.rint(np.multiply(x, 50, out=x), out=x),
    "far from 0": lambda x: np.add(x, 1000, out=x),
}
_ENCODE_TARGETS = {2: 40, 4: 20, 8: 8}


def _rows(n, d, kind="normal"):
    return _COLUMNS[kind](np.random.default_rng(SEED).standard_normal((n, d), dtype=np.float32))


def encode(n=1_000_000, d=20):
    """`Codebook.encode` against KBinsDiscretizer, from the same thresholds; and one row at a time.

    The thresholds are those of KBinsDiscretizer, which puts a value on a threshold into the bin above: the codes differ
    by the number of such values.
    """
    for kind in _COLUMNS:
        X = _rows(n, d, kind)
        for bits, target in _ENCODE_TARGETS.items():
            bins, book = _same_bins(X, bits)
            forms = {"": X}
            if kind == "normal":
                forms |= {", columns in memory": np.asfortranarray(X), ", float64": X.astype(np.float64)}
            for form, given in forms.items():
                yield Contest(
                    "encode",
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
        yield Contest("encode", f"one row, {bits} bits, encode", partial(book.encode, row), limit=30e-6, **rival)
        yield Contest(
            "encode", f"one row, {bits} bits, transform", partial(quantizer.transform, row), target=1, **rival
        )


def _same_bins(X, bits):
    bins = KBinsDiscretizer(2**bits, encode="ordinal", strategy="quantile")
    if "quantile_method" in bins.get_params():  # from scikit-learn 1.7 on
        bins.set_params(quantile_method="averaged_inverted_cdf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that integers tie
        bins.fit(X[:50_000])
    return bins, Codebook.from_thresholds([edges[1:-1] for edges in bins.bin_edges_])


def decode(n=1_000_000, d=20):
    """Codes to levels and to thermometer bits; the limits are 100 million values and 300 million bits a second."""
    X = _rows(n, d)
    for bits in (2, 4, 8):
        bins, book = _same_bins(X, bits)
        codes = book.encode(X)
        yield Contest(
            "decode",
            f"levels, {bits} bits",
            partial(book.decode, codes),
            partial(bins.inverse_transform, codes),
            "KBinsDiscretizer.inverse_transform",
            limit=codes.size / 100e6,
            repeats=3,
        )
        few = codes[: len(codes) // 10] if bits == 8 else codes
        steps = np.arange(2**bits - 1, dtype=codes.dtype)
        yield Contest(
            "decode",
            f"thermometer, {bits} bits",
            partial(book.thermometer, few),
            partial(np.greater, few[:, :, None], steps),
            "codes[:, :, None] > steps",
            limit=few.size * steps.size / 300e6,
            repeats=3,
        )


def pack(n=1_000_000, d=20):
    """Codes to bytes and back; the limits are 300 million codes a second at 4 bits, half of that for mixed widths."""
    rng = np.random.default_rng(SEED)
    cases = {
        "4 bits": (np.full(d, 4), 300e6),
        "1 to 8 bits, mixed": (1 + np.arange(d) % 8, 150e6),
        "0 to 16 bits, mixed": (np.arange(d) % 17, 150e6),
    }
    for case, (widths, rate) in cases.items():
        book = Codebook.from_thresholds([np.arange(2**bits - 1) for bits in widths])
        codec = RowCodec(book)
        codes = rng.integers(0, 2**widths, size=(n, d)).astype(book.dtype)
        packed = codec.pack(codes)
        limit = {"limit": codes.size / rate, "rival_name": "np.packbits, np.unpackbits", "repeats": 3}
        yield Contest("pack", case, partial(codec.pack, codes), partial(_pack_bits, codes, widths), **limit)
        yield Contest(
            "pack", f"{case}, back", partial(codec.unpack, packed), partial(_unpack_bits, packed, widths), **limit
        )
        tight = codec.pack_tight(codes)
        yield Contest("pack", f"{case}, without padding", partial(codec.pack_tight, codes))
        yield Contest("pack", f"{case}, without padding, back", partial(codec.unpack_tight, tight, n))


def _pack_bits(codes, widths):
    bits = [codes[:, [j]] >> np.arange(b, dtype=codes.dtype) & 1 for j, b in enumerate(widths)]
    return np.packbits(np.concatenate(bits, axis=1).astype(np.uint8), axis=1, bitorder="little")


def _unpack_bits(data, widths):
    bits, dtype = np.unpackbits(data, axis=1, bitorder="little"), np.uint8 if max(widths) <= 8 else np.uint16
    starts = np.cumsum(widths) - widths
    return np.stack(
        [
            (bits[:, at : at + b].astype(dtype) << np.arange(b, dtype=dtype)).sum(axis=1, dtype=dtype)
            for at, b in zip(starts, widths, strict=True)
        ],
        axis=1,
    )


def predict(n=4096, units=256):
    """The first layer of a head, from codes: the table against the dense product with the thermometer bits."""
    for bits, target in {4: 5, 8: 25}.items():
        for d in (8, 20, 81):
            X = _rows(n, d)
            _, book = _same_bins(X, bits)
            torch.manual_seed(SEED)
            linear = nn.Linear(book.n_columns, units)
            net = JointNet(Thermometer(book), linear).eval()
            codes = torch.from_numpy(book.encode(X).astype(np.int32))
            yield Contest(
                "predict",
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
    """Whole fits on hard bits, per epoch, against the same model in plain PyTorch."""
    for name in names:
        x, y = _standardized(load(name, data_dir))
        for batch_size in (256, 512):
            for bits in (2, 3, 4, 8):
                task = Task(x, y, bits, [256] * 3, batch_size, epochs)
                yield Contest(
                    "train",
                    f"{name}, {bits} bits, batches of {batch_size}",
                    partial(_training_error, fit_skbsq, task),
                    partial(_training_error, fit_bare, task),
                    "the dense layer in plain PyTorch",
                    target=1,
                    repeats=2,
                )


def recipe(data_dir=None, epochs=10, names=("california", "superconduct")):
    """What levels, ranks and sigmoids cost: whole fits of the default recipe, per epoch, against one without them."""
    for name in names:
        x, y = _standardized(load(name, data_dir))
        for bits in (2, 4, 8):
            task = Task(x, y, bits, [256] * 3, 256, epochs)
            yield Contest(
                "recipe",
                f"{name}, {bits} bits, batches of {task.batch_size}",
                partial(_training_error, partial(fit_skbsq, recipe={"init": "quantile"}), task),
                partial(_training_error, fit_skbsq, task),
                "hard bits in a standardized space, read alone",
                repeats=2,
            )


def _standardized(data):
    x, y = data.X.to_numpy(), data.y.to_numpy()[:, None]
    return [((z - z.mean(axis=0)) / z.std(axis=0)).astype(np.float32) for z in (x, y)]


def _training_error(fit, task):
    return np.mean((fit(task, SEED)(task.x) - task.y.ravel()) ** 2)


def start(n=1_000_000, d=50):
    """Initial thresholds on many rows, and a whole fit against a bare loop of the same steps."""
    X, y = _rows(n, d), _rows(n, 1).ravel()
    for quantizer in (QuantileQuantizer(), KMeansQuantizer(), TreeQuantizer()):
        yield Contest(
            "start",
            f"{type(quantizer).__name__} on {n} x {d}",
            partial(_thresholds, quantizer, X, y),
            limit=10,
            repeats=1,
        )
    X = _rows(10_000, 20)
    y = (X[:, :5].sum(axis=1) + np.sin(3 * X[:, 5]))[:, None]
    y = ((y - y.mean()) / y.std()).astype(np.float32)
    # The steps of the bare loop: its bits are hard, in a standardized space, and its head reads them alone.
    ours = BitwiseRegressor(forward="hard", space="standard", level_inputs=False, random_state=SEED)
    task = Task(X, y, 4, [*ours.hidden_sizes], ours.batch_size, ours.max_epochs)
    yield Contest(
        "start",
        "BitwiseRegressor.fit on 10000 x 20, hard bits",
        partial(_training_error, lambda task, seed: ours.fit(task.x, task.y.ravel()).predict, task),
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
    """A new process, from its start to the codes of one row: imports, and what was fitted read from standard input."""
    bins, book = _same_bins(_rows(10_000, 20), 4)
    yield Contest(
        "gateway",
        "process start to one row, 4 bits",
        partial(printed_number, _GATEWAY, book.to_json().encode()),
        partial(printed_number, _GATEWAY_RIVAL, pickle.dumps(bins)),
        "KBinsDiscretizer",
        limit=0.3,
    )


PARTS = {part.__name__: part for part in (encode, decode, pack, predict, train, recipe, start, gateway)}
