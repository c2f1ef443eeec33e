"""Build an encoder for an AVR chip, run it in the simulator simavr, and measure its cost."""

import re
import subprocess

from benchmarks.command import CommandError
from benchmarks.device.chips import codes_in, output_of
from benchmarks.device.encoders import RANDOM

TOOLS = {
    "avr-gcc": "gcc-avr avr-libc",
    "avr-size": "binutils-avr",
    "simavr": "simavr",
}
CHIP = "atmega328p"
OPTIMIZE = ("-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
# Rows whose cycles are counted, and whose codes are compared: more do not fit beside large encoders.
ROWS = RANDOM

# Writes to the serial port a line for each row: cycles of `encode` by two timers, depth of its stack, and its output.
HARNESS = """\
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include "encoder.h"

#define PAINTED 300

void encode(const value_t *x, uint8_t *out);

static const uint8_t rows[][sizeof(value_t) * VALUES] PROGMEM = {ROWS};

static void put(uint8_t value)
{
    uint8_t i;
    for (i = 0; i < 2; ++i, value = (uint8_t)(value << 4)) {
        while (!(UCSR0A & _BV(UDRE0)))
            ;
        UDR0 = "0123456789ABCDEF"[value >> 4];
    }
}

int main(void)
{
    static value_t x[VALUES];
    static uint8_t out[OUT_BYTES];
    uint16_t i, j, depth, fine;
    uint8_t coarse;
    volatile uint8_t *top;
    UCSR0B = _BV(TXEN0);
    for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        memcpy_P(x, rows[i], sizeof x);
        top = (volatile uint8_t *)SP + 1; /* SP is the first free byte; no function is called while painting */
        for (depth = 1; depth <= PAINTED; ++depth)
            *(top - depth) = 0x5A;
        TCCR0B = _BV(CS02) | _BV(CS00); /* cycles / 1024 */
        TCCR1B = _BV(CS10);             /* cycles, modulo 2^16 */
        TCNT0 = 0;
        TCNT1 = 0;
        encode(x, out);
        fine = TCNT1;
        coarse = TCNT0;
        for (depth = PAINTED; depth > 0 && *(top - depth) == 0x5A; --depth)
            ;
        put(coarse);
        put((uint8_t)(fine >> 8));
        put((uint8_t)fine);
        put((uint8_t)(depth >> 8));
        put((uint8_t)depth);
        for (j = 0; j < OUT_BYTES; ++j)
            put(out[j]);
        while (!(UCSR0A & _BV(UDRE0)))
            ;
        UDR0 = '\\n';
    }
    while (!(UCSR0A & _BV(UDRE0)))
        ;
    cli();
    sleep_enable();
    sleep_cpu();
    return 0;
}
"""
EMPTY = """\
void encode(const value_t *x, uint8_t *out);
void encode(const value_t *x, uint8_t *out) { (void)x; (void)out; }
"""


def measure(job, encoder, folder):
    """Measure one encoder.

    Parameters
    ----------
    job : Job
    encoder : Encoder
    folder : Path
        For the programs.

    Returns
    -------
    dict
        flash, ram and stack in bytes, cycles per row, out_bytes per row, and the share of codes that are NumPy's. Only
        the out_bytes are known if the encoder does not fit into the memory of the chip.
    """
    # A double has 32 bits here.
    values, codes = job.rows(encoder.dtype, ROWS)
    values = values.astype("f4") if encoder.dtype == "f8" else values
    found, output = cost(encoder, folder, values)
    if not found:
        return {"out_bytes": encoder.out_bytes}
    exact = float((codes_in(job, encoder, output) == codes).mean())
    return found | {"out_bytes": encoder.out_bytes, "exact": exact}


def cost(encoder, folder, values):
    """Measure what an encoder adds to a program.

    Parameters
    ----------
    encoder : Encoder
    folder : Path
        For the programs.
    values : ndarray of shape (ROWS, d)

    Returns
    -------
    dict
        flash, ram and stack in bytes, and cycles per row; empty if the encoder does not fit into the chip.
    bytes
        The output for all rows.
    """
    program = _build(folder / "with", encoder, encoder.source, values)
    if program is None:
        return {}, b""
    empty = _build(folder / "without", encoder, EMPTY, values)
    (flash, ram), (empty_flash, empty_ram) = map(_memory, (program, empty))
    (cycles, stack, output), (empty_cycles, empty_stack, _) = map(_run, (program, empty))
    found = {"flash": flash - empty_flash, "ram": ram - empty_ram}
    return found | {"stack": stack - empty_stack, "cycles": cycles - empty_cycles}, output


def _build(folder, encoder, source, values):
    """Link the harness and an encoder; return None if they do not fit into the chip."""
    folder.mkdir(parents=True)
    (folder / "encoder.h").write_text(
        f"#include <stdint.h>\n#include <string.h>\ntypedef {encoder.value_type} value_t;\n"
        f"#define VALUES {encoder.n_values}\n#define OUT_BYTES {encoder.out_bytes}\n"
    )
    rows = ", ".join("{" + ", ".join(map(str, row.tobytes())) + "}" for row in values)
    (folder / "harness.c").write_text(HARNESS.replace("{ROWS}", f"{{{rows}}}"))
    (folder / "encoder.c").write_text('#include "encoder.h"\n' + source)
    program = folder / "program.elf"
    done = subprocess.run(
        ["avr-gcc", "-std=gnu99", f"-mmcu={CHIP}", *OPTIMIZE, "-o", program, "harness.c", "encoder.c", "-lm"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and re.search("not within region|will not fit|overflowed|truncated to fit", done.stderr):
        return None
    if done.returncode:
        raise CommandError(f"{encoder.name} does not compile for {CHIP}:\n{done.stderr}")
    return program


def _memory(program):
    """Measure bytes of flash (code, constants, and the first values of variables) and of RAM (variables)."""
    text, data, bss = map(int, output_of("avr-size", program).splitlines()[1].split()[:3])
    return text + data, data + bss


def _run(program):
    """Return the cycles per row, the depth of the stack, and the output of all rows."""
    done = subprocess.run(["simavr", "-m", CHIP, program], capture_output=True, text=True, check=True, timeout=600)
    lines = [bytes.fromhex(line) for line in re.findall(r"([0-9A-F]{12,})\.", done.stdout + done.stderr)]
    if len(lines) != ROWS:
        raise CommandError(f"{program} wrote {len(lines)} rows in simavr, not {ROWS}: its stack may not fit.")
    cycles = [_cycles(line[0], int.from_bytes(line[1:3], "big")) for line in lines]
    stack = max(int.from_bytes(line[3:5], "big") for line in lines)
    return sum(cycles) / len(cycles), stack, b"".join(line[5:] for line in lines)


def _cycles(coarse, fine):
    """Combine a count of 1024 cycles each with the cycles modulo 2^16.

    Examples
    --------
    >>> _cycles(97, 34464)
    100000
    """
    return fine + 2**16 * round((1024 * coarse - fine) / 2**16)
