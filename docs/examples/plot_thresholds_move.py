"""
Where thresholds move
=====================

Thresholds that are learned with the model move to where the target changes. Fixed rules look at the feature alone, so
they cannot know where that is.
"""

# %%
# One feature, and a target that changes in a small part of its range only.

import numpy as np

rng = np.random.default_rng(0)
X = rng.uniform(0, 10, size=(2000, 1))
y = np.tanh(1.5 * (X[:, 0] - 7)) + rng.normal(scale=0.1, size=2000)

# %%
# Two bits are three thresholds. They start at the quartiles of the feature, and training moves them.

from skbsq import BitwiseRegressor

model = BitwiseRegressor(n_bits=2, init="quantile", max_epochs=60, random_state=0).fit(X, y)
start, learned = model.quantizer_.initial_thresholds_[0], model.thresholds_[0]
print("start:  ", start.round(2))
print("learned:", learned.round(2))

# %%
# How much of the target can three thresholds explain? For both sets, the best prediction is the mean of the target
# between two thresholds.


def explained(thresholds):
    codes = np.searchsorted(thresholds, X[:, 0])
    means = np.bincount(codes, weights=y) / np.bincount(codes)
    return 1 - np.mean((y - means[codes]) ** 2) / y.var()


print(f"explained at the start {explained(start):.2f}, after learning {explained(learned):.2f}")

# %%
# The grey points are the rows. The arrows show where each threshold starts and where it ends: all three move to the
# part in which the target changes.

import matplotlib.pyplot as plt

fig, (above, below) = plt.subplots(2, sharex=True, height_ratios=(3, 1))
above.plot(X[::4, 0], y[::4], ".", color="C4", markersize=3)
for t in learned:
    above.axvline(t, color="C0", linewidth=1.2)
above.set(ylabel="target")
arrow = {"arrowstyle": "->", "color": "C0", "linewidth": 1.5}
for t_start, t_end in zip(start, learned, strict=True):
    below.annotate("", (t_end, 1), (t_start, 0), arrowprops=arrow)
below.plot(start, np.zeros_like(start), "o", color="C1", clip_on=False)
below.set(xlabel="feature", ylim=(0, 1), yticks=(0, 1), yticklabels=("start", "learned"))
below.grid(False)
