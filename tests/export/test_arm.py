"""The same rows from an ARM build, under qemu. `make device` runs this; `make test` does not."""

import os
import subprocess

import numpy as np
import pytest

from tests.export import driver, tools
from tests.export.test_c import BOOKS, COUNT_CASES, count_rows, count_texts, count_types, expected, headers, values_for

if not os.environ.get("SKBSQ_DEVICE"):
    pytest.skip("SKBSQ_DEVICE is not set: make device sets it", allow_module_level=True)

COMPILER = "arm-linux-gnueabihf-gcc"
QEMU = ("qemu-arm",)
FLAVOURS = {
    "thumb": (*driver.STRICT, "-Os", "-mthumb"),
    "arm": (*driver.STRICT, "-O2", "-marm"),
    "fast-math": (*driver.STRICT, "-O3", "-ffast-math", "-mfpu=neon"),
}


@pytest.fixture(scope="module", params=FLAVOURS)
def build(request, tmp_path_factory):
    command = (COMPILER, "-static", *FLAVOURS[request.param])
    # SKBSQ_DEVICE asks for these tests: nobody wants them skipped.
    tools.need(*command, emulator=QEMU, required=True)
    return lambda texts, types: driver.build(tmp_path_factory.mktemp("arm"), texts, types, command)


@pytest.fixture(scope="module")
def program(build):
    return build(headers(), dict.fromkeys(BOOKS, "float"))


def test_rows_equal_the_codebook(program):
    rng = np.random.default_rng(7)
    for name, book in BOOKS.items():
        X = values_for(book, rng)
        refused, packed = expected(book, X)
        for rows in driver.rows(program, name, X, packed.shape[1], emulator=QEMU):
            assert (rows["refused"] == refused).all(), name
            assert (rows["row"] == packed)[refused == 0].all(), name


def test_fast_math_flushes_denormals(program, request):
    flushes = subprocess.run([*QEMU, program, "flushes"], check=False).returncode == 0
    assert flushes == ("fast-math" in request.node.name)


def test_all_counts_equal_the_codebook(build):
    program = build(count_texts(), count_types())
    for name in COUNT_CASES:
        counts, refused, packed = count_rows(name)
        for rows in driver.rows(program, name, counts, packed.shape[1], emulator=QEMU):
            assert (rows["refused"] == refused).all(), name
            assert (rows["row"] == packed)[refused == 0].all(), name
