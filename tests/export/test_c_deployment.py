"""The C program of the page on deployments: what a device sends if sensors fail."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codec import dumps, loads
from skbsq.export import to_c
from tests.export import driver, tools

STUB = """\
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int read_sensor(uint32_t feature, float *value);
void radio_send(const uint8_t *data, size_t size);
void sleep_until_next(void);

static float readings[3];

/* Sensors that do not answer are NaN in the input. */
int read_sensor(uint32_t feature, float *value)
{
    if (feature == 0 && fread(readings, sizeof readings, 1, stdin) != 1)
        exit(0);
    *value = readings[feature];
    return *value == *value;
}
void radio_send(const uint8_t *data, size_t size) { fwrite(data, 1, size, stdout); }
void sleep_until_next(void) {}
"""


@pytest.mark.parametrize("compiler", tools.C_COMPILERS)
def test_page_of_deployments(compiler, rng, tmp_path):
    command = (compiler, *driver.STRICT, *driver.SANITIZE)
    tools.need(*command)
    names = ["temperature", "humidity", "wind"]
    book = Codebook.from_thresholds(
        [[0, 5, 10], [40, 60], [2, 4, 8]], feature_names=names, missing="seen", has_missing=[False, True, False]
    )
    text = (Path(__file__).parents[2] / "docs" / "deploy" / "deployment.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```c\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "barn.h").write_text(to_c(book, "barn"), encoding="ascii")
    (tmp_path / "page.c").write_text(program, encoding="ascii")
    (tmp_path / "stub.c").write_text(STUB, encoding="ascii")
    driver.compile_c([*command, "page.c", "stub.c", "-o", "page"], tmp_path)
    rows = rng.normal([5, 50, 5], 5, size=(400, 3)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    sent = subprocess.run([tmp_path / "page"], input=rows.tobytes(), capture_output=True, check=True, timeout=60).stdout
    ready = rows[~np.isnan(rows[:, [0, 2]]).any(axis=1)]
    frames = [dumps(book, book.encode(row[None]), frame="short", id=1, seq=k % 256) for k, row in enumerate(ready)]
    assert len(frames) > 200
    assert sent == b"".join(frames)
    last = loads(frames[-1], book, frame="short", id=1, seq=True)
    np.testing.assert_array_equal(last, book.encode(ready[-1:]))
