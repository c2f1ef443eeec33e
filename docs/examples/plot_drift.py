"""
Drift seen from codes
=====================

A server has no floats to look at, but the codes show when a sensor drifts or fails. `CodeMonitor` counts them and
compares the counts with those of training.
"""

# %%
# Three sensors. On the server only the codebook is needed, which has the counts of the training rows.

import numpy as np

from skbsq import QuantileQuantizer
from skbsq.monitoring import CodeMonitor

rng = np.random.default_rng(0)
names = ["healthy", "drifting", "failing"]
past = rng.normal(size=(5000, 3))
past[rng.random(past.shape) < 0.01] = np.nan  # one reading in a hundred is lost
codebook = QuantileQuantizer(2, missing="code").fit(past).codebook_

# %%
# Sixty days of 300 rows. From day 20 on the second sensor reads a little more each day, and from day 40 on the third
# one loses every fifth reading.

reports = []
for day in range(60):
    readings = rng.normal(size=(300, 3))
    readings[:, 1] += 0.02 * max(0, day - 20)
    readings[rng.random(readings.shape) < [0.01, 0.01, 0.2 if day >= 40 else 0.01]] = np.nan
    reports.append(CodeMonitor(codebook).update(codebook.encode(readings)).report())

psi = np.array([report["psi"] for report in reports])
p_values = np.array([report["p_value"] for report in reports])

# %%
# The index of the picture says how far the shares of the codes moved. It is never zero, so the alarm looks at the
# p-value instead. There are 180 tests, hence the small limit: without drift, one alarm or more in 60 days has a
# probability of 5 %.

import matplotlib.pyplot as plt

alarms = p_values * p_values.size < 0.05
fig, ax = plt.subplots()
for k, (color, style) in enumerate((("C4", "-"), ("C0", "--"), ("C1", "-."))):
    days = np.flatnonzero(alarms[:, k])
    ax.plot(psi[:, k], style, color=color, label=names[k])
    ax.plot(days, psi[days, k], "o", color=color, markersize=5)
ax.plot([], [], "o", color="C4", markersize=5, label="alarm")
ax.set(xlabel="day", ylabel="population stability index")
ax.legend()

for k, name in enumerate(names):
    days = np.flatnonzero(alarms[:, k])
    print(f"{name}: {days.size} alarms" + (f", the first on day {days[0]}" if days.size else ""))
