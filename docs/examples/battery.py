"""A device that halves its bits as its battery falls: days of life against error, on a simulated LoRa link.

    python docs/examples/battery.py

prints the table of docs/guide/rates.md and draws docs/guide/battery.svg. One fit gives four rates. A device packs its
readings at the rate that its policy chooses, and the server predicts from the bytes. The port number of LoRaWAN is one
of the 13 bytes around the payload, and tells the server the rate. Air time and energy of sending come from air_time.py.

Assumptions:

- 10 features are read every 30 seconds. 20 readings share a packet at SF9, every 10 minutes: 0.1 % of the time.
- After each packet the radio listens twice for 8 symbols, as LoRaWAN's class A does, with 9.9 mA (*SX1276/77/78/79
  datasheet*, first page).
- A reading takes 0.5 mJ: 50 ms with 3 mA for the sensors and the microcontroller.
- 5 uA flow all the time: 0.2 uA in the sleeping SX1276 (first page), 0.86 uA in an STM32L072 in Stop mode with its
  clock (*STM32L072 datasheet*, first page), and the rest in a regulator and in sensors.
- Battery alone: 7000 J, three quarters of what a CR2 lithium cell holds (850 mAh at 3 V).
- Window: 500 J, which a LIR2032 cell holds (40 mAh at 3.7 V), and a small solar cell. Behind a dim window the cell
  yields 4 J on an average day in December and 20 J in June, behind a bright window half as much again. Clouds change
  each day by up to one half, in both directions. The year begins in September with a full battery.
"""

import argparse
import itertools
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from air_time import LORAWAN_BYTES, VOLTS, air_time, energy
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

from skbsq import BitwiseRegressor
from skbsq.codec import RowCodec

PICTURE = Path(__file__).parents[1] / "guide" / "battery.svg"
SPREADING_FACTOR, READINGS, SECONDS = 9, 20, 600
PACKETS_PER_DAY = 24 * 3600 // SECONDS
LISTENING = VOLTS * 9.9e-3 * 2 * 8 * 2**SPREADING_FACTOR / 125e3
MEASURING, SLEEPING = 0.5e-3 * READINGS, VOLTS * 5e-6 * SECONDS
# Joules of a full battery, and what its solar cell yields as a multiple of `daylight`.
SETTINGS = {"battery alone": (7000.0, None), "dim window": (500.0, 1.0), "bright window": (500.0, 1.5)}
DAYS = 365  # with a solar cell
RATES = (4, 3, 2, 1)
# A policy is a list of pairs, from a full battery to an empty one: from this share of the charge on, this rate.
FIXED = {f"{rate} bits" if rate > 1 else "1 bit": [(0, rate)] for rate in RATES}
NESTED = {
    f"halves at {high} and {low} %": [(high / 100, 4), (low / 100, 2), (0, 1)]
    for high, low in ((75, 50), (50, 25), (20, 10))
}


def train(X, y, **parameters):
    """One fit with all rates, and for comparison a fit of each rate alone: dict of rate to model."""
    nested = BitwiseRegressor(n_bits=4, rates=(1, 2, 3), random_state=0, **parameters).fit(X, y)
    # Without rates, the model with 4 bits is the same to the last bit.
    own = {rate: BitwiseRegressor(n_bits=rate, random_state=0, **parameters).fit(X, y) for rate in RATES[1:]}
    return nested, {4: nested} | own


def packed(codebook, readings):
    """Payloads of the packets that hold the readings."""
    codec, codes = RowCodec(codebook), codebook.encode(readings)
    return [codec.pack_tight(codes[k : k + READINGS]).tobytes() for k in range(0, len(codes), READINGS)]


def unpacked(codebook, payloads):
    """Codes of all readings in some payloads."""
    codec = RowCodec(codebook)
    return np.concatenate([codec.unpack_tight(np.frombuffer(data, np.uint8), READINGS) for data in payloads])


def squared_errors(model, X, y, rate=None):
    """Mean squared error of each packet, as the server predicts it from the bytes."""
    codebook = model.codebook_ if rate is None else model.codebooks_[rate]
    y_pred = model.predict_codes(unpacked(codebook, packed(codebook, X)), rate=rate)
    return ((y_pred - y) ** 2).reshape(-1, READINGS).mean(axis=1)


def sending(payload_bytes):
    """Joules that a packet takes on the air."""
    return energy(air_time(LORAWAN_BYTES + payload_bytes, SPREADING_FACTOR))


def joules(payload_bytes):
    """Joules from one packet to the next."""
    return sending(payload_bytes) + LISTENING + MEASURING + SLEEPING


def daylight(days):
    """Joules of each day from the first of September on, behind the dim window."""
    season = 12 - 8 * np.cos(2 * np.pi * (np.arange(days) - 111) / 365)  # the shortest day is the 21st of December
    return season * np.random.RandomState(0).uniform(0.5, 1.5, days)


def rate_at(policy, charge):
    """Rate that a policy chooses at a charge from 0 to 1."""
    return next(rate for share, rate in policy if charge >= share)


def live(policy, battery, costs, gains=None):
    """Send packets until the battery is empty or the gains end.

    Parameters
    ----------
    policy : list of (share, rate)
    battery : float
        Joules of the full battery, with which life begins.
    costs : dict of int to float
        Joules from one packet to the next, at each rate.
    gains : iterable of float, default=None
        Joules that arrive before each packet. What the battery cannot hold is lost. None: none, forever.

    Returns
    -------
    sent : list of int
        The rate of each packet.
    charges : list of float
        Joules left after each packet.
    """
    charge, sent, charges = battery, [], []
    for gain in itertools.repeat(0.0) if gains is None else gains:
        charge = min(charge + gain, battery)
        rate = rate_at(policy, charge / battery)
        if costs[rate] > charge:
            break
        charge -= costs[rate]
        sent.append(rate)
        charges.append(charge)
    return sent, charges


