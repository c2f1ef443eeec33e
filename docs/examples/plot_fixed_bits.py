"""
When fixed bits win
===================

Learned thresholds suit the target that they were learned for. If the same rows must answer another question later,
quantile thresholds can be the better choice, because they favour no question.
"""

# %%
# Two targets of the same ten features. Today's depends on the first five, the later one on the last five.

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

X, today = make_friedman1(2000, noise=0.5, random_state=0)
later = 10 * X[:, 5] * X[:, 6] + 20 * (X[:, 7] - 0.5) ** 2 + 10 * X[:, 8] + 5 * X[:, 9]
X_train, X_test, train, test = train_test_split(X, np.stack([today, later], axis=1), random_state=0)

# %%
# Two ways to spend at most 30 bits per row: a budget, learned for today's target, and three quantile bits per feature.

from skbsq import BitwiseQuantizer, BitwiseRegressor, QuantileQuantizer

learned = BitwiseQuantizer(bit_budget=30, max_epochs=30, random_state=0)
quantizers = {
    "learned for today": learned.fit(X_train, train[:, 0]),
    "quantiles": QuantileQuantizer(3).fit(X_train),
}
for name, quantizer in quantizers.items():
    print(f"{name}: bits per feature {quantizer.n_bits_.tolist()}")

# %%
# The device keeps its thresholds. Only the head is trained, once for each target. `ThresholdQuantizer` holds the
# thresholds that were found.

from skbsq import ThresholdQuantizer

scores = {}
for name, quantizer in quantizers.items():
    given = ThresholdQuantizer(quantizer.thresholds_)
    model = BitwiseRegressor(quantizer=given, max_epochs=30, random_state=0)
    scores[name] = [model.fit(X_train, train[:, k]).score(X_test, test[:, k]) for k in (0, 1)]

# %%
# For today's target the learned bits are ahead. For the later one they are useless: the features that it needs were
# not sent. If you do not know the questions yet, use quantiles, or learn with several targets at once.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(layout="constrained")
places = np.arange(2)
for k, (name, pair) in enumerate(scores.items()):
    bars = ax.bar(places + 0.2 * (2 * k - 1), pair, 0.36, label=name)
    ax.bar_label(bars, fmt="%.2f", padding=2)
ax.set_xticks(places, ("today's target", "a later target"))
ax.grid(False, axis="x")
ax.axhline(0, color="C4", linewidth=0.8)
ax.set(ylabel="R2 on test rows")
ax.margins(y=0.12)
fig.legend(loc="outside upper center", ncols=2)
