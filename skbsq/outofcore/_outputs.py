"""Write results to files, with atomic writes."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from skbsq._files import atomic_write
from skbsq.outofcore import _arrow
from skbsq.outofcore._paths import format_of

# Longest text in the metadata of a Parquet file. Readers refuse more than 100 MB, and the file holds the text twice.
_MAX_METADATA = 2**24


def check_output(path):
    """Refuse an output that cannot be written, before anything is read."""
    if format_of(path) not in ("npy", "parquet"):
        raise ValueError(
            f"output must end with .npy or .parquet, got {str(path)!r}. For another format leave output out, and write "
            "the chunks of the iterator yourself."
        )
    if not Path(path).parent.is_dir():
        raise ValueError(f"There is no folder {str(Path(path).parent)!r} for the output.")
    if Path(path).is_dir():
        raise ValueError(f"output {str(path)!r} is a folder: give the name of a file.")


def write(path, results, work):
    """Write results chunk by chunk, and open the file.

    Parameters
    ----------
    path : str or path-like
        Path that passed `check_output`.
    results : iterator of (ndarray, list of str, pyarrow.Table or None)
        Results, the names of their columns, and the columns of the source to keep; at least one item.
    work : Encode or Call

    Returns
    -------
    memmap or pyarrow.dataset.Dataset
    """
    npy = format_of(path) == "npy"
    with atomic_write(path) as part:
        if npy:
            _write_npy(part, results)
        else:
            _write_parquet(part, results, work)
    return np.load(path, mmap_mode="r") if npy else _arrow.dataset(path)


def _write_npy(path, results):
    with open(path, "wb") as file:
        n, form = 0, None
        for out, *_ in results:
            if form is None:
                form = out.dtype, out.shape[1:]
                _write_header(file, 0, *form)
            if form != (out.dtype, out.shape[1:]):
                raise ValueError(f"A chunk is {out.dtype} of {out.shape}, the first {form[0]} of (n, *{form[1]}).")
            np.ascontiguousarray(out).tofile(file)  # tofile is slow for other arrays
            n += len(out)
        # The number of rows is known only now. NumPy leaves room for it in the header.
        file.seek(0)
        _write_header(file, n, *form)


def _write_header(file, n, dtype, tail):
    if dtype.hasobject:
        raise ValueError("A .npy file cannot hold results of type object: write .parquet, or leave output out.")
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n, *tail)}
    np.lib.format.write_array_header_1_0(file, header)


def _write_parquet(path, results, work):
    _arrow.pyarrow_for("A .parquet file")
    from pyarrow import parquet

    writer = None
    with ExitStack() as stack:
        for out, names, kept in results:
            table = _arrow.to_table(out, names, work.packed, kept, work.kinds)
            if writer is None:
                fits = max(map(len, work.metadata.values()), default=0) <= _MAX_METADATA
                schema = table.schema.with_metadata(work.metadata if fits else {})
                writer = stack.enter_context(parquet.ParquetWriter(path, schema))
            writer.write_table(_with_schema(table, schema))


def _with_schema(table, schema):
    """Cast a table to the schema of the file, which is that of the first chunk."""
    import pyarrow as pa

    try:
        return table.cast(schema)
    except pa.ArrowException as error:
        changed = next(field for field in table.schema if field.type != schema.field(field.name).type)
        raise ValueError(
            f"The column {changed.name!r} is {changed.type} in a chunk, but {schema.field(changed.name).type} in the "
            f"first: cast it to one type first. ({error})"
        ) from error
