"""Measure work beyond memory and beyond one process: files encoded chunk by chunk, and dask over its number of workers.

Parts: disk makes files of float32 in a temporary folder and encodes each in a fresh process, once with the file dropped
from the page cache and once with the file in it, beside the rate at which `dd` reads the same file. Memory is constant
if the peak does not grow with the size. dask encodes Parquet to Parquet, and searches over bits and budgets, on
clusters of 1, 2, ... processes of one thread each. Every row has a checksum of the result.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import parallel_config
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GridSearchCV
from tqdm import tqdm

from benchmarks.arguments import add_number, add_output_dir, add_parts, make_parser
from benchmarks.command import CommandError, plain_errors, write_table
from benchmarks.processes import MB, in_fresh_process, measured, timed
from skbsq import BitwiseRegressor, Codebook
from skbsq.model_selection import dask_backend
from skbsq.outofcore import transform

BITS = 4
# Suffixes of the source and of the target, and `encode`.
CASES = [
    ("npy", "npy", "ordinal"),
    ("npy", "npy", "packed"),
    ("parquet", "parquet", "ordinal"),
    ("parquet", "parquet", "packed"),
]
CACHES = ("dropped", "warm")
_ROWS_PER_PART = 2**18


def make_rows(path, n, d):
    """Write a file of n x d normal float32 numbers, ``.npy`` or ``.parquet``, part by part."""
    rng = np.random.default_rng(0)
    sizes = (min(_ROWS_PER_PART, n - start) for start in range(0, n, _ROWS_PER_PART))
    parts = (rng.standard_normal((size, d), dtype=np.float32) for size in sizes)
    if path.suffix == ".npy":
        with open(path, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, d)}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                part.tofile(file)
            os.fsync(file.fileno())
        return
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(f"x{j}", pa.float32()) for j in range(d)])
    # The numbers hardly ever repeat, so a dictionary would be as long as they are.
    with parquet.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for part in parts:
            writer.write_table(pa.table([np.ascontiguousarray(column) for column in part.T], schema=schema))


def quantile_book(d):
    """Make a codebook at the quantiles of the rows, which are normal."""
    sample = np.random.default_rng(1).standard_normal(100_000, dtype=np.float32)
    thresholds = np.quantile(sample, np.arange(1, 2**BITS) / 2**BITS)
    return Codebook.from_thresholds([thresholds] * d, feature_names=[f"x{j}" for j in range(d)])


def set_cache(path, cache):
    """Drop a file from the page cache, or read it in."""
    with open(path, "rb", buffering=0) as file:
        if cache == "warm":
            while file.read(2**24):
                pass
        else:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def dd_seconds(path):
    """Measure the seconds of ``dd if=PATH of=/dev/null bs=1M``; None without dd."""
    if shutil.which("dd") is None:
        return None
    command = ["dd", f"if={path}", "of=/dev/null", "bs=1M"]
    return timed(partial(subprocess.run, command, check=True, stderr=subprocess.DEVNULL))[1]


def encode_file(source, target, encode, d):
    """Encode a file, in this process.

    Returns
    -------
    dict
        seconds; peak_mb, the memory at its peak above the memory held before; checksum, the sum of the codes or bytes.
    """
    book = quantile_book(d)
    # The first call of a process is slow, and loads libraries that stay in memory.
    for end in {source.suffix, target.suffix}:
        with tempfile.TemporaryDirectory() as folder:
            make_rows(Path(folder, f"few{end}"), 1000, d)
            transform(book, Path(folder, f"few{end}"), Path(folder, f"out{end}"), encode=encode)
    out, seconds, peak = measured(partial(transform, encode=encode), book, source, target)
    return {"seconds": seconds, "peak_mb": peak, "checksum": checksum(out)}


def checksum(out):
    """Sum all codes, or all bytes, of an open file, read part by part."""
    if isinstance(out, np.ndarray):
        return sum(int(out[at : at + _ROWS_PER_PART].sum(dtype=np.int64)) for at in range(0, len(out), _ROWS_PER_PART))
    columns = (column for batch in out.to_batches() for column in batch.columns)
    return sum(int(_bytes_of(column).sum(dtype=np.int64)) for column in columns)


def _bytes_of(column):
    """Return the values of a column of uint8 or of bytes."""
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width]


def measure_disk(sizes, d, folder):
    """Encode files of each size.

    Parameters
    ----------
    sizes : list of int
        Values of each file.
    d : int
        Features.
    folder : Path
        For the files, which are removed at the end.

    Yields
    ------
    dict
        A row per size, case and state of the page cache.
    """
    for values in sizes:
        for end in ("npy", "parquet"):
            source = folder / f"rows.{end}"
            make_rows(source, values // d, d)
            for case in (case for case in CASES if case[0] == end):
                for cache in CACHES:
                    yield _measure_case(source, case, cache, values, d)
            source.unlink()


def _measure_case(source, case, cache, values, d):
    target = source.with_name(f"out.{case[1]}")
    set_cache(source, cache)
    dd = dd_seconds(source)
    set_cache(source, cache)
    found = in_fresh_process(encode_file, source=source, target=target, encode=case[2], d=d)
    file_mb = source.stat().st_size / MB
    row = {
        **{"case": f"{case[0]} to {case[1]}, {case[2]}", "values": values, "cache": cache},
        **{"file_mb": file_mb, "output_mb": target.stat().st_size / MB, "seconds": found["seconds"]},
        **{"mb_per_s": file_mb / found["seconds"], "dd_mb_per_s": file_mb / dd if dd else None},
        **{"peak_mb": found["peak_mb"], "checksum": found["checksum"]},
    }
    target.unlink()
    return row


@contextmanager
def cluster_of(n_workers):
    """Start a cluster of processes of one thread, and yield its client."""
    from distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster) as client:
        client.wait_for_workers(n_workers)
        yield client


def encode_on_cluster(source, target, d):
    """Encode Parquet to Parquet, and return the sum of the codes."""
    import dask.dataframe as dd
    from pyarrow.dataset import dataset

    transform(quantile_book(d), dd.read_parquet(source)).to_parquet(target, write_index=False)
    return checksum(dataset(target))


def search_on_cluster(rows, epochs):
    """Search over bits and budgets, and return the sum of the scores."""
    torch.set_num_threads(1)  # with one worker joblib works in this process, on one thread as well
    X, y = make_friedman1(rows, random_state=0)
    model = BitwiseRegressor(max_epochs=epochs, init="quantile", random_state=0)
    search = GridSearchCV(model, {"n_bits": [2, 3, 4], "bit_budget": [None, 15]}, cv=4, refit=False)
    with parallel_config(backend=dask_backend(shared=[X, y])):
        search.fit(X, y)
    return float(search.cv_results_["mean_test_score"].sum())


def measure_dask(workers, values, d, rows, epochs, folder):
    """Measure the same jobs on clusters of several sizes.

    Parameters
    ----------
    workers : list of int
    values : int
        Values to encode, in files of equal size.
    d : int
        Features.
    rows : int
        Of the search.
    epochs : int
        Of its fits.
    folder : Path

    Yields
    ------
    dict
        A row per number of workers and kind of work.
    """
    source = folder / "lake"
    source.mkdir()
    n_files = 4 * max(workers)
    for i in range(n_files):
        make_rows(source / f"part{i:03}.parquet", max(1, values // d // n_files), d)
    for n_workers in workers:
        jobs = {
            "encode Parquet": partial(encode_on_cluster, source, folder / "codes", d),
            "GridSearchCV": partial(search_on_cluster, rows, epochs),
        }
        with cluster_of(n_workers) as client:
            client.run(_warm_up)
            for job, work in jobs.items():
                result, seconds = timed(work)
                yield {"job": job, "workers": n_workers, "seconds": seconds, "checksum": result}
        shutil.rmtree(folder / "codes")


def _warm_up():
    """Import what a worker needs, so that the imports are not timed."""
    import dask.dataframe  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    make_friedman1(10)
    BitwiseRegressor(1, max_epochs=1, init="quantile").fit(*make_friedman1(20))


def with_speedup(table):
    """Add the speedup of each number of workers over the first one."""
    first = table.groupby("job", sort=False)["seconds"].transform("first")
    return table.assign(speedup=first / table["seconds"])[["job", "workers", "seconds", "speedup", "checksum"]]


def parse(argv):
    """Parse the command line."""
    parser = make_parser(__spec__, __doc__)
    add_parts(parser, ["disk", "dask"])
    add_number(parser, "--values", [10**8, 10**9], "of each file of disk, made one after the other; 1e9 are 4 GB")
    add_number(parser, "--features", 20, "of all files")
    add_number(parser, "--workers", [1, 2], "of dask")
    add_number(parser, "--dask-values", 10**8, "to encode")
    add_number(parser, "--rows", 2000, "of the search")
    add_number(parser, "--epochs", 5, "of the fits of the search")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="for the files (default: the temporary folder)")
    add_output_dir(parser, "scale_disk.csv and scale_dask.csv")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the command line."""
    arguments = parse(argv)
    d = arguments.features
    with plain_errors(), tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if "disk" in arguments.parts:
            _check_room(folder, max(arguments.values))
            rows = measure_disk(arguments.values, d, Path(folder))
            total = len(arguments.values) * len(CASES) * len(CACHES)
            table = pd.DataFrame(tqdm(rows, total=total, desc="disk", unit="case"))
            write_table(table, arguments.output_dir / "scale_disk.csv")
            print("mb_per_s: of the source file; dd_mb_per_s: dd on this file, in the same state of the page cache;")
            print("peak_mb: memory above the memory held before; checksum: sum of all codes or bytes")
        if "dask" in arguments.parts:
            rows = measure_dask(
                arguments.workers, arguments.dask_values, d, arguments.rows, arguments.epochs, Path(folder)
            )
            table = with_speedup(pd.DataFrame(tqdm(rows, total=2 * len(arguments.workers), desc="dask", unit="job")))
            write_table(table, arguments.output_dir / "scale_dask.csv")
            print(f"workers: processes of one thread, on {os.cpu_count()} cores; speedup: over the first row of a job")


def _check_room(folder, values):
    needed, free = 1.5 * 4 * values / 1e9, shutil.disk_usage(folder).free / 1e9
    if needed > free:
        raise CommandError(f"The files need {needed:.1f} GB, {free:.1f} GB are free: see --values and --folder.")


if __name__ == "__main__":
    main()
