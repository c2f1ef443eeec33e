"""
A battery-driven rate
=====================

A device with a solar cell has more energy in summer than in winter. If the model has several rates, the device can
send more bits when the battery is full and fewer when it is low.
"""

# %%
# One fit with three rates. A packet holds 20 rows of ten features.

from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

from skbsq import BitwiseRegressor
from skbsq.model_selection import rate_curve

X, y = make_friedman1(2000, noise=0.5, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = BitwiseRegressor(n_bits=4, rates=(1, 2), max_epochs=30, random_state=0).fit(X_train, y_train)
scores = rate_curve(model, X_test, y_test).set_index("rate")["score"]

# %%
# A simple account of energy: every packet has a fixed cost, and a cost per byte. The sun charges the battery, little in
# December and much in June. The year begins in September with a full battery.

import numpy as np

FULL, FIXED, PER_BYTE, PACKETS = 500.0, 0.03, 0.0006, 144  # joules, and packets per day
days = np.arange(365)
sun = 13 - 8 * np.cos(2 * np.pi * (days - 111) / 365)  # the shortest day is the 111th
sun *= np.random.default_rng(0).uniform(0.5, 1.5, size=365)  # clouds
row_bytes = {rate: codebook.row_bits / 8 for rate, codebook in model.codebooks_.items()}
cost = {rate: PACKETS * (FIXED + PER_BYTE * 20 * size) for rate, size in row_bytes.items()}
print({rate: f"{joules:.1f} J per day" for rate, joules in cost.items()})


def live(policy):
    """Charge at the end of each day, and the rate of each day; 0 where the battery is empty."""
    charge, charges, rates = FULL, [], []
    for gain in sun:
        charge = min(FULL, charge + gain)
        rate = policy(charge / FULL)
        rate = rate if charge >= cost[rate] else 0
        charge -= cost.get(rate, 0)
        charges.append(charge / FULL)
        rates.append(rate)
    return np.array(charges), np.array(rates)


# %%
# Three policies: always 4 bits, always 1 bit, and 4, 2 or 1 bits by the charge.

policies = {
    "always 4 bits": lambda charge: 4,
    "always 1 bit": lambda charge: 1,
    "by the charge": lambda charge: 4 if charge > 0.6 else 2 if charge > 0.3 else 1,
}
lives = {name: live(policy) for name, policy in policies.items()}

# %%
# With 4 bits the battery is empty in winter and the device is silent for weeks. With 1 bit it never is, and predicts
# worse all year. The device that looks at its charge is never silent, and sends 4 bits for most of the year.

import matplotlib.pyplot as plt

fig, ax = plt.subplots()
for (name, (charges, _)), style in zip(lives.items(), ("C1--", "C4:", "C0-"), strict=True):
    ax.plot(days, 100 * charges, style, label=name)
ax.set(xlabel="days from September on", ylabel="charge in %", ylim=(0, 105))
ax.legend(loc="lower right")

for name, (_, rates) in lives.items():
    r2 = np.mean([scores[rate] for rate in rates if rate])
    silent, fine = np.sum(rates == 0), np.sum(rates == 4)
    print(f"{name}: silent on {silent} days, 4 bits on {fine} days, mean R2 {r2:.2f}")
