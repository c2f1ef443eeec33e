"""
Choosing a downstream model
===========================

The codes are features like any other, so any model of scikit-learn can read them. Which model is best depends on the
data. Try the head that was trained with the thresholds, and a few others.
"""

# %%
# Two data sets with ten features: 442 patients of the diabetes data, whose target is noisy, and 1000 rows of a smooth
# function.

from sklearn.datasets import load_diabetes, make_friedman1

data = {
    "diabetes": load_diabetes(return_X_y=True),
    "a smooth function": make_friedman1(1000, noise=0.5, random_state=0),
}

# %%
# Each model reads the form of the codes that suits it: a linear model reads thermometer bits, neighbours read levels,
# and for trees the numbers of the codes are enough, because trees only compare. Three bits per feature.

from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseQuantizer, BitwiseRegressor


def quantizer(encode):
    return BitwiseQuantizer(n_bits=3, encode=encode, max_epochs=20, random_state=0)


boosting = HistGradientBoostingRegressor(random_state=0)
on_codes = {
    "head": BitwiseRegressor(n_bits=3, max_epochs=20, random_state=0),
    "ridge": make_pipeline(quantizer("thermometer"), RidgeCV([1, 10, 100])),
    "boosting": make_pipeline(quantizer("ordinal"), boosting),
    "neighbours": make_pipeline(quantizer("value"), StandardScaler(), KNeighborsRegressor(10)),
}
on_floats = {
    "head": BitwiseRegressor(quantizer="passthrough", max_epochs=20, random_state=0),
    "ridge": make_pipeline(StandardScaler(), RidgeCV([1, 10, 100])),
    "boosting": boosting,
    "neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor(10)),
}

# %%
# The quantizer is part of each pipeline, so every split learns its thresholds from its training rows alone.

from sklearn.model_selection import KFold, cross_val_score

splits = KFold(4, shuffle=True, random_state=0)
scores = {}
for set_name, (X, y) in data.items():
    for name in on_codes:
        codes = cross_val_score(on_codes[name], X, y, cv=splits).mean()
        floats = cross_val_score(on_floats[name], X, y, cv=splits).mean()
        scores[set_name, name] = codes, floats
        print(f"{set_name:18} {name:11} codes {codes:.2f}   floats {floats:.2f}")

# %%
# The bars are the models on codes, the lines the same models on floats. The order of the models differs between the two
# data sets. On the smooth function ridge regression gains from the bits: a weight per threshold lets it follow a curve.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.5, 3), layout="constrained")
for ax, set_name in zip(axes, data, strict=True):
    for place, name in enumerate(on_codes):
        codes, floats = scores[set_name, name]
        bars = ax.barh(place, codes, 0.6, color="C0")
        lines = ax.vlines(floats, place - 0.4, place + 0.4, color="C1")
    ax.set(title=set_name, xlabel="R2, mean of four splits", xlim=(0, None))
    ax.grid(False, axis="y")
axes[0].set_yticks(range(len(on_codes)), list(on_codes))
axes[0].invert_yaxis()
labels = ("codes, 30 bits per row", "floats, 320 bits per row")
fig.legend([bars, lines], labels, loc="outside upper center", ncols=2)
