"""Rows as the commands of `benchmarks.paper` store them, for tables that can be checked by hand."""

import pandas as pd


def stored_rows(columns, errors, dataset="fried", n_features=10, **constants):
    """Make rows of a command.

    Parameters
    ----------
    columns : list of str
        Columns of the command.
    errors : dict
        Errors on the splits 42, 43, ... by method and bits per feature.
    dataset : str, default="fried"
    n_features : int, default=10
    **constants
        Further columns.
    """
    rows = [
        {
            **{"dataset": dataset, "method": method, "bits": bits, "seed": 42 + i, "error": error},
            **{"row_bits": n_features * bits, "asked": n_features * bits, "float_bits": 32 * n_features},
            **{"data_sha256": "00e1", "training": "{}", **constants},
        }
        for (method, bits), values in errors.items()
        for i, error in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=columns)
