"""
Fewer bits, same R2
===================

A row of ten floats takes 320 bits. Most of these bits do not change a prediction. Here a model that reads 20 bits per
row predicts as well as models that read the floats.
"""

# %%
# The target depends on five of ten features. A quarter of the rows is kept for the test.

from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

X, y = make_friedman1(2000, noise=0.5, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# With ``bit_budget`` you say how many bits a row may take. The fit finds out which features need them, and ``rates``
# adds smaller budgets to the same fit.

from skbsq import BitwiseRegressor
from skbsq.model_selection import rate_curve

learned = BitwiseRegressor(bit_budget=30, rates=(5, 10, 15, 20), max_epochs=30, random_state=0)
curve = rate_curve(learned.fit(X_train, y_train), X_test, y_test)
curve.round(3)

# %%
# To compare with: the same network on the bits of quantile thresholds, as many for each feature, and two models on
# floats.

from sklearn.ensemble import HistGradientBoostingRegressor

from skbsq import QuantileQuantizer

fixed = {}
for n_bits in (1, 2, 3):
    model = BitwiseRegressor(quantizer=QuantileQuantizer(n_bits), max_epochs=30, random_state=0)
    fixed[10 * n_bits] = model.fit(X_train, y_train).score(X_test, y_test)

network = BitwiseRegressor(quantizer="passthrough", max_epochs=30, random_state=0).fit(X_train, y_train)
boosting = HistGradientBoostingRegressor(random_state=0).fit(X_train, y_train)
floats = {"network": network.score(X_test, y_test), "boosting": boosting.score(X_test, y_test)}

# %%
# The learned bits reach the lines of the floats. Quantile bits need more of them, because every feature gets as many as
# the others, and half of the features carry nothing.

import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.plot(curve["row_bits"], curve["score"], "o-", label="learned bits with a budget")
ax.plot(list(fixed), list(fixed.values()), "s-", label="quantile bits, equal for all features")
for (name, score), style in zip(floats.items(), ("--", ":"), strict=True):
    ax.axhline(score, color="C4", linestyle=style, label=f"{name} on floats, 320 bits")
ax.set(xlabel="bits per row", ylabel="R2 on test rows", xlim=(0, 32))
ax.legend(loc="lower right")

best = curve[curve["row_bits"] <= 20].iloc[-1]
print(f"learned:  R2 {best['score']:.3f} from {best['row_bits']:.0f} bits per row")
print(f"quantile: R2 {fixed[20]:.3f} from 20 bits per row")
for name, score in floats.items():
    print(f"floats:   R2 {score:.3f} from 320 bits per row, {name}")
