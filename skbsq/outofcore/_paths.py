"""Formats of files, by the suffixes of their names. NumPy alone."""

import os

# Suffixes of sources, and what pyarrow calls their formats. pyarrow decompresses CSV by the suffix.
_FORMATS = {
    ".npy": "npy",
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".csv.bz2": "csv",
    ".csv.lz4": "csv",
    ".feather": "feather",
    ".arrow": "ipc",
}
_PANDAS_CSV = "pandas.read_csv({path!r}, chunksize=100_000)"
_PANDAS_TSV = 'pandas.read_csv({path!r}, sep="\\t", chunksize=100_000)'
_PYARROW_JSON = 'pyarrow.dataset.dataset({path!r}, format="json")'
# What to give in place of the path, for other suffixes.
_WAYS_OUT = {
    ".npz": 'numpy.load({path!r})["name"]',
    ".tsv": _PANDAS_TSV,
    ".tab": _PANDAS_TSV,
    ".txt": _PANDAS_TSV,
    ".json": _PYARROW_JSON,
    ".jsonl": _PYARROW_JSON,
    ".ndjson": _PYARROW_JSON,
    ".orc": 'pyarrow.dataset.dataset({path!r}, format="orc")',
    ".ipc": 'pyarrow.dataset.dataset({path!r}, format="ipc")',
    ".xls": "pandas.read_excel({path!r})",
    ".xlsx": "pandas.read_excel({path!r})",
    ".pkl": "pandas.read_pickle({path!r})",
    ".pickle": "pandas.read_pickle({path!r})",
    ".h5": "pandas.read_hdf({path!r}, chunksize=100_000)",
    ".hdf5": "pandas.read_hdf({path!r}, chunksize=100_000)",
    ".zarr": "dask.array.from_zarr({path!r})",
}
_FOLDER = (
    "the list of its files, sorted(pathlib.Path({path!r}).iterdir()), or "
    'pyarrow.dataset.dataset({path!r}, format=...), with format="csv" for CSV'
)
_FILE = f"pyarrow.dataset.dataset({{path!r}}, format=...), or chunks such as {_PANDAS_CSV}"


def format_of(path):
    """Return the format that the suffix of a path names, or None.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    str or None
        "npy", or a format of pyarrow.

    Examples
    --------
    >>> from skbsq.outofcore._paths import format_of
    >>> format_of("rows.NPY"), format_of("rows.csv.gz"), format_of("rows")
    ('npy', 'csv', None)
    """
    return _FORMATS.get(_suffix(os.fspath(path)))


def arrow_format(path):
    """Return the format in which pyarrow opens a path, which is a folder where its suffix is ``.npy``."""
    kind = format_of(path)
    return "parquet" if kind in (None, "npy") else kind


def check_source(path):
    """Refuse a path that does not exist, and a file whose suffix names a format that is not read.

    A file with no suffix, or with one of which nothing is known here, may be Parquet.

    Parameters
    ----------
    path : str

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder on this machine.
    ValueError
        With what to give in place of the path.
    """
    if is_uri(path):
        return
    os.stat(path)
    suffix = _suffix(path)
    if suffix not in _FORMATS and (suffix in _WAYS_OUT or suffix.startswith(".csv.")) and not os.path.isdir(path):
        raise ValueError(f"{path!r} cannot be read: {_advice(path)}")


def unreadable(path, error):
    """Return the error for a file or folder that does not hold what its name says.

    Parameters
    ----------
    path : str
    error : Exception or str
        The reason.

    Returns
    -------
    ValueError
    """
    kind = arrow_format(path)
    if os.path.isdir(path):
        return ValueError(f"The folder {path!r} cannot be read as {kind}: {_advice(path)} ({error})")
    if format_of(path) is None:
        return ValueError(f"{path!r} is not a parquet file, and {_advice(path)} ({error})")
    return ValueError(f"{path!r} is not a {kind} file: {error}")


def is_uri(path):
    """Whether a path names a file on another store, such as ``s3://bucket/rows.parquet``."""
    return "://" in path


def _advice(path):
    """Say which suffixes are read, and what to give in place of the path."""
    suffix, is_folder = _suffix(path), os.path.isdir(path)
    default = _FOLDER if is_folder else _PANDAS_CSV if suffix.startswith(".csv.") else _FILE
    way = _WAYS_OUT.get(suffix, default).format(path=path)
    if is_folder:
        return f"give {way}."
    shown = f"the suffix {suffix!r}" if suffix else "a name without a suffix"
    return f"{shown} is none of {', '.join(_FORMATS)}. Give {way}."


def _suffix(path):
    """The suffix in small letters, except that of a compression: pyarrow knows it in small letters only."""
    root, end = os.path.splitext(path.rstrip("/"))
    return f".csv{end}" if root.lower().endswith(".csv") else end.lower()
