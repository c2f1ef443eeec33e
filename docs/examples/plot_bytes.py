"""
Bytes on the wire
=================

A packed row is as short as its bits. What stands around it can be longer than the row, so choose the frame by how many
rows you send at once. The picture shows the bytes per row for each choice.
"""

# %%
# Ten features of 2 bits are 20 bits, which are packed into 3 bytes.

import numpy as np
from sklearn.datasets import make_friedman1

from skbsq import QuantileQuantizer
from skbsq.codec import RowCodec, dumps, loads

X, _ = make_friedman1(1024, random_state=0)
codebook = QuantileQuantizer(2).fit(X).codebook_
codes = codebook.encode(X)
row = RowCodec(codebook).pack(codes[:1])[0]
print("codes:", codes[0], " bytes:", row.tobytes().hex(" "))

# %%
# A message names its codebook and its number of rows, and has a check sum. A short frame has an id and a check sum. A
# bare frame is the rows alone.

frames = {
    "message": {},
    "short frame": {"frame": "short", "id": 7},
    "bare rows": {"frame": "bare"},
}
for name, options in frames.items():
    frame = dumps(codebook, codes[:1], **options)
    assert (loads(frame, codebook, **options) == codes[:1]).all()
    print(f"{name}: {len(frame)} bytes for one row")

# %%
# A frame adds the same bytes to any number of rows. So for one row a bare or a short frame is far smaller. From a
# hundred rows on the frames hardly differ.

import matplotlib.pyplot as plt


def bytes_per_row(n, options):
    return len(dumps(codebook, codes[:n], **options)) / n


n_rows = 2 ** np.arange(11)
fig, ax = plt.subplots(layout="constrained")
ax.plot(n_rows, np.full(11, X.astype(np.float32)[0].nbytes), ":", color="C4", label="float32")
ax.plot(n_rows, np.full(11, X.astype(np.float16)[0].nbytes), "--", color="C4", label="float16")
for (name, options), style in zip(frames.items(), ("o-", "s-", "^-"), strict=True):
    ax.plot(n_rows, [bytes_per_row(n, options) for n in n_rows], style, label=name)
ax.set_xscale("log", base=2)
ax.set_yscale("log", base=2)
ax.set_xticks(n_rows[::2], n_rows[::2].tolist())
ax.set_yticks([2, 4, 8, 16, 32], [2, 4, 8, 16, 32])
ax.set(xlabel="rows sent at once", ylabel="bytes per row", ylim=(1.9, 50))
fig.legend(loc="outside upper center", ncols=5, columnspacing=1, handlelength=1.6)

for n in (1, 4, 16, 64):
    sizes = [f"{name} {bytes_per_row(n, options):.1f}" for name, options in frames.items()]
    print(f"{n:2} rows:", ", ".join(sizes), "bytes per row")
