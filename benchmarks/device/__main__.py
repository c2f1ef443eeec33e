"""What a codebook costs on a microcontroller: flash, RAM and instructions per row on two Cortex-M cores.

Each encoder is linked into a small program for the core, once with the encoder and once with an empty function in its
place: the difference is what it costs, library routines included (soft floating point, memset). The very same program
then runs under qemu, which counts instructions. It writes all codes, and they are compared with those of NumPy.

Beside skbsq stand the nearest jobs of two generators of C, on the same thresholds: for each feature a decision tree
whose leaves are the codes. They leave one byte per code; skbsq packs the row. Both are called as they come: emlearn
returns a float and m2cgen reads and returns doubles, which it is given. Where they are not installed they are left
out: pip install emlearn m2cgen

Needs arm-none-eabi-gcc with newlib, and qemu-arm. On Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-user
"""

import argparse
import importlib.util
import re
import shutil
import tempfile
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from benchmarks.command import CommandError, add_output_dir, make_parser, plain_errors, print_table
from benchmarks.device.chips import CORES, SIZES, TOOLS, measure, output_of
from benchmarks.device.encoders import RIVALS, make_job, ours


def check_tools():
    """Raise a `CommandError` that names the packages of what is absent."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        packages = " ".join(dict.fromkeys(TOOLS[tool] for tool in absent))
        raise CommandError(f"There is no {' and no '.join(absent)}. On Debian: apt install {packages}")


def version_of(tool):
    return re.search(r"\d+\.\d+\.\d+", output_of(tool, "--version"))[0]


def size(text):
    """Argument type: features x bits."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not 1 <= int(match[1]) <= 1000 or not 1 <= int(match[2]) <= 8:
        raise argparse.ArgumentTypeError(f"must be FEATURESxBITS, such as 20x8, with up to 8 bits, got {text!r}")
    return int(match[1]), int(match[2])


def parse(argv):
    """The arguments of the command."""
    parser = make_parser(__spec__, __doc__)
    parser.add_argument(
        "--sizes", type=size, nargs="+", default=SIZES, metavar="DxB", help="features x bits (default: 8x2 ... 81x4)"
    )
    parser.add_argument("--cores", nargs="+", default=list(CORES), choices=CORES, metavar="CORE", help="of %(choices)s")
    add_output_dir(parser, "device.csv")
    return parser.parse_args(argv)


def main(argv=None):
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
            for core in arguments.cores:
                for encoder in (encoder for maker in makers for encoder in maker(job)):
                    with tempfile.TemporaryDirectory() as folder:
                        measured = measure(job, core, encoder, Path(folder))
                    rows.append(
                        {"features": n_features, "bits": bits, "core": core, "encoder": encoder.name} | measured
                    )
                    if encoder.packed and measured["exact"] != 1:
                        raise CommandError(f"{encoder.name} gives other codes than NumPy on {core}: {rows[-1]}")
    table = pd.DataFrame(rows)
    table["gcc"] = version_of("arm-none-eabi-gcc")
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output_dir / "device.csv", index=False)
    print_table(table)
    print("flash, ram (variables), stack, out_bytes (a row): bytes; instructions: per row, counted by qemu;")
    print("exact: share of codes that are NumPy's, over random values, thresholds and the floats beside them")


if __name__ == "__main__":
    main()
