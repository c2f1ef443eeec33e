"""Count the alarms that a `CodeMonitor` raises, without drift and with it, beside a test on the floats.

Thresholds come from 2000 training rows, then n rows are received. Every repeat draws both anew. Shares of repeats:

alarms      the p-value of the monitor is below 0.05
ks_alarms   that of the two-sample Kolmogorov-Smirnov test on the floats is; missing values are left out
over_0.1    the population stability index over all codes, without the merging of rare ones, is above 0.1, which
            a rule of thumb calls drift

Without drift (shift 0), the thresholds are quantiles or equally spaced, which leaves codes rare, and some sensors fail.
With drift, all values move up by a part of their standard deviation.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from tqdm import tqdm

from benchmarks.arguments import add_number, make_parser
from benchmarks.command import write_table
from skbsq import QuantileQuantizer, UniformQuantizer
from skbsq.monitoring import CodeMonitor

SEED = 42
ALPHA = 0.05
TRAINING_ROWS = 2000
# Repeats that are features of one codebook.
BATCH = 100
QUANTIZERS = {"quantile": QuantileQuantizer, "uniform": UniformQuantizer}
# Draw rows whose values have a standard deviation of 1. The gamma distribution of shape 2 has a skewness of 1.4.
DISTRIBUTIONS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "gamma": lambda rng, shape: rng.gamma(2.0, 2.0**-0.5, size=shape),
}
COLUMNS = ["distribution", "thresholds", "missing", "shift", "n", "bits", "repeats", "alarms", "ks_alarms", "over_0.1"]


def cases():
    """List what is simulated: distribution, thresholds, share of missing values, shift, n.

    Returns
    -------
    list of tuple
    """
    without = product(DISTRIBUTIONS, QUANTIZERS, [0.0, 0.02], [0.0], [500])
    return [*without, *product(DISTRIBUTIONS, ["quantile"], [0.0], [0.2, 0.5], [100, 500, 2000])]


def simulate(distribution, thresholds, missing, shift, n, *, bits, repeats):
    """Count the alarms of one case.

    Parameters
    ----------
    distribution, thresholds : str
    missing : float
        Share of missing values, in training and later.
    shift : float
        Standard deviations by which received values lie higher.
    n : int
        Rows received.
    bits : list of int
        Bits per feature.
    repeats : int
        Rounded up to whole batches.

    Returns
    -------
    list of dict
        A row per number of bits.
    """
    case = (distribution, thresholds, missing, shift, n)
    rng = np.random.default_rng([SEED, cases().index(case)])
    n_batches = -(-repeats // BATCH)
    counted = np.zeros((len(bits), 3))
    for _ in range(n_batches):
        past, received = (_draw(rng, distribution, missing, rows) for rows in (TRAINING_ROWS, n))
        received += shift
        ks_alarms = np.sum(ks_2samp(past, received, method="asymp", nan_policy="omit").pvalue < ALPHA)
        for k, b in enumerate(bits):
            quantizer = QUANTIZERS[thresholds](b, missing="code" if missing else "error")
            codebook = quantizer.fit(past).codebook_
            codes = codebook.encode(received)
            p_values = CodeMonitor(codebook).update(codes).report(as_dict=True)["p_value"]
            counted[k] += np.sum(np.less(p_values, ALPHA)), ks_alarms, np.sum(_plain_index(codebook, codes) > 0.1)
    n_repeats = n_batches * BATCH
    rows = zip(bits, counted / n_repeats, strict=True)
    return [dict(zip(COLUMNS, [*case, b, n_repeats, *shares], strict=True)) for b, shares in rows]


def _draw(rng, distribution, missing, n):
    X = DISTRIBUTIONS[distribution](rng, (n, BATCH))
    X[rng.random(X.shape) < missing] = np.nan
    return X


def _plain_index(codebook, codes):
    """Population stability index of each feature over all codes, with shares of at least 0.0001."""
    index = []
    for j, reference in enumerate(codebook.counts):
        received = np.bincount(codes[:, j], minlength=reference.size)
        p, q = (np.maximum(counts / counts.sum(), 1e-4) for counts in (received, reference))
        index.append(np.sum((p - q) * np.log(p / q)))
    return np.array(index)


def page_tables(table):
    """Write the tables of docs/deploy/monitoring.md: alarms in percent, first without drift, then with it.

    Parameters
    ----------
    table : DataFrame
        What `main` stores.

    Returns
    -------
    list of str
        Two tables in Markdown.
    """
    is_shifted = table["shift"] > 0
    return [
        _as_markdown(table[~is_shifted], ["distribution", "thresholds", "missing"], "over_0.1", "index > 0.1"),
        _as_markdown(table[is_shifted], ["distribution", "shift", "n"], "ks_alarms", "floats"),
    ]


def _as_markdown(rows, key, beside, title):
    """A row per case with the alarms at each number of bits, and the last value of one more column."""
    bits = sorted(rows["bits"].unique().tolist())
    lines = [[*key, *(f"{b} bit{'s' * (b > 1)}" for b in bits), title], ["---"] * (len(key) + len(bits) + 1)]
    for case, group in rows.groupby(key, sort=False):
        group = group.sort_values("bits")
        shares = [*group["alarms"], group[beside].iloc[-1]]
        lines.append([*map(str, case), *(f"{100 * share:.1f}" for share in shares)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, bits=[1, 2, 3, 4, 5, 6])
    add_number(parser, "--repeats", 4000, "per case")
    parser.add_argument(
        "--output", type=Path, default="drift.csv", metavar="CSV", help="file to replace (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    rows = []
    for case in tqdm(cases(), desc="drift", unit="case"):
        rows += simulate(*case, bits=arguments.bits, repeats=arguments.repeats)
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_table(table, arguments.output)
    print("Alarms in percent:", *page_tables(table), sep="\n\n")


if __name__ == "__main__":
    main()
