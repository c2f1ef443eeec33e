"""Helpers that the commands share: errors in one sentence, tables, runs that resume."""

import io
import json
import os
import platform
import sys
from contextlib import contextmanager
from importlib.metadata import version
from itertools import product

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

# Stored with each row: the versions that measured it.
VERSIONS = " ".join(
    [f"python {platform.python_version()}"]
    + [f"{name} {version(name)}" for name in ("skbsq", "numpy", "torch", "skorch", "scikit-learn")]
)
# Columns that pandas would otherwise read as numbers.
_TEXT_COLUMNS = dict.fromkeys(("data_sha256", "seeds", "variant", "python", "numpy", "torch"), str)


class CommandError(ValueError):
    """A reason why a command cannot run, as one sentence for the user."""


@contextmanager
def plain_errors():
    """Print a `CommandError` as its sentence and exit with status 2, without a traceback."""
    try:
        yield
    except CommandError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


# -- tables ----------------------------------------------------------------------------------------------------------


def print_table(table: pd.DataFrame):
    """Print a table with four significant digits, and a dash for what does not apply."""
    print(table.to_string(index=False, float_format="{:.4g}".format, na_rep="-"))


def as_markdown(lines):
    """Write a table of texts, whose first line is its head, in Markdown."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rest))


def print_failures(rows: pd.DataFrame, columns):
    """Print the rows that failed, if there are any: these columns, and the reason."""
    failed = rows[rows["error"].isna()]
    if len(failed):
        print_table(failed[[*columns, "failure"]])


def write_table(table: pd.DataFrame, path):
    """Write a table to a CSV file, and print it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    print_table(table)


# -- runs that resume ------------------------------------------------------------------------------------------------


def as_text(training):
    """Write parameters as text, which is equal for equal parameters."""
    return json.dumps(training, sort_keys=True)


def read_rows(path, columns):
    """Read the rows that earlier runs appended to a CSV file.

    Parameters
    ----------
    path : Path
    columns : list of str

    Returns
    -------
    DataFrame
        With these columns; empty if the file does not exist.

    Raises
    ------
    CommandError
        If the file has other columns.
    """
    text = path.read_text() if path.exists() else ""
    header, _, rows = text.partition("\n")
    if text and header != ",".join(columns):
        raise CommandError(f"{path} holds no results of this command: choose another output.")
    complete = rows[: rows.rfind("\n") + 1]  # an interrupted run may leave half a row at the end
    if not complete:
        return pd.DataFrame(columns=columns)
    return pd.read_csv(io.StringIO(f"{header}\n{complete}"), dtype=_TEXT_COLUMNS)


def append_row(path, columns, row):
    """Append a row to a CSV file, after the header if it is the first, and in place of an incomplete last row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = path.read_bytes() if path.exists() else b""
    complete = stored.rfind(b"\n") + 1
    if complete < len(stored):
        os.truncate(path, complete)
    pd.DataFrame([row], columns=columns).to_csv(path, mode="a", header=not complete, index=False)


def jobs_of(function, fits, seeds):
    """List the jobs of fits of a method on a data set, on every seed.

    Parameters
    ----------
    function : callable
        It takes data, method, bits and seed.
    fits : list of (Dataset, str, int)
        Data set, method and bits.
    seeds : iterable of int

    Returns
    -------
    list of (dict, callable, dict)
        See `collect`.
    """
    jobs = []
    for seed, (dataset, method, bits) in product(seeds, fits):
        fit = {"method": method, "bits": bits, "seed": seed}
        jobs.append(({**dataset.identity, **fit}, function, {"data": dataset, **fit}))
    return jobs


def shuffled(jobs):
    """Shuffle the jobs of each seed, always in the same way.

    Each seed is finished before the next one starts, so an interrupted run leaves complete splits. Within a seed, the
    progress bar estimates the remaining time from jobs of every kind.

    Parameters
    ----------
    jobs : list of (dict, callable, dict)
        See `collect`.

    Returns
    -------
    list
    """
    order = np.random.default_rng(0).permutation(len(jobs))
    return sorted((jobs[i] for i in order), key=lambda job: job[0].get("seed", 0))


def collect(jobs, key, columns, output=None, *, n_jobs=1, description=None):
    """Run the jobs whose rows a CSV file does not hold yet, and append each row as soon as it is known.

    Parameters
    ----------
    jobs : list of (dict, callable, dict)
        What is known of a row beforehand, including its key; a function that returns the rest; its keyword arguments.
    key : list of str
        Columns that identify a row. A key that occurs twice is measured once.
    columns : list of str
        With "versions", each row stores `VERSIONS`, unless a job gives others. With "failure", a function that raises
        does not end the run: its row stores the reason and no error, and the next run tries it again.
    output : Path, default=None
        The CSV file. None: nothing is stored or resumed.
    n_jobs : int, default=1
        Processes, which share the cores.
    description : str, default=None
        Text before the progress bar.

    Returns
    -------
    DataFrame
        A row per job, first those of earlier runs.
    """
    stored = read_rows(output, columns) if output else pd.DataFrame(columns=columns)
    stored = stored.drop_duplicates(key, keep="last")
    if "error" in columns:
        stored = stored[stored["error"].notna()]
    finished = dict(zip(stored[key].itertuples(index=False, name=None), stored.to_dict("records"), strict=True))
    by_key = {tuple(row[name] for name in key): (row, *work) for row, *work in jobs}
    rows = [finished[identity] for identity in by_key if identity in finished]
    waiting = [job for identity, job in by_key.items() if identity not in finished]
    run = delayed(_run_job)
    calls = (run({"versions": VERSIONS, **row}, *work, "failure" in columns) for row, *work in waiting)
    results = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(calls)
    for row in tqdm(results, total=len(waiting), desc=description, unit="fit"):
        rows.append(row)
        if output:
            append_row(output, columns, row)
    return pd.DataFrame(rows, columns=columns)


def _run_job(row, function, arguments, keep_failures):
    """Add the result of the function to the row, or the reason why it failed."""
    try:
        return {**function(**arguments), **row}
    except Exception as error:
        if not keep_failures:
            raise
        return {**row, "failure": f"{type(error).__name__}: {error}".partition("\n")[0]}
