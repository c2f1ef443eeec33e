"""
Categories in the same row
==========================

A column of text is learned with the numbers beside it. Its categories are ordered by what they say about the target,
and neighbours in this order share a code. Here forty sites need three bits.
"""

# %%
# The table has a number, forty sites and a flag. Each site shifts the target by a different amount.

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

rng = np.random.default_rng(0)
n, effects = 4000, rng.normal(size=40)
site = rng.integers(40, size=n)
X = pd.DataFrame(
    {"temperature": rng.normal(20, 5, n), "site": [f"site {k}" for k in site], "door open": rng.random(n) < 0.3}
)
y = 0.2 * X["temperature"] + 2 * effects[site] - X["door open"] + rng.normal(0, 0.3, n)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Learned codes, beside quantile bins, which know the sites only by their number of rows. Both send seven bits per row.

from skbsq import BitwiseRegressor, QuantileQuantizer

learned = BitwiseRegressor(n_bits=3, max_epochs=20, random_state=0).fit(X_train, y_train)
fixed = BitwiseRegressor(quantizer=QuantileQuantizer(3), max_epochs=20, random_state=0).fit(X_train, y_train)
for name, model in (("learned", learned), ("by number of rows", fixed)):
    print(f"{name}: R2 {model.score(X_test, y_test):.2f} from {model.codebook_.row_bits} bits per row")

# %%
# A row is a few bits, and the codebook turns it back into a typical one.

row = X_test.iloc[:1]
codes = learned.codebook_.encode(row)
print(row.to_dict("records")[0], codes, learned.quantizer_.inverse_transform(codes).to_dict("records")[0], sep="\n")

# %%
# Each dot is a site. With learned codes, a code holds sites that do the same. By number of rows, a code holds sites
# that have nothing in common, and the server cannot tell them apart.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, sharey=True, layout="constrained")
for ax, model, title in zip(axes, (learned, fixed), ("learned with the target", "by number of rows"), strict=True):
    codes_of_sites = model.codebook_.categories[1]
    ax.scatter([codes_of_sites[f"site {k}"] for k in range(40)], 2 * effects, s=24)
    ax.set(xlabel="code of the site", title=title)
axes[0].set_ylabel("effect on the target")
