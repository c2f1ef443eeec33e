"""Measure the cost of a codebook on a microcontroller: flash, RAM and instructions per row on two Cortex-M cores.

Each encoder is linked into a small program for the core, once with the encoder and once with an empty function in its
place. The difference is the cost, including library routines (soft floating point, memset). The same program then runs
under qemu, which counts instructions. It writes all codes, which are compared with those of NumPy.

For comparison, two generators of C solve the nearest task on the same thresholds: for each feature a decision tree
whose leaves are the codes. They write one byte per code; skbsq packs the row. Both are used unchanged: emlearn returns
a float, and m2cgen reads and returns doubles. A generator that is not installed is left out: pip install emlearn m2cgen

Needs arm-none-eabi-gcc with newlib, and qemu-arm. On Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-user
"""

import importlib.util
import tempfile
from itertools import product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from benchmarks.arguments import add_output_dir, make_parser
from benchmarks.command import CommandError, plain_errors, write_table
from benchmarks.device.chips import SIZES, add_chips, check_tools, gcc_version, measure
from benchmarks.device.encoders import RIVALS, make_job, ours


def parse(argv):
    """Parse the command line."""
    parser = make_parser(__spec__, __doc__)
    add_chips(parser, SIZES)
    add_output_dir(parser, "device.csv")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the command line."""
    arguments = parse(argv)
    with plain_errors():
        check_tools()
        makers = [ours]
        for package, rival in RIVALS.items():
            if importlib.util.find_spec(package):
                makers.append(rival)
            else:
                print(f"left out: {package}, which is not installed (pip install {package})")
        rows = []
        for n_features, bits in tqdm(arguments.sizes, desc="device", unit="codebook"):
            job = make_job(n_features, bits)
            encoders = [encoder for maker in makers for encoder in maker(job)]
            for core, encoder in product(arguments.cores, encoders):
                row = {"features": n_features, "bits": bits, "core": core, "encoder": encoder.name}
                with tempfile.TemporaryDirectory() as folder:
                    row |= measure(job, core, encoder, Path(folder))
                if encoder.packed and row["exact"] != 1:
                    raise CommandError(f"{encoder.name} gives other codes than NumPy on {core}: {row}")
                rows.append(row)
    write_table(pd.DataFrame(rows).assign(gcc=gcc_version()), arguments.output_dir / "device.csv")
    print("flash, ram (variables), stack, out_bytes (a row): bytes; instructions: per row, counted by qemu;")
    print("exact: share of codes that are NumPy's, over random values, thresholds and the floats next to them")


if __name__ == "__main__":
    main()
