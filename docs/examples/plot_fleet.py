"""
A fleet of gateways
===================

Rows stay where they were measured. Each gateway fits a quantizer on its own rows, chunk by chunk, and a server merges
what they found. The thresholds are those of a fit on all rows.
"""

# %%
# Five gateways in five climates, with different numbers of rows.

import numpy as np

rng = np.random.default_rng(0)
rows = [
    rng.normal(mean, 4, size=(n, 1)).round(1)  # a sensor with one decimal
    for mean, n in zip((2, 9, 14, 16, 27), (800, 2500, 1200, 4000, 600), strict=True)
]

# %%
# ``partial_fit`` takes the rows of a day and forgets them: a quantizer keeps a summary per feature. It needs the
# package datasketches: ``pip install 'skbsq[sketch]'``.

import copy

from skbsq import QuantileQuantizer

fleet = []
for of_gateway in rows:
    quantizer = QuantileQuantizer(n_bits=3)
    for day in np.array_split(of_gateway, 10):
        quantizer.partial_fit(day)
    fleet.append(quantizer)

merged = copy.deepcopy(fleet[0]).merge(*fleet[1:])  # merge changes its quantizer
everything = np.concatenate(rows)
together = QuantileQuantizer(n_bits=3).fit(everything)
print("merged:      ", merged.thresholds_[0].round(2))
print("all together:", together.thresholds_[0].round(2))
differ = merged.transform(everything) != together.transform(everything)
print("rows with other codes:", int(differ.sum()))

# %%
# Each gateway alone would choose other thresholds. One codebook for the fleet is needed all the same, because a model
# must know what a code means, whoever sent it. The long lines are the merged thresholds. The last row shows those of
# one fit on all rows.

import matplotlib.pyplot as plt

fig, ax = plt.subplots()
names = [*(f"gateway {k + 1}" for k in range(5)), "merged", "one fit"]
colors = ["C4"] * 5 + ["C0", "C1"]
ax.eventplot([q.thresholds_[0] for q in (*fleet, merged, together)], linelengths=0.7, colors=colors)
for t in merged.thresholds_[0]:
    ax.axvline(t, color="C0", linewidth=0.6, zorder=0)
ax.set_yticks(range(len(names)), names)
ax.invert_yaxis()
ax.grid(False)
ax.set(xlabel="thresholds of the temperature")
