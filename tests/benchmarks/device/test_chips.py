"""The benchmark of the C; tests that need cross compilers run only in `make device`."""

import re
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks.command import CommandError
from benchmarks.device import __main__ as command
from benchmarks.device import chips
from benchmarks.device.encoders import Encoder, make_job


def test_codes_in_packed_rows():
    job = make_job(3, 3)
    packed = np.packbits([1, 0, 0, 0, 1, 0, 1, 0, 1], bitorder="little").tobytes()
    encoder = Encoder("x", "float", "f4", "", 3, 2, packed=True)
    assert chips.codes_in(job, encoder, packed).tolist() == [[1, 2, 5]]


def test_missing_tools_are_named(monkeypatch, capsys):
    monkeypatch.setattr(chips.shutil, "which", lambda tool: None if tool == "qemu-arm" else tool)
    with pytest.raises(CommandError, match=r"There is no qemu-arm\. On Debian: apt install qemu-user"):
        chips.check_tools()
    with pytest.raises(SystemExit):
        command.main([])
    assert "apt install qemu-user" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["8", "8x9", "0x4", "axb", "8x4x2"])
def test_bad_size(text, capsys):
    with pytest.raises(SystemExit):
        command.parse(["--sizes", text])
    assert "must be FEATURESxBITS, such as 20x8" in capsys.readouterr().err


LOOP = """\
void encode(const value_t *x, uint8_t *out) {{
    (void)x;
    for (int i = 0; i < OUT_BYTES; ++i)
        out[i] = 0;
    __asm__ volatile(".syntax unified\\nmovs r3, #{turns}\\n1: subs r3, #1\\nbne 1b" : : : "r3", "cc");
}}
"""


@pytest.mark.usefixtures("cross_tools")
@pytest.mark.parametrize("core", chips.CORES)
def test_every_instruction_is_counted(core, tmp_path):
    job = make_job(2, 2)
    counts = []
    for turns in (10, 110):
        encoder = Encoder("loop", "float", "f4", LOOP.format(turns=turns), 2, 2, packed=False)
        counts.append(chips.measure(job, core, encoder, tmp_path / str(turns))["instructions"])
    assert counts[1] - counts[0] == 200


TABLES = """\
static volatile uint8_t variables[100];
static const uint8_t constants[{size}] = {{1}};
void encode(const value_t *x, uint8_t *out) {{ variables[*out & 63] = constants[*x & 63]; }}
"""


@pytest.mark.usefixtures("cross_tools")
def test_variables_are_ram_and_constants_are_flash(tmp_path):
    job = make_job(2, 2)
    measured = []
    for size in (1000, 1400):
        encoder = Encoder("tables", "int16_t", "i2", TABLES.format(size=size), 2, 2, packed=False)
        measured.append(chips.measure(job, "cortex-m4", encoder, tmp_path / str(size)))
    small, large = measured
    assert small["ram"] == large["ram"] == 100
    assert large["flash"] - small["flash"] == 400


@pytest.mark.usefixtures("cross_tools")
def test_command(tmp_path, capsys):
    command.main(["--sizes", "3x2", "--output-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "device.csv")
    ours = table[table["encoder"].str.startswith("skbsq")]
    assert ours[["core", "encoder"]].drop_duplicates().shape == (3 * 4, 2)
    assert (ours["exact"] == 1).all()
    assert (ours["out_bytes"] == 1).all()
    on_avr = table["core"] == "atmega328p"
    assert (table.loc[~on_avr, "instructions"] > 0).all()
    assert (table.loc[on_avr, "cycles"] > 0).all()
    assert re.search(r"cortex-m0plus +skbsq, float", capsys.readouterr().out)


def test_an_emulator_that_fails_is_no_count(monkeypatch):
    """An emulator without the options would count no instruction."""
    monkeypatch.setattr(chips, "EMULATOR", [sys.executable, "-c", "import sys; sys.exit('unknown option')"])
    with pytest.raises(CommandError, match="failed: unknown option"):
        chips.instructions("program", np.zeros(1))
