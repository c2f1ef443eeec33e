"""What the commands share: arguments, errors in one sentence, work with a progress bar, tables."""

import argparse
import sys
from contextlib import contextmanager

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm


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


def add_data_dir(parser: argparse.ArgumentParser):
    """Add the argument ``--data-dir``."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of the <name>.csv.gz files; without it the variable SKBSQ_DATA_DIR, and without that a download",
    )


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


def read_rows(path, columns, *, dtype=None):
    """Read the rows that earlier runs have appended to a CSV file.

    Parameters
    ----------
    path : Path
    columns : list of str
    dtype : dict, default=None
        Types of the columns that pandas would guess wrongly.

    Returns
    -------
    DataFrame
        With these columns; empty where there is no file yet.

    Raises
    ------
    CommandError
        If the file holds something else.
    """
    if not path.exists() or path.stat().st_size == 0:
        return pd.DataFrame(columns=columns)
    with path.open() as file:
        header = file.readline().rstrip("\n")
    if header != ",".join(columns):
        raise CommandError(f"{path} holds no results of this command: choose another output.")
    return pd.read_csv(path, dtype=dtype)


def append_row(path, columns, row):
    """Append a row to a CSV file, below a header if it is the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = not path.exists() or path.stat().st_size == 0
    pd.DataFrame([row], columns=columns).to_csv(path, mode="a", header=first, index=False)
