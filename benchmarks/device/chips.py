"""Build an encoder for a Cortex-M core, run it in an emulator, and measure its cost."""

import argparse
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.command import CommandError
from benchmarks.device.encoders import RANDOM, Encoder
from skbsq.codec import dumps

TOOLS = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "arm-none-eabi-nm": "binutils-arm-none-eabi",
    "qemu-arm": "qemu-user",
}
CORES = {
    "cortex-m0plus": ("-mcpu=cortex-m0plus", "-mthumb"),
    "cortex-m4": ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
}
LINK = ("-nostartfiles", "-static", "--specs=nano.specs", "-Wl,--gc-sections")
OPTIMIZE = ("-Os", "-ffunction-sections", "-fdata-sections")
# A core with the instructions of both. For it, qemu runs a program without an operating system.
EMULATOR = ("qemu-arm", "-cpu", "cortex-a15")

# Features and bits of the codebooks.
SIZES = [(8, 2), (8, 4), (20, 6), (20, 8), (40, 4), (81, 4)]
# Numbers of rows. The cost per row comes from their difference, which leaves out work that is done once.
FEW, MANY = 4, RANDOM
# Rows whose codes are compared.
COMPARED = 1000
# Rows whose messages are compared.
MESSAGES = 100

# Reads rows from the standard input, and writes the output of `encode` for each, then the depth of its stack. System
# calls of Linux replace the input and output of a board.
HARNESS = """\
#include "encoder.h"

#define PAINTED 2048

void encode(const value_t *x, uint8_t *out);

/* One variable, so that no padding between several depends on the encoder. */
static struct {
    value_t x[VALUES];
    uint32_t depth;
    uint8_t out[OUT_BYTES];
} io;

static long call(long number, long a, const void *b, long c)
{
    register long r7 __asm__("r7") = number;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = (long)b;
    register long r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
    return r0;
}

/* Paints the memory below the stack, encodes, and finds how much of the paint is overwritten. */
static void __attribute__((noinline)) encode_on_paint(void)
{
    volatile uint8_t *top;
    int i;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (i = 1; i <= PAINTED; ++i)
        top[-i] = 0x5A;
    encode(io.x, io.out);
    for (i = PAINTED; i > 0 && top[-i] == 0x5A; --i)
        ;
    io.depth = (uint32_t)i;
}

void _start(void)
{
    int first = 1;
    while (call(3, 0, io.x, sizeof io.x) == (long)sizeof io.x) {
        if (first)
            encode_on_paint();
        else
            encode(io.x, io.out);
        first = 0;
        call(4, 1, io.out, sizeof io.out);
    }
    call(4, 1, &io.depth, 4);
    call(1, 0, 0, 0);
}
"""

EMPTY = """\
#include "encoder.h"
void encode(const value_t *x, uint8_t *out);
void encode(const value_t *x, uint8_t *out) { (void)x; (void)out; }
"""


# -- arguments of the commands -----------------------------------------------------------------------------------------


def check_tools(tools=TOOLS):
    """Raise a `CommandError` that names the missing tools and their packages."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        packages = " ".join(dict.fromkeys(tools[tool] for tool in missing))
        raise CommandError(f"There is no {' and no '.join(missing)}. On Debian: apt install {packages}")


def size(text):
    """Argument type: features x bits."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not 1 <= int(match[1]) <= 1000 or not 1 <= int(match[2]) <= 8:
        raise argparse.ArgumentTypeError(f"must be FEATURESxBITS, such as 20x8, with up to 8 bits, got {text!r}")
    return int(match[1]), int(match[2])


def add_chips(parser, sizes, cores=tuple(CORES)):
    """Add the sizes of codebooks and the cores."""
    shown = f"{'x'.join(map(str, sizes[0]))} ... {'x'.join(map(str, sizes[-1]))}"
    parser.add_argument(
        "--sizes", type=size, nargs="+", default=sizes, metavar="DxB", help=f"features x bits (default: {shown})"
    )
    parser.add_argument("--cores", nargs="+", default=list(cores), choices=cores, metavar="CORE", help="of %(choices)s")


def gcc_version(compiler="arm-none-eabi-gcc"):
    """Return the version of a cross compiler."""
    return re.search(r"\d+\.\d+\.\d+", output_of(compiler, "--version"))[0]


# -- building and running --------------------------------------------------------------------------------------------


