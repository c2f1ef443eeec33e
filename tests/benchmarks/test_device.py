"""The benchmark of the C; what needs cross compilers runs in `make device` alone."""

import os
import re

import numpy as np
import pandas as pd
import pytest

from benchmarks import device
from benchmarks.command import CommandError

needs_tools = pytest.mark.skipif(not os.environ.get("SKBSQ_DEVICE"), reason="SKBSQ_DEVICE is not set: make device does")


def test_no_two_features_are_alike():
    """Else a linker would merge their functions, and flash would look small."""
    thresholds = [tuple(t / t[0]) for t in device.make_job(81, 4).book.thresholds]
    assert len(set(thresholds)) == 81


def test_rows_of_counts_and_floats_are_the_same_at_first():
    job = device.make_job(8, 4)
    counts, count_codes = job.rows("i2", device.MANY)
    values, codes = job.rows("f8", device.MANY)
    assert counts.dtype == np.int16
    assert (codes == count_codes).all()
    assert values.tolist() == (counts * job.scale).astype(np.float32).tolist()


def test_compared_rows_meet_every_threshold():
    job = device.make_job(4, 3)
    values, _ = job.rows("f4", device.COMPARED)
    for j, t in enumerate(job.book.thresholds):
        assert np.isin(t, values[:, j]).all()
        assert np.isin(np.nextafter(t, np.float32(np.inf)), values[:, j]).all()


@pytest.mark.parametrize("on_counts", [False, True])
def test_trees_give_the_codes(on_counts):
    job = device.make_job(4, 3)
    values, codes = job.rows("i2" if on_counts else "f4", 200)
    for j, tree in enumerate(device.code_trees(job, on_counts=on_counts)):
        # emlearn asks x < t on counts, where scikit-learn asks x <= t.
        assert (tree.predict(values[:, [j]] + on_counts) == codes[:, j]).all()
        assert tree.get_depth() == 3


def test_codes_in_packed_rows():
    job = device.make_job(3, 3)
    packed = np.packbits([1, 0, 0, 0, 1, 0, 1, 0, 1], bitorder="little").tobytes()
    encoder = device.Encoder("x", "float", "f4", "", 3, 2, packed=True)
    assert device.codes_in(job, encoder, packed).tolist() == [[1, 2, 5]]


def test_absent_tools_are_named(monkeypatch, capsys):
    monkeypatch.setattr(device.shutil, "which", lambda tool: None if tool == "qemu-arm" else tool)
    with pytest.raises(CommandError, match=r"There is no qemu-arm\. On Debian: apt install qemu-user"):
        device.check_tools()
    with pytest.raises(SystemExit):
        device.main([])
    assert "apt install qemu-user" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["8", "8x9", "0x4", "axb", "8x4x2"])
def test_bad_size(text, capsys):
    with pytest.raises(SystemExit):
        device.parse(["--sizes", text])
    assert "must be FEATURESxBITS, such as 20x8" in capsys.readouterr().err


LOOP = """\
void encode(const value_t *x, uint8_t *out) {{
    (void)x;
    for (int i = 0; i < OUT_BYTES; ++i)
        out[i] = 0;
    __asm__ volatile(".syntax unified\\nmovs r3, #{turns}\\n1: subs r3, #1\\nbne 1b" : : : "r3", "cc");
}}
"""


@needs_tools
@pytest.mark.parametrize("core", device.CORES)
def test_every_instruction_is_counted(core, tmp_path):
    job = device.make_job(2, 2)
    counts = []
    for turns in (10, 110):
        encoder = device.Encoder("loop", "float", "f4", LOOP.format(turns=turns), 2, 2, packed=False)
        counts.append(device.measure(job, core, encoder, tmp_path / str(turns))["instructions"])
    assert counts[1] - counts[0] == 200


TABLES = """\
static volatile uint8_t variables[100];
static const uint8_t constants[{size}] = {{1}};
void encode(const value_t *x, uint8_t *out) {{ variables[*out & 63] = constants[*x & 63]; }}
"""


@needs_tools
def test_variables_are_ram_and_constants_are_flash(tmp_path):
    job = device.make_job(2, 2)
    small, large = (
        device.measure(
            job,
            "cortex-m4",
            device.Encoder("tables", "int16_t", "i2", TABLES.format(size=size), 2, 2, packed=False),
            tmp_path / str(size),
        )
        for size in (1000, 1400)
    )
    assert small["ram"] == large["ram"] == 100
    assert large["flash"] - small["flash"] == 400


@needs_tools
def test_command(tmp_path, capsys):
    device.main(["--sizes", "3x2", "--output-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "device.csv")
    ours = table[table["encoder"].str.startswith("skbsq")]
    assert ours[["core", "encoder"]].drop_duplicates().shape == (4, 2)
    assert (ours["exact"] == 1).all()
    assert (ours["out_bytes"] == 1).all()
    assert (table["instructions"] > 0).all()
    assert re.search(r"cortex-m0plus +skbsq, float", capsys.readouterr().out)
