"""Cost of the C on an AVR chip: flash, RAM and cycles are those of the encoder."""

import pytest

from benchmarks.command import CommandError
from benchmarks.device import __main__ as command
from benchmarks.device import avr, chips
from benchmarks.device.encoders import Encoder, make_job

JOB = make_job(2, 2)
LOOP = """\
void encode(const value_t *x, uint8_t *out)
{{
    (void)x;
    memset(out, 0, OUT_BYTES);
    __builtin_avr_delay_cycles({cycles});
}}
"""
TABLES = """\
static volatile uint8_t variables[100];
static const uint8_t constants[{size}] {where} = {{1}};
void encode(const value_t *x, uint8_t *out) {{ variables[*out & 63] = {read}(&constants[*x & 63]); }}
"""
TABLES_IN_FLASH = "#include <avr/pgmspace.h>\n" + TABLES.replace("{where}", "PROGMEM").replace(
    "{read}", "pgm_read_byte"
)
TABLES_IN_RAM = TABLES.replace("{where}", "").replace("{read}", "*")


def measure(source, folder):
    return avr.measure(JOB, Encoder("x", "int16_t", "i2", source, 2, 2, packed=False), folder)


@pytest.mark.usefixtures("avr_tools")
def test_every_cycle_is_counted(tmp_path):
    """Beyond 2^16 cycles too, where the timer begins again."""
    few, more, many = (
        measure(LOOP.format(cycles=n), tmp_path / str(n))["cycles"] for n in (1000, 1100, 1000 + 200_000)
    )
    assert more - few == 100
    assert many - few == 200_000


@pytest.mark.usefixtures("avr_tools")
def test_constants_take_ram_unless_they_are_in_flash(tmp_path):
    flash = [measure(TABLES_IN_FLASH.format(size=n), tmp_path / f"flash{n}") for n in (1000, 1400)]
    ram = [measure(TABLES_IN_RAM.format(size=n), tmp_path / f"ram{n}") for n in (1000, 1400)]
    assert [measured["ram"] for measured in flash] == [100, 100]
    assert [measured["ram"] for measured in ram] == [1100, 1500]
    assert flash[1]["flash"] - flash[0]["flash"] == ram[1]["flash"] - ram[0]["flash"] == 400


@pytest.mark.usefixtures("avr_tools")
def test_encoder_that_does_not_fit(tmp_path):
    assert measure(TABLES_IN_RAM.format(size=3000), tmp_path / "ram") == {"out_bytes": 2}
    assert measure(TABLES_IN_FLASH.format(size=32_700), tmp_path / "flash") == {"out_bytes": 2}


@pytest.mark.usefixtures("avr_tools")
def test_encoder_that_does_not_compile(tmp_path):
    with pytest.raises(CommandError, match="x does not compile for atmega328p"):
        measure("#error x\n", tmp_path)


def test_missing_tools_are_named(monkeypatch, capsys):
    monkeypatch.setattr(chips.shutil, "which", lambda tool: None if tool in ("simavr", "qemu-arm") else tool)
    with pytest.raises(SystemExit):
        command.main(["--cores", "atmega328p"])
    assert "There is no simavr. On Debian: apt install simavr" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main([])
    assert "There is no qemu-arm and no simavr" in capsys.readouterr().err
