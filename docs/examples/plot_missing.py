"""
Missing sensors
===============

Sensors fail. With ``missing="code"`` each feature has a code that means "no reading", and the model learns what to do
then. No gap needs to be filled in on the device.
"""

# %%
# In training one reading in five is missing.

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

rng = np.random.default_rng(0)


def with_gaps(X, share):
    return np.where(rng.random(X.shape) < share, np.nan, X)


X, y = make_friedman1(4000, n_features=5, noise=0.5, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Two models with 4 bits per feature. One learns from rows with gaps. The other learns from whole rows, and the gaps of
# new rows are filled with the mean.

from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from skbsq import BitwiseRegressor

coded = BitwiseRegressor(n_bits=4, missing="code", max_epochs=20, random_state=0)
filled = make_pipeline(SimpleImputer(), BitwiseRegressor(n_bits=4, max_epochs=20, random_state=0))
models = {
    "missing code": coded.fit(with_gaps(X_train, 0.2), y_train),
    "filled with the mean": filled.fit(X_train, y_train),
}

# %%
# The more readings are missing, the more the missing code is worth. Without gaps the other model is slightly ahead: it
# was trained on whole rows, and none of its 16 levels is reserved.

import matplotlib.pyplot as plt

shares = np.linspace(0, 0.5, 6)
gaps = [with_gaps(X_test, share) for share in shares]
scores = {name: [model.score(rows, y_test) for rows in gaps] for name, model in models.items()}

fig, ax = plt.subplots()
for (name, values), style in zip(scores.items(), ("o-", "s--"), strict=True):
    ax.plot(shares, values, style, label=name)
ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
ax.set(xlabel="readings that are missing", ylabel="R2 on test rows")
ax.legend()

import pandas as pd

pd.DataFrame(scores, index=pd.Index(shares.round(1), name="missing")).round(2)
