"""An ARM build gives the same rows, under qemu. `make device` runs this; `make test` does not."""

import os
import subprocess

import pytest

from tests.export import driver, test_c_categories, test_c_faults, test_c_predictor, test_c_rates, test_c_speed, tools
from tests.export.test_c import BOOKS, check_books, check_counts, count_texts, count_types, headers

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
    # The user asked for these tests with SKBSQ_DEVICE, so a missing tool must not skip them.
    tools.need(*command, emulator=QEMU, required=True)
    return lambda *what: driver.build(tmp_path_factory.mktemp("arm"), *what[:2], command, *what[2:])


@pytest.fixture(scope="module")
def program(build):
    return build(headers(), dict.fromkeys(BOOKS, "float"))


def test_rows_equal_the_codebook(program):
    check_books(program, emulator=QEMU)


def test_fast_math_flushes_subnormals(program, request):
    flushes = subprocess.run([*QEMU, program, "flushes"], check=False).returncode == 0
    assert flushes == ("fast-math" in request.node.name)


def test_all_counts_equal_the_codebook(build):
    check_counts(build(count_texts(), count_types()), emulator=QEMU)


def test_rows_of_fast_c_equal_the_codebook(build):
    check_books(build(test_c_speed.headers(), dict.fromkeys(BOOKS, "float")), emulator=QEMU)
    check_counts(build(test_c_speed.count_texts(), count_types()), emulator=QEMU)


def test_rows_of_all_rates_equal_the_codebooks(build):
    test_c_rates.check_rates(build(test_c_rates.headers(), test_c_rates.TYPES), emulator=QEMU)


def test_rows_of_failing_sensors_equal_the_codebooks(build):
    test_c_faults.check_faults(build(test_c_faults.headers(), test_c_faults.TYPES, test_c_faults.MORE), emulator=QEMU)


def test_categories_have_the_codes_of_the_codebook(build):
    cases = test_c_categories
    cases.check_puts(build(cases.headers(), cases.TYPES, cases.MORE), emulator=QEMU)


def test_predictions_are_those_of_the_integers(build):
    headers, types, more = test_c_predictor.headers(), test_c_predictor.TYPES, test_c_predictor.MORE
    test_c_predictor.check_predictions(build(headers, types, more), emulator=QEMU)