def build(folder, core, encoder, source):
    """Link the harness and the C of an encoder.

    Parameters
    ----------
    folder : Path
    core : str
        Of `CORES`.
    encoder : Encoder
    source : str
        Source of the encoder, or `EMPTY`.

    Returns
    -------
    Path
    """
    folder.mkdir(parents=True)
    (folder / "encoder.h").write_text(
        f"#include <stdint.h>\ntypedef {encoder.value_type} value_t;\n"
        f"#define VALUES {encoder.n_values}\n#define OUT_BYTES {encoder.out_bytes}\n"
    )
    (folder / "harness.c").write_text(HARNESS)
    (folder / "encoder.c").write_text('#include "encoder.h"\n' + source)
    program = folder / "program"
    done = subprocess.run(
        ["arm-none-eabi-gcc", *CORES[core], *OPTIMIZE, *LINK, "-o", program, "harness.c", "encoder.c"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"{encoder.name} does not compile for {core}:\n{done.stderr}")
    return program


def memory(program):
    """Measure bytes of flash (code and constants) and of RAM (variables) of a program."""
    sizes = output_of("arm-none-eabi-size", program).splitlines()[1].split()
    symbols = [line.split() for line in output_of("arm-none-eabi-nm", "--print-size", program).splitlines()]
    ram = sum(int(symbol[1], 16) for symbol in symbols if len(symbol) == 4 and symbol[2] in "bBdD")
    return int(sizes[0]) + int(sizes[1]), ram


def output_of(*command):
    """Run a command, and return its output."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def _as_file(values):
    """Open a file of the values; from a pipe, the harness might read half a row."""
    with tempfile.TemporaryFile() as file:
        file.write(values.tobytes())
        file.seek(0)
        yield file


def run(program, values):
    """Return the output of a program for rows of values."""
    with _as_file(values) as file:
        return subprocess.run([*EMULATOR, program], stdin=file, stdout=subprocess.PIPE, check=True).stdout


def instructions(program, values):
    """Count the instructions of a program for rows of values: qemu logs each of them."""
    command = [*EMULATOR, "-singlestep", "-d", "exec,nochain", program]
    with (
        _as_file(values) as file,
        subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process,
    ):
        count, last = 0, b""
        for last in process.stderr:
            count += last.startswith(b"Trace")
    if process.returncode:  # an emulator without these options would count no instruction
        raise CommandError(f"{command[0]} failed: {last.decode(errors='replace').strip()}")
    return count


def measure(job, core, encoder, folder):
    """Measure one encoder on one core.

    Parameters
    ----------
    job : Job
    core : str
        Of `CORES`.
    encoder : Encoder
    folder : Path
        For the programs.

    Returns
    -------
    dict
        flash, ram and stack in bytes, instructions per row, out_bytes per row, and the share of codes that are NumPy's.
    """
    values, codes = job.rows(encoder.dtype, COMPARED)
    found, output = cost(core, encoder, folder, job.rows(encoder.dtype, MANY)[0], values)
    return found | {
        "out_bytes": encoder.out_bytes,
        "exact": float((codes_in(job, encoder, output) == codes).mean()),
    }


def cost(core, encoder, folder, values, compared):
    """Measure what an encoder adds to a program.

    Parameters
    ----------
    core : str
        Of `CORES`.
    encoder : Encoder
    folder : Path
        For the programs.
    values : ndarray of shape (MANY, d)
        Rows whose instructions are counted.
    compared : ndarray of shape (n, d)

    Returns
    -------
    dict
        flash, ram and stack in bytes, and instructions per row.
    bytes
        The output for the rows of `compared`.
    """
    programs = [
        build(folder / "with", core, encoder, encoder.source),
        build(folder / "without", core, encoder, EMPTY),
    ]
    (flash, ram), (empty_flash, empty_ram) = map(memory, programs)
    per_row = [
        (instructions(program, values) - instructions(program, values[:FEW])) / (len(values) - FEW)
        for program in programs
    ]
    output, empty_output = (run(program, compared) for program in programs)
    found = {
        "flash": flash - empty_flash,
        "ram": ram - empty_ram,
        "stack": int.from_bytes(output[-4:], "little") - int.from_bytes(empty_output[-4:], "little"),
        "instructions": per_row[0] - per_row[1],
    }
    return found, output[:-4]


def flash_of_messages(source, books, core):
    """Measure the flash of a program that writes messages, and compare these with those of Python.

    Parameters
    ----------
    source : str
        For each row it writes a message of each codebook.
    books : list of Codebook
    core : str
        Of `CORES`.

    Returns
    -------
    int
        Bytes beyond a program with an empty function.
    """
    d = books[0].n_features
    X = np.random.default_rng(2).standard_normal((MESSAGES, d)).astype(np.float32)
    messages = b"".join(dumps(book, book.encode(row)) for row in X[:, None] for book in books)
    encoder = Encoder("skbsq, float", "float", "f4", source, d, len(messages) // MESSAGES, packed=True)
    with tempfile.TemporaryDirectory() as folder:
        program, empty = (
            build(Path(folder) / name, core, encoder, text) for name, text in (("with", source), ("without", EMPTY))
        )
        if run(program, X)[:-4] != messages:
            raise CommandError(f"The messages of {len(books)} codebooks differ from those of Python on {core}.")
        return memory(program)[0] - memory(empty)[0]


def codes_in(job, encoder, output):
    """Read the codes in the output of an encoder, as an array of shape (n, d)."""
    rows = np.frombuffer(output, np.uint8).reshape(-1, encoder.out_bytes)
    if not encoder.packed:
        return rows
    bits = np.unpackbits(rows, axis=1, bitorder="little")
    ends = zip(np.cumsum(job.book.n_bits), job.book.n_bits, strict=True)
    return np.stack([bits[:, end - n_bits : end] @ (1 << np.arange(n_bits)) for end, n_bits in ends], axis=1)
