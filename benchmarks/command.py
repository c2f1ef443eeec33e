"""What the commands share: arguments, errors in one sentence, work with a progress bar, tables."""

import argparse
import io
import json
import platform
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

# What a stored row was measured with.
VERSIONS = " ".join(
    [f"python {platform.python_version()}"]
    + [f"{name} {version(name)}" for name in ("skbsq", "numpy", "torch", "skorch", "scikit-learn")]
)
# Columns that pandas would read as numbers.
_TEXTS = dict.fromkeys(("data_sha256", "seeds", "variant", "python", "numpy", "torch"), str)


class CommandError(ValueError):
    """What a command cannot do, said in one sentence for whoever typed it."""


@contextmanager
def plain_errors():
    """Print a `CommandError` as its sentence and exit with status 2, without a traceback."""
    try:
        yield
    except CommandError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def make_parser(spec, description):
    """Make the parser of a command.

    Parameters
    ----------
    spec : ModuleSpec
        ``__spec__`` of the module of the command.
    description : str
        ``__doc__`` of that module.

    Returns
    -------
    ArgumentParser
    """
    name = spec.name.removesuffix(".__main__")
    layout = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog=f"python -m {name}", description=description, formatter_class=layout)


def add_data_dir(parser: argparse.ArgumentParser):
    """Add the argument ``--data-dir``."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of the <name>.csv.gz files; without it the variable SKBSQ_DATA_DIR, and without that a download",
    )


def add_output(parser: argparse.ArgumentParser, name):
    """Add the argument ``--output``, the CSV file that a rerun goes on from."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(name),
        metavar="CSV",
        help="append each row here once measured; a rerun skips the rows it finds (default: %(default)s)",
    )


def add_output_dir(parser: argparse.ArgumentParser, files):
    """Add the argument ``--output-dir``, the folder of the named files."""
    parser.add_argument(
        "--output-dir", type=Path, default=Path("out"), metavar="DIR", help=f"of {files} (default: %(default)s)"
    )


def add_seeds(parser: argparse.ArgumentParser, default=(42, 43, 44)):
    """Add the argument ``--seeds``."""
    parser.add_argument("--seeds", type=int, nargs="+", default=default, metavar="SEED", help="one per split")


def add_n_jobs(parser: argparse.ArgumentParser):
    """Add the argument ``--n-jobs``."""
    parser.add_argument("--n-jobs", type=int, default=1, metavar="N", help="processes (default: %(default)s)")


def add_threads(parser: argparse.ArgumentParser):
    """Add the argument ``--threads``."""
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of torch (default: its own choice)")


def positive(text):
    """Argument type: an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def run_jobs(function, jobs, *, n_jobs=1, description=None):
    """Call a function for every job, under one progress bar.

    Parameters
    ----------
    function : callable
    jobs : list of dict
        Keyword arguments of each call.
    n_jobs : int, default=1
        Processes; more than one share the cores between them.
    description : str, default=None
        Stands before the bar.

    Yields
    ------
    object
        Results as they come, not in the order of the jobs.
    """
    results = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(delayed(function)(**job) for job in jobs)
    yield from tqdm(results, total=len(jobs), desc=description, unit="fit")


def print_table(table: pd.DataFrame):
    """Print a table with four significant digits; what does not apply is a dash."""
    print(table.to_string(index=False, float_format="{:.4g}".format, na_rep="-"))


def as_text(training):
    """Write parameters as text, which is equal for equal parameters."""
    return json.dumps(training, sort_keys=True)


def read_rows(path, columns):
    """Read the rows that earlier runs have appended to a CSV file.

    Parameters
    ----------
    path : Path
    columns : list of str

    Returns
    -------
    DataFrame
        With these columns; empty where there is no file yet.

    Raises
    ------
    CommandError
        If the file holds something else.
    """
    text = path.read_text() if path.exists() else ""
    header, _, rows = text.partition("\n")
    if text and header != ",".join(columns):
        raise CommandError(f"{path} holds no results of this command: choose another output.")
    whole = rows[: rows.rfind("\n") + 1]  # the last row may be cut off
    return pd.read_csv(io.StringIO(f"{header}\n{whole}"), dtype=_TEXTS) if whole else pd.DataFrame(columns=columns)


def _drop_cut_row(path):
    """Take away a last row that was not written to its end, by a run that was killed or had no room."""
    with path.open("rb+") as file:
        if not file.seek(0, io.SEEK_END):
            return
        file.seek(-1, io.SEEK_END)
        if file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def append_row(path, columns, row):
    """Append a row to a CSV file, below a header if it is the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _drop_cut_row(path)
    first = not path.exists() or path.stat().st_size == 0
    pd.DataFrame([row], columns=columns).to_csv(path, mode="a", header=first, index=False)


def shuffled(jobs):
    """Jobs in random order, always the same: the time left is then told from jobs of every kind."""
    return [jobs[i] for i in np.random.default_rng(0).permutation(len(jobs))]


def collect(jobs, key, columns, output, *, n_jobs=1, description=None):
    """Do what a CSV file does not hold yet, and append each row to it as soon as it is known.

    Parameters
    ----------
    jobs : list of (dict, callable, dict)
        What is known of a row beforehand, its key included; and a function with its keyword arguments that returns
        the rest.
    key : list of str
        Columns that tell a row from all others.
    columns : list of str
        If "failure" is among them, a function that fails does not end the run: its row says why and has no error, and
        the next run tries it again.
    output : Path or None
    n_jobs : int, default=1
        Processes.
    description : str, default=None
        Stands before the progress bar.

    Returns
    -------
    DataFrame
        A row per job, those of earlier runs first.
    """
    stored = read_rows(output, columns) if output else pd.DataFrame(columns=columns)
    stored = stored.drop_duplicates(key, keep="last")
    if "error" in columns:
        stored = stored[stored["error"].notna()]
    finished = dict(zip(stored[key].itertuples(index=False, name=None), stored.to_dict("records"), strict=True))
    rows, waiting = [], []
    asked = set()
    for row, function, arguments in jobs:
        cell = tuple(row[name] for name in key)
        if cell in asked:
            continue
        asked.add(cell)
        if known := finished.get(cell):
            rows.append(known)
        else:
            waiting.append({"row": row, "function": function, "arguments": arguments})
    do = _attempt if "failure" in columns else _do
    for row in run_jobs(do, waiting, n_jobs=n_jobs, description=description):
        rows.append(row)
        if output:
            append_row(output, columns, row)
    return pd.DataFrame(rows, columns=columns)


def _do(row, function, arguments):
    return {**function(**arguments), **row}  # the key stays as it is


def _attempt(row, function, arguments):
    try:
        return _do(row, function, arguments)
    except Exception as error:
        return {**row, "failure": f"{type(error).__name__}: {error}".partition("\n")[0]}
