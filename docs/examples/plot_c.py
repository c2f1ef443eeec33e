"""
From Python to C
================

A microcontroller needs only the thresholds. `to_c` writes them, and the functions that encode and pack, as one C header
without dependencies. The C program and Python give the same codes for every float.
"""

# %%
# A codebook is learned in Python.

import numpy as np

from skbsq import BitwiseRegressor
from skbsq.export import to_c

rng = np.random.default_rng(0)
X = rng.normal([20, 50], [5, 15], size=(2000, 2)).astype(np.float32)
y = np.maximum(X[:, 0] - 22, 0) + 0.02 * X[:, 1]
model = BitwiseRegressor(n_bits=3, max_epochs=20, random_state=0).fit(X, y)

header = to_c(model, "hut")
print(f"{len(header.splitlines())} lines, some of which are")
for line in header.splitlines():
    if line.startswith("#define HUT_ROW") or " hut_encode(const" in line:
        print("   ", line)

# %%
# A program reads floats from its input and writes the packed rows. Without a compiler this step is skipped, and the
# picture shows the codes of Python twice.

import shutil
import subprocess
import tempfile
from pathlib import Path

from skbsq.codec import RowCodec

PROGRAM = """
#include <stdio.h>
#include "hut.h"

int main(void)
{
    float x[HUT_FEATURES];
    uint8_t row[HUT_ROW_BYTES];
    while (fread(x, sizeof x, 1, stdin) == 1 && hut_encode(x, row) == 0)
        fwrite(row, sizeof row, 1, stdout);
    return 0;
}
"""


def encode_in_c(rows):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "hut.h").write_text(header, encoding="ascii")
        Path(folder, "main.c").write_text(PROGRAM, encoding="ascii")
        subprocess.run([compiler, "-std=c99", "-o", "encode", "main.c"], cwd=folder, check=True)
        done = subprocess.run(f"{folder}/encode", input=rows.tobytes(), capture_output=True, check=True)
    codec = RowCodec(model.codebook_)
    return codec.unpack(np.frombuffer(done.stdout, np.uint8).reshape(-1, codec.row_bytes))


readings = np.stack([np.linspace(5, 35, 301), np.full(301, 50.0)], axis=1).astype(np.float32)
codes = model.codebook_.encode(readings)
compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
in_c = encode_in_c(readings) if compiler else codes
if compiler:
    print("rows with other codes in C:", int((codes != in_c).any(axis=1).sum()))

# %%
# The line is the code in Python, the points are codes of the C program. The steps are where the model needs them:
# below 22 degrees the target does not depend on the temperature.

import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.step(readings[:, 0], codes[:, 0], where="mid", color="C0", label="codes in Python")
ax.plot(readings[::6, 0], in_c[::6, 0], "C1o", markersize=4, label="codes in C")
ax.set(xlabel="temperature", ylabel="code")
ax.legend()
