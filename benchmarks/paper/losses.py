"""Compare the losses of a regression, counts and quantiles, with those of gradient boosting, on weighted rows."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance
from sklearn.model_selection import train_test_split

from benchmarks.arguments import make_parser
from benchmarks.command import collect, plain_errors, print_failures, print_table, shuffled
from benchmarks.datasets import Dataset, load
from benchmarks.methods import FLOAT_BITS
from skbsq import BitwiseRegressor, QuantileQuantizer

LEARNED, SQUARED, BOOSTED = "bitwise", "bitwise, squared error", "boosting on quantile bits"
FLOATS, CONSTANT, TRUTH = "boosting on floats", "constant", "true rate"
METHODS = (LEARNED, SQUARED, BOOSTED, FLOATS, CONSTANT)
# Parameters of the loss, by the data set.
LOSSES: dict[str, list[dict]] = {
    "bikes": [{"loss": "poisson"}],
    "wage": [{"loss": "quantile", "quantile": quantile} for quantile in (0.1, 0.5, 0.9)],
}
KEY = ["dataset", "objective", "bits", "method", "seed", "data_sha256"]
COLUMNS = [*KEY, "n_rows", "error", "failure", "versions"]
TEST_SIZE = 0.25
# Rates below this share of the mean rate count as so high, because the deviance of a count at a rate of 0 is infinite.
MIN_RATE = 0.01


@dataclass(frozen=True)
class Weighted:
    """A data set with weights, and the true rates where they are known."""

    data: Dataset
    weights: np.ndarray
    rates: np.ndarray | None = None


def bikes(n_rows=6000):
    """Generate counts of rented bikes.

    Each row counts the rentals in the minutes for which a station was open, in one hour of a day. The target is the
    count per hour, and the weight is the exposure: the share of the hour.

    Parameters
    ----------
    n_rows : int, default=6000

    Returns
    -------
    Weighted
    """
    random = np.random.default_rng(0)
    hour, workday = random.integers(0, 24, n_rows), random.random(n_rows) < 5 / 7
    temperature, humidity = random.normal(15, 9, n_rows), random.uniform(20, 100, n_rows)
    wind = random.gamma(2, 6, n_rows)
    rush = np.exp(-((hour - 8) ** 2) / 3) + np.exp(-((hour - 17.5) ** 2) / 5)
    leisure = np.exp(-((hour - 14) ** 2) / 20)
    log_rate = np.where(workday, 2.2 * rush, 1.8 * leisure) + 0.8 * (hour > 6)
    log_rate += 0.05 * np.minimum(temperature, 27) - 0.03 * np.maximum(humidity - 70, 0) - 0.02 * wind
    rates, exposure = np.exp(log_rate), random.uniform(0.1, 1, n_rows)
    columns = {"hour": hour, "workday": workday, "temperature": temperature, "humidity": humidity, "wind": wind}
    y = pd.Series(random.poisson(rates * exposure) / exposure, name="rentals")
    return Weighted(Dataset("bikes", pd.DataFrame(columns).astype(float), y, "regression"), exposure, rates)


def load_weighted(name, data_dir=None):
    """Load a data set by name: bikes, or wage with weights that fall by a fifth for each year before the last."""
    if name == "bikes":
        return bikes()
    data = load(name, data_dir)
    year = data.X["year"].to_numpy()
    return Weighted(data, 0.8 ** (year.max() - year))


def objective_of(loss):
    """Name a loss and its quantile, such as "quantile 0.9"."""
    return " ".join(map(str, loss.values()))


def error_of(loss, y, predicted, weights):
    """Compute the mean Poisson deviance or the mean pinball loss."""
    if loss["loss"] == "quantile":
        return mean_pinball_loss(y, predicted, sample_weight=weights, alpha=loss["quantile"])
    floor = MIN_RATE * np.average(y, weights=weights)
    return mean_poisson_deviance(y, np.maximum(predicted, floor), sample_weight=weights)


def predict(method, loss, bits, seed, X_train, y_train, weights, X_test):
    """Fit one method, and predict the test rows."""
    if method == CONSTANT:
        strategy = "quantile" if loss["loss"] == "quantile" else "mean"
        model = DummyRegressor(strategy=strategy, quantile=loss.get("quantile"))
    elif method in (LEARNED, SQUARED):
        model = BitwiseRegressor(bits, random_state=seed, **(loss if method == LEARNED else {}))
    else:
        model = HistGradientBoostingRegressor(random_state=seed, **loss)
    if method == BOOSTED:
        quantizer = QuantileQuantizer(bits).fit(X_train, sample_weight=weights)
        X_train, X_test = quantizer.transform(X_train), quantizer.transform(X_test)
    return model.fit(X_train, y_train, sample_weight=weights).predict(X_test)


def measure(task, loss, method, bits, seed):
    """Fit one method on three quarters of the rows, and score it on the others.

    Parameters
    ----------
    task : Weighted
    loss : dict
        Parameters of the loss.
    method : str
        One of `METHODS`, or `TRUTH`.
    bits : int
        Per feature.
    seed : int
        Of the split and of the model.

    Returns
    -------
    dict
        error: see `error_of`.
    """
    X, y, weights = task.data.X.to_numpy(), task.data.y.to_numpy(), task.weights
    train, test = train_test_split(np.arange(len(y)), test_size=TEST_SIZE, random_state=seed)
    if method == TRUTH:
        predicted = task.rates[test]
    else:
        predicted = predict(method, loss, bits, seed, X[train], y[train], weights[train], X[test])
    return {"error": error_of(loss, y[test], predicted, weights[test])}


def compare(tasks, bits, seeds, output, *, n_jobs=1):
    """Measure all methods on all splits, except rows that the output file already holds.

    Parameters
    ----------
    tasks : list of Weighted
    bits, seeds : list of int
    output : Path
        CSV file, see `benchmarks.command.collect`.
    n_jobs : int, default=1
        Processes.

    Returns
    -------
    DataFrame
    """
    jobs = []
    for task, seed in product(tasks, seeds):
        methods = [(method, b) for method in (LEARNED, SQUARED, BOOSTED) for b in bits]
        methods += [(method, FLOAT_BITS) for method in (FLOATS, CONSTANT, *([TRUTH] if task.rates is not None else []))]
        for loss, (method, b) in product(LOSSES[task.data.name], methods):
            fit = {"method": method, "bits": b, "seed": seed}
            row = {**task.data.identity, "objective": objective_of(loss), **fit}
            jobs.append((row, measure, {"task": task, "loss": loss, **fit}))
    return collect(shuffled(jobs), KEY, COLUMNS, output, n_jobs=n_jobs, description="losses")


def table(rows):
    """Compute mean errors and their standard errors over the splits.

    Parameters
    ----------
    rows : DataFrame
        Result of `compare`, without failures.

    Returns
    -------
    DataFrame
        A row per data set, objective, method and number of bits: mean error, its standard error, and the mean and
        standard error of the difference to boosting on quantile bits on the same splits; these are the same for all
        numbers of bits of a method without bits.
    """
    cell = ["dataset", "objective", "seed"]
    boosted = rows[rows["method"] == BOOSTED]
    boosted = boosted[boosted["bits"] == boosted["bits"].max()].set_index(cell)["error"]
    rows = rows.assign(difference=rows["error"] - boosted.reindex(pd.MultiIndex.from_frame(rows[cell])).to_numpy())
    order = {method: k for k, method in enumerate((*METHODS, TRUTH))}
    means = rows.groupby(["dataset", "objective", "method", "bits"])[["error", "difference"]].agg(["mean", "sem"])
    means.columns = ["error", "standard error", "minus boosting on bits", "standard error of that"]
    return means.reset_index().sort_values(
        ["dataset", "objective", "method"], key=lambda column: column.map(order) if column.name == "method" else column
    )


def main(argv=None):
    """Run the command line."""
    parser = make_parser(
        __spec__, __doc__, "data_dir", dataset=list(LOSSES), bits=[4], seeds=range(10), n_jobs=1, output="losses.csv"
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        tasks = [load_weighted(name, arguments.data_dir) for name in arguments.dataset]
        rows = compare(tasks, arguments.bits, arguments.seeds, arguments.output, n_jobs=arguments.n_jobs)
    print_failures(rows, KEY[:5])
    print("Mean Poisson deviance or mean pinball loss of test rows, means over the splits")
    print_table(table(rows.dropna(subset="error")))


if __name__ == "__main__":
    main()