def mean_error(sent, errors):
    """Root of the mean squared error over a life, which sends the packets of test rows again and again."""
    rates = sorted(errors)
    table = np.array([errors[rate] for rate in rates])
    return np.sqrt(table[np.searchsorted(rates, sent), np.arange(len(sent)) % table.shape[1]].mean())


def simulate(sizes, nested, own):
    """Live every policy in every setting.

    Parameters
    ----------
    sizes : dict of int to int
        Bytes of a payload at each rate.
    nested, own : dict of int to array
        Squared errors of each packet at each rate: of the model with all rates, and of a model for each rate.

    Returns
    -------
    lives : DataFrame
        One row per setting and policy.
    charges : dict of (setting, policy) to array
        Share of the battery that is left at the end of each day.
    """
    costs = {rate: joules(size) for rate, size in sizes.items()}
    rows, charges = [], {}
    for setting, (battery, window) in SETTINGS.items():
        gains = window and np.repeat(window * daylight(DAYS) / PACKETS_PER_DAY, PACKETS_PER_DAY).tolist()
        for name, policy in (FIXED | NESTED).items():
            sent, left = live(policy, battery, costs, gains)
            packets = {rate: sent.count(rate) for rate in sizes}
            payloads = sum(n * (sending(sizes[rate]) - sending(0)) for rate, n in packets.items())
            rows.append(
                {
                    "setting": setting,
                    "policy": name,
                    "days": len(sent) / PACKETS_PER_DAY,
                    "rows": len(sent) * READINGS,
                    "error": mean_error(sent, nested),
                    "own_error": mean_error(sent, own),
                    "payload_share": payloads / sum(n * costs[rate] for rate, n in packets.items()),
                }
            )
            charges[setting, name] = np.array(left[PACKETS_PER_DAY - 1 :: PACKETS_PER_DAY]) / battery
    return pd.DataFrame(rows), charges


def table(lives):
    """The table of the page; its second and its last column are those of the battery alone."""
    lines = [f"| | payload's energy | {' | '.join(SETTINGS)} | a model per rate |", "|---|---|---|---|---|---|"]
    for name, found in lives.groupby("policy", sort=False):
        alone = found.iloc[0]
        cells = [f"{days:.0f} days, {error:.2f}" for days, error in zip(found["days"], found["error"], strict=True)]
        share = f"{100 * alone.payload_share:.0f} %"
        lines.append(f"| {name} | {share} | {' | '.join(cells)} | {alone.own_error:.2f} |")
    return "\n".join(lines)


def draw(lives, charges, path):
    """Draw error against days of life in each setting, and below it the charge behind the dim window, as SVG."""
    colors = dict(zip(NESTED, ("#D55E00", "#009E73", "#CC79A7"), strict=True))
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplot_mosaic([list(SETTINGS), ["charge"] * len(SETTINGS)])
    for setting, found in lives.groupby("setting", sort=False):
        ax, points = axes[setting], found.set_index("policy")[["days", "error"]]
        ax.plot(*points.loc[list(FIXED)].to_numpy().T, "o-", color="0.45", label="fixed rate")
        for name in FIXED:
            ax.annotate(name, points.loc[name], (10, -3), textcoords="offset points", fontsize=9)
        for (name, color), marker in zip(colors.items(), "^sD", strict=True):
            style = {"markersize": 9, "markerfacecolor": "none", "markeredgewidth": 2}
            ax.plot(*points.loc[name], marker, color=color, label=name, **style)
        ax.set(title=setting, xlabel="days of life", xlim=(0, 1.25 * points["days"].max()))
        ax.set_ylim(0, 1.15 * lives["error"].max())
    axes["battery alone"].set_ylabel("error (RMSE)")
    lines = {"4 bits": "0.1", "2 bits": "0.6"} | {name: colors[name] for name in list(NESTED)[1:]}
    for name, color in lines.items():
        charge = charges["dim window", name]
        axes["charge"].plot(np.arange(1, len(charge) + 1), charge, color=color, linewidth=1.3, label=name)
    axes["charge"].set(title="charge of the battery behind the dim window", xlabel="days from September on")
    axes["charge"].set_ylim(0, 1.02)
    axes["charge"].yaxis.set_major_formatter(PercentFormatter(1))
    axes["charge"].legend(frameon=False, loc="center right")
    for ax in axes.values():
        ax.grid(True, color="0.9", linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes["battery alone"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "battery"}):  # the same numbers give the same text
        figure.savefig(path, format="svg", metadata={"Date": None})


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="rows for training, and for the test; a multiple of 20")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args(argv)
    X, y = make_friedman1(2 * arguments.rows, noise=0.5, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=arguments.rows, random_state=0)
    model, models = train(X_train, y_train, max_epochs=arguments.epochs)
    sizes = {rate: len(packed(model.codebooks_[rate], X_test[:READINGS])[0]) for rate in RATES}
    nested = {rate: squared_errors(model, X_test, y_test, rate) for rate in RATES}
    own = {rate: squared_errors(models[rate], X_test, y_test) for rate in RATES}
    lives, charges = simulate(sizes, nested, own)
    print(table(lives))
    draw(lives, charges, arguments.picture)


if __name__ == "__main__":
    main()
