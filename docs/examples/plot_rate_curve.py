"""
The rate curve from one fit
===========================

How many bits are enough? You need not fit a model for each answer. With ``rates`` one fit contains several codebooks,
and each row can be sent at any of them.
"""

# %%
# The fit is that of 5 bits per feature. The four coarser rates have some of its thresholds, and share its head.

from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

from skbsq import BitwiseRegressor
from skbsq.model_selection import rate_curve

X, y = make_friedman1(2000, noise=0.5, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

model = BitwiseRegressor(n_bits=5, rates=(1, 2, 3, 4), max_epochs=30, random_state=0)
curve = rate_curve(model.fit(X_train, y_train), X_test, y_test)
curve.round(3)

# %%
# To see what a shared fit costs, the picture also has a separate fit for each rate.

separate = []
for rate in curve["rate"]:
    alone = BitwiseRegressor(n_bits=rate, max_epochs=30, random_state=0).fit(X_train, y_train)
    separate.append(alone.score(X_test, y_test))

# %%
# Both curves are flat from 4 bits on: there the noise of the target is what remains. Choose the rate at which your
# curve becomes flat, and keep the lower ones for days when the battery or the link is weak.

import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.plot(curve["row_bits"], curve["score"], "o-", label="one fit, five rates")
hollow = {"fillstyle": "none", "markersize": 9}
ax.plot(curve["row_bits"], separate, "C1s", **hollow, label="a separate fit per rate")
for rate, bits, score in curve.itertuples(index=False):
    ax.annotate(f"{rate} bit{'s' * (rate > 1)}", (bits, score), (8, -14), textcoords="offset points")
ax.set(xlabel="bits per row", ylabel="R2 on test rows", xlim=(5, 58))
ax.legend(loc="lower right")

for rate, alone, score in zip(curve["rate"], separate, curve["score"], strict=True):
    print(f"bits per feature: {rate}, R2 {score:.3f}, of a separate fit {alone:.3f}")
