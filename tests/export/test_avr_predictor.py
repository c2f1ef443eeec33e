"""An AVR build predicts what the integers of NumPy predict, in the simulator simavr. See also test_avr."""

import re
import subprocess

import numpy as np
import pytest

from skbsq.codec import RowCodec
from skbsq.export import to_integers
from tests.export import driver, tools
from tests.export.test_avr import COMPILERS, PROBE, SIMULATOR
from tests.export.test_c_predictor import MODELS, headers, rows_for

# Writes a line of hexadecimal numbers for each row: the outputs, highest byte first, and the class.
MAIN = """\
#include "name.h"
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

static const uint8_t rows[][ROW_BYTES] PROGMEM = {ROWS};

static void put_char(char text)
{
    while (!(UCSR0A & _BV(UDRE0)))
        ;
    UDR0 = NAME_CAST(uint8_t, text);
}

static void write(uint32_t number)
{
    uint8_t digit;
    for (digit = 0; digit < 8; ++digit, number <<= 4)
        put_char("0123456789ABCDEF"[number >> 28]);
}

int main(void)
{
    static uint8_t row[ROW_BYTES];
    size_t i, k;
    UCSR0B = _BV(TXEN0);
    for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        static int32_t outputs[NAME_OUTPUTS];
        memcpy_P(row, rows[i], sizeof row);
        if (name_predict(row, outputs) != 0)
            put_char('!');
        for (k = 0; k < NAME_OUTPUTS; ++k)
            write(NAME_CAST(uint32_t, outputs[k]));
#ifdef NAME_CLASSES
        write(name_class(outputs));
#else
        write(0);
#endif
        put_char('\\n');
    }
    while (!(UCSR0A & _BV(UDRE0)))
        ;
    cli();
    sleep_enable();
    sleep_cpu();
    return 0;
}
"""


@pytest.mark.parametrize("language", COMPILERS)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_integers(name, language, tmp_path):
    command = COMPILERS[language]
    tools.need(*command, emulator=SIMULATOR, source=PROBE)
    predictor, codes = to_integers(MODELS[name]), rows_for(MODELS[name].codebook_)[::29]
    packed = RowCodec(MODELS[name].codebook_).pack(codes)
    rows = ", ".join("{" + ", ".join(map(str, [*row.tolist(), 0])) + "}" for row in packed)
    main = MAIN.replace("{ROWS}", f"{{{rows}}}").replace("ROW_BYTES", str(packed.shape[1] + 1))
    main = main.replace("NAME_", f"{name.upper()}_").replace("name_", f"{name}_").replace("name.h", f"{name}.h")
    (tmp_path / f"{name}.h").write_text(headers()[name], encoding="ascii")
    (tmp_path / "main.c").write_text(main, encoding="ascii")
    driver.compile_c([*command, "main.c", "-o", "program.elf"], tmp_path)
    done = subprocess.run([*SIMULATOR, "program.elf"], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    lines = re.findall(r"([!0-9A-F]{8,})\.", (done.stdout + done.stderr).decode())
    found = np.array([[int(line[k : k + 8], 16) for k in range(0, len(line), 8)] for line in lines], dtype=np.uint32)
    outputs = predictor.outputs(codes)
    assert (found[:, :-1].astype(np.int32) == outputs).all()
    if predictor.classes_ is not None:
        assert (predictor.classes_[found[:, -1]] == predictor.predict_codes(codes)).all()
