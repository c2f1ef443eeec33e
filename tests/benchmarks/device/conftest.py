"""What tests of the chips need."""

import os

import pytest

from benchmarks.device import avr, chips
from tests.export import tools
from tests.export.test_avr import PROBE

# Ends at once by a system call of Linux, because the harness has no startup code of a C library either.
ENDS = """\
void _start(void)
{
    register long r7 __asm__("r7") = 1;
    register long r0 __asm__("r0") = 0;
    __asm__ volatile("svc 0" : : "r"(r7), "r"(r0));
}
"""


@pytest.fixture(scope="module")
def cross_tools():
    """Need the cross compiler (size and nm come with its linker) and qemu; run only on demand."""
    if not os.environ.get("SKBSQ_DEVICE"):
        pytest.skip("SKBSQ_DEVICE is not set: make device sets it")
    for flags in chips.CORES.values():
        command = ("arm-none-eabi-gcc", *flags, *chips.OPTIMIZE, *chips.LINK)
        tools.need(*command, emulator=(*chips.EMULATOR, "-singlestep"), source=ENDS, required=True)


@pytest.fixture
def avr_tools():
    """Need the compiler and the simulator of AVR chips."""
    tools.need("avr-gcc", f"-mmcu={avr.CHIP}", *avr.OPTIMIZE, emulator=("simavr", "-m", avr.CHIP), source=PROBE)
