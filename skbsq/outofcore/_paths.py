"""Tell the formats of files by their suffixes. NumPy alone."""

import os

# Suffixes of sources, and the names of their formats in pyarrow, which decompresses CSV by the suffix.
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
# What to give instead of the path, for other suffixes.
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
    """Return the format that the suffix of a path stands for, or None.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    str or None
        "npy" or a format of pyarrow.

    Examples
    --------
    >>> from skbsq.outofcore._paths import format_of
    >>> format_of("rows.NPY"), format_of("rows.csv.gz"), format_of("rows")
    ('npy', 'csv', None)
    """
    return _FORMATS.get(_suffix(os.fspath(path)))


def arrow_format(path):
    """Return the format in which pyarrow opens a path. A path with the suffix ``.npy`` is a folder here."""
    kind = format_of(path)
    return "parquet" if kind in (None, "npy") else kind


def check_source(path):
    """Refuse a path that does not exist, and a file in a format that cannot be read.

    A file without a suffix, or with an unknown suffix, may be Parquet.

    Parameters
    ----------
    path : str

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder on this machine.
    ValueError
        If the suffix stands for another format. The message names the alternative to the path.
    """
    if "://" in path:  # such as s3://bucket/rows.parquet
        return
    os.stat(path)
    suffix = _suffix(path)
    if suffix not in _FORMATS and (suffix in _WAYS_OUT or suffix.startswith(".csv.")) and not os.path.isdir(path):
        raise ValueError(f"{path!r} cannot be read: {_advice(path)}")


def unreadable(path, error):
    """Return the error for a file or folder whose content has another format than its name.

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


def _advice(path):
    """Say which suffixes can be read, and what to give instead of the path."""
    suffix, is_folder = _suffix(path), os.path.isdir(path)
    default = _FOLDER if is_folder else _PANDAS_CSV if suffix.startswith(".csv.") else _FILE
    way = _WAYS_OUT.get(suffix, default).format(path=path)
    if is_folder:
        return f"give {way}."
    shown = f"the suffix {suffix!r}" if suffix else "a name without a suffix"
    return f"{shown} is none of {', '.join(_FORMATS)}. Give {way}."


def _suffix(path):
    """Return the suffix in small letters; that of a compression unchanged, since pyarrow wants it in small letters."""
    root, end = os.path.splitext(path.rstrip("/"))
    return f".csv{end}" if root.lower().endswith(".csv") else end.lower()
