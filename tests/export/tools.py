"""Compilers, emulators, servers and the browser that tests run.

A test that needs a tool asks for it here. If the tool cannot do what the test needs, the test is skipped with the
reason. Under CI (the variable CI is set) it fails instead, because a skip there would hide that nothing was tested.
"""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

C_COMPILERS = ("gcc", "clang")

# Debian packages of each tool.
PACKAGES = {
    "gcc": "gcc libc6-dev",
    "clang": "clang libc6-dev",
    "arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-arm": "qemu-user",
    "avr-gcc": "gcc-avr avr-libc",
    "simavr": "simavr",
    "mosquitto": "mosquitto",
    "node": "nodejs",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}

# Uses what the programs of the tests use: headers of the C library, the heap, the standard output.
PROGRAM = """\
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *text = (char *)malloc(8);
    if (text == NULL)
        return 1;
    strcpy(text, "it runs");
    puts(text);
    free(text);
    return 0;
}
"""


def need(*command, emulator=(), source=PROGRAM, required=False):
    """Skip the test unless a compiler command builds a program that runs; under CI, fail it.

    Parameters
    ----------
    *command : str
        Compiler and flags of the test, so that the probe needs the same runtime libraries.
    emulator : sequence of str, default=()
        Command that runs the program.
    source : str, default=PROGRAM
        The program.
    required : bool, default=False
        Fail the test outside CI too.
    """
    reason = why_not(command, emulator, source)
    if reason:
        _stop(reason, required)


def need_program(name):
    """Skip the test unless there is such a program; under CI, fail it. Debian has servers in /usr/sbin."""
    if shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])) is None:
        _stop(f"there is no {name}{_hint(name)}", required=False)


def need_c(*flags):
    """Return the first C compiler that accepts the flags, with the flags; without one, skip the test like `need`."""
    reasons = []
    for compiler in C_COMPILERS:
        reason = why_not((compiler, *flags))
        if reason is None:
            return (compiler, *flags)
        reasons.append(reason)
    _stop("; ".join(reasons), required=False)


def why_not(command, emulator=(), source=PROGRAM):
    """Return why a command builds no program that runs, and what to install; None if it builds one."""
    compiler, *flags = command
    paths = []
    for tool in (compiler, *emulator[:1]):
        paths.append(shutil.which(tool))
        if paths[-1] is None:
            return f"there is no {tool}{_hint(tool)}"
    # With the path instead of the name, the cache stays correct when PATH changes.
    error = _probe((paths[0], *flags), (*paths[1:], *emulator[1:]), source)
    if error is None:
        return None
    flags_shown = [flag for flag in flags if not flag.startswith("-W")]  # warnings need no runtime library
    shown = " ".join([compiler, *flags_shown])
    return f"{shown} builds no program that runs ({error}){_hint(compiler, *flags)}"


@cache
def _probe(command, emulator, source):
    """Build and run the source; return the first line of the error, or None."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program"
        file = Path(folder) / "probe.c"
        file.write_text(source, encoding="ascii")
        return _error_of([*command, "-o", program, file]) or _error_of([*emulator, program])


def _error_of(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=300)
    except OSError as error:  # such as a program for another processor
        return str(error)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[0] if lines else f"exit status {done.returncode}"


def _hint(tool, *flags):
    """Return what to install on Debian."""
    packages = PACKAGES[tool]
    if tool == "gcc" and "-xc++" in flags:
        packages += " g++"
    if tool == "clang" and any(flag.startswith("-fsanitize") for flag in flags):
        packages += " libclang-rt-dev"  # clang does not depend on the runtime of its sanitizers
    return f"; on Debian: apt install {packages}"


def _stop(reason, required):
    if required or os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
