"""The C on the page about sending on change sends the packets of Python. See also test_c."""

import re
import subprocess
from pathlib import Path

import numpy as np

from skbsq.codec import ChangeSender
from skbsq.export import to_c
from tests.export import driver, tools

PAGE = Path(__file__).parents[2] / "docs" / "deploy" / "change.md"
# Packets: the first reading, the fourth, the fifth, the first and the last of the 61 (a keyframe), and the last.
READINGS = np.float32([[19, 50], [19.5, 51], [np.nan, 50], [20.5, 50], [20.5, 70], *[[17, 30]] * 61, [25, 30]])
MAIN = """
#include <stdio.h>

static int is_more = 1;

int read_sensors(float *x)
{
    is_more = fread(x, sizeof *x, HUT_FEATURES, stdin) == HUT_FEATURES;
    return is_more;
}

void radio_send(const uint8_t *data, size_t size) { fwrite(data, 1, size, stdout); }

int main(void)
{
    while (is_more)
        sample();
    return 0;
}
"""


def test_page_sends_the_packets_of_python(tmp_path):
    command = tools.need_c(*driver.STRICT, *driver.SANITIZE)
    page = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"^```c\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    namespace = {}
    exec(re.search(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1], namespace)
    book = namespace["codebook"]
    (tmp_path / "hut.h").write_text(to_c(book, "hut"), encoding="ascii")
    (tmp_path / "page.c").write_text(block + MAIN, encoding="ascii")
    driver.compile_c([*command, "page.c", "-o", "page"], tmp_path)
    done = subprocess.run([tmp_path / "page"], input=READINGS.tobytes(), capture_output=True, check=True, timeout=60)
    sender = ChangeSender(book, keyframe=60, id=7)
    packets = [sender.send(codes) for codes in book.encode(READINGS[~np.isnan(READINGS).any(axis=1)])]
    assert sum(packet is not None for packet in packets) == 6
    assert done.stdout == b"".join(packet for packet in packets if packet)
