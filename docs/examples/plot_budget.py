"""
Spending a budget
=================

Features differ: some need many levels, some need one threshold, some carry nothing. With ``bit_budget`` you set the
bits of a row, and the fit splits them over the features.
"""

# %%
# Ten features. The target depends on the first five; the third one bends it, the fourth and fifth are linear.

from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

from skbsq import BitwiseRegressor

X, y = make_friedman1(2000, noise=0.5, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

model = BitwiseRegressor(bit_budget=16, max_epochs=30, random_state=0).fit(X_train, y_train)
model.allocation_.round(4)

# %%
# In the table, ``loss_if_dropped`` is by how much the loss grows if a feature is not sent, and ``loss_of_one_bit_less``
# by how much with one bit less. The split keeps the bits that are worth most.
#
# The bars show the bits of each feature. Five sensors get none, so you need not build them in.

import matplotlib.pyplot as plt

from skbsq.plotting import AllocationDisplay

fig, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
AllocationDisplay.from_estimator(model, ax=ax)
ax.set(xlabel="bits", ylabel="feature")

equal = BitwiseRegressor(n_bits=2, max_epochs=30, random_state=0).fit(X_train, y_train)
for name, fitted in {"a budget of 16 bits": model, "2 bits per feature": equal}.items():
    print(f"{name}: {fitted.codebook_.row_bits} bits per row, R2 {fitted.score(X_test, y_test):.3f}")
