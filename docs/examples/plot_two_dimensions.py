"""
Bins and learned bits in two dimensions
=======================================

Thresholds cut the plane of two features into cells, and a model on the codes gives each cell one answer. Fixed
thresholds put the cells where rows are. Learned thresholds put them where the answer changes.
"""

# %%
# Two classes, separated by the edge of a disc in a corner, and a few wrong labels. Two bits per feature are 16 cells.

import numpy as np
from sklearn.model_selection import train_test_split

rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 2))
y = np.hypot(X[:, 0] - 1.0, X[:, 1] - 1.0) < 0.9
y ^= rng.random(3000) < 0.02
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

# %%
# Both models have the same head and the same training.

from skbsq import BitwiseClassifier, QuantileQuantizer

models = {
    "quantile bins": BitwiseClassifier(quantizer=QuantileQuantizer(2), max_epochs=60, random_state=0),
    "learned bits": BitwiseClassifier(n_bits=2, max_epochs=60, random_state=0),
}
scores = {}
for name, model in models.items():
    scores[name] = model.fit(X_train, y_train).score(X_test, y_test)
    print(f"{name}: {scores[name]:.1%} of the test rows are right")
print(f"the larger class: {max(y_test.mean(), 1 - y_test.mean()):.1%}")

# %%
# The colour is the predicted probability of the class inside the circle. The learned thresholds frame the circle. The
# quantiles spend a threshold in the middle of the rows, where nothing changes.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.5, 3.5), layout="constrained")
grid = np.stack(np.meshgrid(np.linspace(-3, 3, 241), np.linspace(-3, 3, 241)), axis=-1)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    probability = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(241, 241)
    ax.imshow(probability, extent=(-3, 3, -3, 3), origin="lower", cmap="Blues", vmax=1.3, alpha=0.8)
    for k, draw in enumerate((ax.axvline, ax.axhline)):
        for t in model.thresholds_[k]:
            draw(t, color="C1", linewidth=1.2)
    ax.add_patch(plt.Circle((1, 1), 0.9, fill=False, linestyle="--"))
    ax.set(title=f"{name}: {scores[name]:.1%}", xlabel="first feature", xlim=(-3, 3), ylim=(-3, 3))
    ax.grid(False)
axes[0].set_ylabel("second feature")
