"""Measure the cost of a codebook on a microcontroller: flash, RAM and time per row on two Cortex-M cores and an AVR.

Each encoder is linked into a small program for the core, once with the encoder and once with an empty function in its
place. The difference is the cost, including library routines (soft floating point, memset). The same program then runs
under qemu, which counts instructions, or in simavr, which counts cycles. It writes all codes, which are compared with
those of NumPy.

For comparison, two generators of C solve the nearest task on the same thresholds: for each feature a decision tree
whose leaves are the codes. They write one byte per code; skbsq packs the row. Both are used unchanged: emlearn returns
a float, and m2cgen reads and returns doubles. A generator that is not installed is left out: pip install emlearn m2cgen

Needs arm-none-eabi-gcc with newlib, and qemu-arm; for AVR avr-gcc and simavr. On Debian: gcc-arm-none-eabi
libnewlib-arm-none-eabi qemu-user gcc-avr avr-libc simavr
"""

import importlib.util
import tempfile
from itertools import product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from benchmarks.arguments import add_output_dir, make_parser
from benchmarks.command import CommandError, plain_errors, write_table
from benchmarks.device import avr, chips
from benchmarks.device.chips import CORES, SIZES, add_chips, check_tools, gcc_version
from benchmarks.device.encoders import RIVALS, make_job, ours

COLUMNS = ["features", "bits", "core", "encoder", "flash", "ram", "stack", "instructions", "cycles", "out_bytes"]
COLUMNS += ["exact", "gcc"]


def parse(argv):
    """Parse the command line."""
    parser = make_parser(__spec__, __doc__)
    add_chips(parser, SIZES, (*CORES, avr.CHIP))
    add_output_dir(parser, "device.csv")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the command line."""
    arguments = parse(argv)
    with plain_errors():
        needed = {}
        for core in arguments.cores:
            needed |= avr.TOOLS if core == avr.CHIP else chips.TOOLS
        check_tools(needed)
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
                    row |= _measure(job, core, encoder, Path(folder))
                if encoder.packed and row.get("exact", 1) != 1:
                    raise CommandError(f"{encoder.name} gives other codes than NumPy on {core}: {row}")
                rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("flash", "ram", "stack"), "Int64"))
    write_table(table, arguments.output_dir / "device.csv")
    print("flash, ram (variables), stack, out_bytes (a row): bytes; instructions: per row, counted by qemu;")
    print("cycles: per row, counted by simavr; only out_bytes: the encoder does not fit into the chip")
    print("exact: share of codes that are NumPy's, over random values, thresholds and the floats next to them")


def _measure(job, core, encoder, folder):
    if core == avr.CHIP:
        return avr.measure(job, encoder, folder) | {"gcc": gcc_version("avr-gcc")}
    return chips.measure(job, core, encoder, folder) | {"gcc": gcc_version()}


if __name__ == "__main__":
    main()
