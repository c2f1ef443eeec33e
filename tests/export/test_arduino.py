"""An Arduino library has the files of the specification, its example runs on AVR, and no other folder is replaced."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codec import dumps
from skbsq.export import to_arduino, to_c
from tests.export import driver, tools
from tests.export.test_avr import CHIP, PROBE, SIMULATOR

BOOK = Codebook.from_thresholds([[18.5, 25.0], [100.0, 500.0, 600.0]], feature_names=["temperature", "wind"])
FILES = ["README.md", "examples/hut/hut.ino", "keywords.txt", "library.properties", "src/hut.h"]
CXX = ("avr-gcc", *driver.CXX, "-Wold-style-cast", f"-mmcu={CHIP}", "-Os")

# Stands in for the core of an Arduino: the serial port gets hexadecimal digits, and the first message ends the program.
ARDUINO_H = """\
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <stddef.h>
#include <stdint.h>
#define A0 14
inline int analogRead(uint8_t) { return 512; }
inline void delay(unsigned long) {}
struct Port {
    void begin(unsigned long) { UCSR0B = _BV(TXEN0); }
    void put(char text)
    {
        while (!(UCSR0A & _BV(UDRE0)))
            ;
        UDR0 = static_cast<uint8_t>(text);
    }
    void write(const uint8_t *data, size_t size)
    {
        for (; size > 0; --size, ++data) {
            put("0123456789ABCDEF"[*data >> 4]);
            put("0123456789ABCDEF"[*data & 15]);
        }
        put('\\n');
        while (!(UCSR0A & _BV(UDRE0)))
            ;
        cli();
        sleep_enable();
        sleep_cpu();
    }
};
static Port Serial;
"""
MAIN = "\nint main() { setup(); for (;;) loop(); }\n"


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files(tmp_path):
    folder = to_arduino(
        BOOK, tmp_path / "hut", "hut", version="1.2.0", author="A. B. <a@example.com>", url="https://a.b"
    )
    assert folder == tmp_path / "hut"
    assert sorted(files(folder)) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["hut"]
    assert (folder / "src" / "hut.h").read_text(encoding="ascii") == to_c(BOOK, "hut")


def test_properties_are_all_that_the_specification_requires(tmp_path):
    folder = to_arduino(
        BOOK, tmp_path / "hut", "hut", version="1.2.0", author="A. B. <a@example.com>", url="https://a.b"
    )
    lines = (folder / "library.properties").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    properties = dict(line.split("=", 1) for line in lines[1:])
    assert properties["name"] == "hut"
    assert properties["version"] == "1.2.0"
    assert properties["author"] == properties["maintainer"] == "A. B. <a@example.com>"
    assert properties["url"] == "https://a.b"
    assert properties["category"] == "Data Processing"
    assert properties["architectures"] == "*"
    assert properties["includes"] == "hut.h"
    assert BOOK.fingerprint.hex() in properties["sentence"]
    assert properties["paragraph"]


def test_keywords(tmp_path):
    """Four kinds at most, a single tab, and nothing that only the header itself uses."""
    folder = to_arduino(BOOK, tmp_path / "hut", "hut", decoder=True)
    lines = (folder / "keywords.txt").read_text(encoding="ascii").splitlines()
    words = dict(line.split("\t") for line in lines)
    assert words.keys() >= {
        "hut_encode",
        "hut_message_begin",
        "hut_row",
        "hut_change",
        "hut_code_type",
        "HUT_ROW_BYTES",
    }
    assert words["hut_encode"] == "KEYWORD2"
    assert words["hut_change"] == words["hut_code_type"] == "KEYWORD1"
    assert words["HUT_FEATURE_wind"] == words["HUT_FOREIGN"] == "LITERAL1"
    assert not words.keys() & {"HUT_CAST", "HUT_TYPE_OF", "HUT_READ", "HUT_FLASH", "HUT_COPY"}


@pytest.mark.parametrize(
    ("book", "options"),
    [
        (BOOK, {}),
        (BOOK, {"optimize": "speed", "coarser": [BOOK.coarsened(1)]}),
        (Codebook.from_thresholds([range(15)] * 9, missing="code"), {"decoder": True}),
        (BOOK, {"scale": [0.1, 1.0], "count_type": "int16"}),
        (Codebook.from_thresholds([[0.5], []]), {"scale": 0.01, "count_type": "uint8"}),
    ],
    ids=["floats", "speed", "missing", "int16", "uint8"],
)
def test_example_sends_a_message(book, options, tmp_path):
    tools.need(*CXX, emulator=SIMULATOR, source=PROBE)
    folder = to_arduino(book, tmp_path / "hut", "hut", **options)
    (tmp_path / "Arduino.h").write_text(ARDUINO_H, encoding="ascii")
    (tmp_path / "main.cpp").write_text('#include "examples/hut/hut.ino"\n' + MAIN, encoding="ascii")
    include = ["-include", tmp_path / "Arduino.h", f"-I{folder}", f"-I{folder / 'src'}"]
    driver.compile_c([*CXX, *include, "main.cpp", "-o", "program.elf"], tmp_path)
    done = subprocess.run([*SIMULATOR, "program.elf"], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    found = re.search(r"([0-9A-F]{20,})\.", (done.stdout + done.stderr).decode())[1]
    count = np.array(512).astype(options.get("count_type", np.float32))
    values = np.float32(count * np.float64(options.get("scale", 1.0)) * np.ones(book.n_features))
    assert bytes.fromhex(found) == dumps(book, book.encode(values[None]))


def test_its_own_library_is_replaced(tmp_path):
    folder = to_arduino(BOOK, tmp_path / "hut", "hut")
    before = files(folder)
    other = Codebook.from_thresholds([[1.0]])
    assert files(to_arduino(other, folder, "hut", version="1.1.0"))["src/hut.h"] == to_c(other, "hut").encode()
    assert files(to_arduino(BOOK, folder, "hut")) == before
    (tmp_path / "empty" / "src").mkdir(parents=True)
    assert files(to_arduino(BOOK, tmp_path / "empty", "hut")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "hut"]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("notes.txt", "mine", "holds something other than the library hut of to_arduino"),
        ("library.properties", "name=hut\nversion=1.0.0\n", "holds something other than the library hut"),
        ("library.properties", b"\xff", "holds something other than the library hut"),
        ("src/more.h", "", r"holds src/more\.h, which to_arduino did not write"),
        ("examples/mine/mine.ino", "", r"holds examples/mine/mine\.ino, which"),
    ],
)
def test_another_folder_is_not_touched(path, text, message, tmp_path):
    folder = tmp_path / "hut"
    if "/" in path:
        to_arduino(BOOK, folder, "hut")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = files(folder)
    with pytest.raises(ValueError, match=message):
        to_arduino(Codebook.from_thresholds([[1.0]]), folder, "hut")
    assert files(folder) == before


def test_library_of_another_name_is_not_touched(tmp_path):
    folder = to_arduino(BOOK, tmp_path / "hut", "hut")
    with pytest.raises(ValueError, match="holds something other than the library barn of to_arduino"):
        to_arduino(BOOK, folder, "barn")


def test_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "hut").write_text("mine", encoding="ascii")
    with pytest.raises(ValueError, match="hut is no folder"):
        to_arduino(BOOK, tmp_path / "hut", "hut")
    assert (tmp_path / "hut").read_text(encoding="ascii") == "mine"


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("fails", ["write_text", "rename"])
def test_error_leaves_nothing_half_written(fails, exists, tmp_path, monkeypatch):
    folder = tmp_path / "hut"
    before = files(to_arduino(BOOK, folder, "hut")) if exists else {}
    method = getattr(Path, fails)

    def fail(path, *args, **kwargs):
        if path.name in ("hut.ino", "new"):
            raise OSError("no space")
        return method(path, *args, **kwargs)

    monkeypatch.setattr(Path, fails, fail)
    with pytest.raises(OSError, match="no space"):
        to_arduino(Codebook.from_thresholds([[1.0]]), folder, "hut")
    assert [path.name for path in tmp_path.iterdir()] == ["hut"] * exists
    assert files(folder) == before


@pytest.mark.parametrize(
    ("folder", "name", "options", "message"),
    [
        ("hut", "String", {}, "must not be that of a header of C or Arduino, got 'String'"),
        ("hut", "a" * 64, {}, "at most 63 characters"),
        ("my hut", "hut", {}, "folder must end in a name that Arduino allows.*got 'my hut'"),
        (".hut", "hut", {}, "folder must end in a name"),
        ("hut", "hut", {"version": "1"}, "version must be a version such as '1.2.0', got '1'"),
        ("hut", "hut", {"version": 1.2}, "version must be a version"),
        ("hut", "hut", {"author": "a\nb"}, "author must be a line of text"),
        ("hut", "hut", {"url": " "}, "url must be a line of text"),
        ("hut", "1x", {}, "name must be a C identifier"),
        ("hut", "hut", {"optimize": "O2"}, "optimize must be"),
    ],
)
def test_bad_parameters(folder, name, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        to_arduino(BOOK, tmp_path / folder, name, **options)
    assert not list(tmp_path.iterdir())
