"""Draw the figures of how_it_works.md: python docs/figures.py writes docs/figures/*.svg.

They are transparent, 624 pixels wide and drawn for a light page. `_static/skbsq.css` turns their lightness around on a
dark one.
"""

from pathlib import Path
from unittest import mock

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from gallery_style import COLORS, STYLE
from matplotlib.patches import FancyArrowPatch, Rectangle
from sklearn.datasets import make_friedman1

from skbsq import BitwiseRegressor, Codebook
from skbsq.budget import allocate_bits
from skbsq.codec import RowCodec, dumps

FOLDER = Path(__file__).parent / "figures"
BLUE, ORANGE, GREEN, _, GREY = COLORS
MONO = {"family": "monospace"}


def canvas(height, width=100.0):
    """Axes without a frame, `width` units wide, on which a unit is as high as it is wide."""
    figure, ax = plt.subplots(figsize=(6.5, 6.5 * height / width), layout="none")
    ax.set_position((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return figure, ax


def box(ax, x, y, width, height, text, color="0.35", **style):
    """Draw a box with a text in its middle; x and y are its lower left corner."""
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=1.4))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", **{"fontsize": 9.5, **style})


def arrow(ax, start, end, color="0.35", **style):
    """Draw an arrow between two points."""
    patch = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0, **style)
    patch.set(color=color, linewidth=1.4)
    ax.add_patch(patch)


def pipeline():
    """From a sensor to a prediction."""
    codebook = Codebook.from_thresholds([[18.0, 20.5, 23.0]])
    reading = 21.4
    (code,) = codebook.encode([[reading]])[0]
    bits = "".join(map(str, codebook.thermometer([[code]])[0]))
    figure, ax = canvas(30)
    steps = [
        ("sensor", f"{reading}"),
        ("thresholds", ""),
        ("code", f"{code}"),
        ("bits sent", f"{code:02b}"),
        ("bits rebuilt", " ".join(bits)),
        ("head", "prediction"),
    ]
    lefts, widths = [0.5, 13.5, 37, 46.5, 65.5, 85.5], [9.5, 20, 6, 8.5, 13, 14]
    for k, ((title, content), x, width) in enumerate(zip(steps, lefts, widths, strict=True)):
        box(ax, x, 10, width, 9, content, color=BLUE if k < 4 else ORANGE)
        ax.text(x + width / 2, 20.5, title, ha="center", va="bottom", fontsize=9.5)
        if k:
            arrow(ax, (lefts[k - 1] + widths[k - 1] + 0.4, 14.5), (x - 0.4, 14.5))
    for k, t in enumerate(codebook.thresholds[0]):
        ax.text(17 + 6.5 * k, 16.2, f"{t:g}", ha="center", va="center", fontsize=9.5)
        ax.text(17 + 6.5 * k, 12.6, "above" if bits[k] == "1" else "below", ha="center", va="center", fontsize=8)
    ax.text(60, 16.2, "radio", ha="center", fontsize=9.5)
    for left, right, text, color in ((0.5, 55, "device: comparisons only", BLUE), (65, 99.5, "server", ORANGE)):
        ax.plot([left, left, right, right], [7.5, 6, 6, 7.5], color=color, linewidth=1.2)
        ax.text((left + right) / 2, 2, text, ha="center", color=color, fontsize=9.5)
    return figure


def codes():
    """Histogram of one feature, and what the thresholds make of it."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(19, 1.2, 1500), rng.normal(24, 1.8, 900)]).astype(np.float32)
    thresholds = [18.0, 20.5, 24.0]
    found = np.searchsorted(np.asarray(thresholds, np.float32), values)  # x > t, strictly
    levels = [values[found == code].mean() for code in range(4)]
    codebook = Codebook.from_thresholds([thresholds], levels=[levels])
    figure, (above, below) = plt.subplots(2, sharex=True, height_ratios=(2, 1.5), figsize=(6.5, 4))
    above.hist(values, bins=60, color="0.8")
    above.margins(y=0.15)
    for ax in (above, below):
        ax.grid(False)
        ax.set(yticks=[])
        ax.spines["left"].set_visible(False)
        for t in thresholds:
            ax.axvline(t, color=BLUE, linewidth=1.4)
    style = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top", "color": BLUE}
    for k, t in enumerate(thresholds):
        above.annotate(f"$t_{k + 1}$ = {t:g}", (t, 1), (3, -2), **style)
    edges = np.array([14.5, *thresholds, 29.5])
    middles = (edges[1:] + edges[:-1]) / 2
    for code, (middle, level) in enumerate(zip(middles, codebook.levels[0], strict=True)):
        bits = "".join(map(str, codebook.thermometer([[code]])[0]))
        for y, text in ((2.5, str(code)), (1.5, bits)):
            below.text(middle, y, text, ha="center", va="center", **MONO)
        below.plot(level, 0.75, "o", color=ORANGE, markersize=5)
        below.text(level, 0.25, f"{level:.1f}", ha="center", va="center", fontsize=9.5)
    below.set(ylim=(0, 3), xlim=(14.5, 29.5), xlabel="feature", yticks=[2.5, 1.5, 0.5])
    below.set_yticklabels(["code", "bits", "level"])
    below.tick_params(axis="y", length=0)
    above.set_ylabel("rows")
    return figure


def sigmoids():
    """The sigmoid at three temperatures, and its slope."""
    z = np.linspace(-3, 3, 1201)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.9))
    for tau, color, style in ((1.0, GREEN, "--"), (0.1, BLUE, "-"), (0.001, ORANGE, "-")):
        soft = 1 / (1 + np.exp(-np.clip(z / tau, -500, 500)))
        left.plot(z, soft, style, color=color, label=f"$\\tau = {tau:g}$")
        right.plot(z, soft * (1 - soft) / tau, style, color=color)
    left.set(title="what the head reads", xlabel="$z - \\theta$")
    right.set(title="slope: how hard a row pulls", xlabel="$z - \\theta$", ylim=(0, 2.7))
    left.legend(loc="lower right", handlelength=1.5)
    return figure


def training():
    """What the head reads in training, and on the server."""
    figure, ax = canvas(42)
    lanes = {
        "training": (28.5, ["x", "scale\nz", r"$\sigma((z-\theta)\,/\,\tau)$", "head", "loss"]),
        "deployment": (6.5, ["x", "x > t\ncode", "bytes", "bits", "head"]),
    }
    lefts, widths = [1, 19, 40, 68, 87], [10, 13, 20, 11, 12]
    for name, (y, texts) in lanes.items():
        ax.text(0.5, y + 9.5, name, fontsize=10)
        for k, text in enumerate(texts):
            box(ax, lefts[k], y, widths[k], 8, text, color=BLUE if name == "training" else ORANGE)
            if k:
                arrow(ax, (lefts[k - 1] + widths[k - 1] + 0.4, y + 4), (lefts[k] - 0.4, y + 4))
    for start, end in ((4, 3), (3, 2)):
        xs = lefts[start] + widths[start] / 2, lefts[end] + widths[end] / 2
        arrow(ax, (xs[0], 28.6), (xs[1], 28.6), color=GREEN, connectionstyle="arc3,rad=-0.25", linestyle="--")
    ax.text(80, 23, "gradient to the head and to $\\theta$", ha="center", va="top", color=GREEN, fontsize=9.5)
    arrow(ax, (25.5, 28.6), (25.5, 14.4), linestyle=":")
    ax.text(27, 21, "the same thresholds,\nback in the units of x", va="center", fontsize=9.5)
    for left, right, text in ((1, 39, "device"), (67, 99, "server")):
        ax.text((left + right) / 2, 2.5, text, ha="center", fontsize=9.5)
    return figure


def budget():
    """Bits of each feature in the rounds of a budget."""
    X, y = make_friedman1(2000, noise=0.5, random_state=0)
    rounds = []

    def recorded(costs, budget):
        if not rounds:
            rounds.append([len(cost) - 1 for cost in costs])
        bits = allocate_bits(costs, budget)
        rounds.append(list(bits))
        return bits

    with mock.patch("skbsq.training.budget.allocate_bits", recorded):
        model = BitwiseRegressor(bit_budget=16, max_epochs=30, random_state=0).fit(X, y)
    if list(model.n_bits_) != rounds[-1]:
        rounds.append(list(model.n_bits_))
    table = np.array(rounds)
    figure, ax = plt.subplots(figsize=(6.5, 0.9 + 0.36 * len(table)))
    ax.imshow(table, cmap="Blues", vmin=0, vmax=2 * table.max(), aspect="auto", alpha=0.9)
    for (row, feature), bits in np.ndenumerate(table):
        ax.text(feature, row, bits or "·", ha="center", va="center")
    ax.set_xticks(range(10), [f"x{j}" for j in range(10)])
    ax.xaxis.tick_top()
    names = ["wide model", *(f"round {k}" for k in range(1, len(table)))]
    ax.set_yticks(range(len(table)), [f"{name}: {bits.sum()} bits" for name, bits in zip(names, table, strict=True)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    return figure


def layout():
    """A packed row, bit by bit, and a message, byte by byte."""
    codebook = Codebook.from_thresholds([[0, 1, 2], [0, 1, 2, 3, 4, 5]])
    row_codes = [2, 5]
    (byte,) = RowCodec(codebook).pack([row_codes])[0]
    figure, ax = canvas(50)
    ax.text(0.5, 46, "a row: two features, codes 2 and 5", fontsize=10)
    colors = [BLUE] * 2 + [ORANGE] * 3 + [GREY] * 3
    for i in range(8):
        box(ax, 2 + 8 * i, 32, 8, 7, str(byte >> i & 1), color=colors[i], **MONO)
        ax.text(6 + 8 * i, 40, f"bit {i}", ha="center", va="bottom", fontsize=8.5, color="0.35")
    for x, text, color in ((10, "code 2", BLUE), (30, "code 5", ORANGE), (54, "padding", GREY)):
        ax.text(x, 27.8, text, ha="center", color=color, fontsize=9.5)
    ax.text(69, 35.5, f"= one byte, {byte}", va="center")
    message = dumps(codebook, [row_codes])
    ax.text(0.5, 21, f"a message: {len(message)} bytes with this one row", fontsize=10)
    parts = [
        ("SBSQ", 4, "4", BLUE, 10),
        ("version", 1, "1", GREY, 12),
        ("flags", 1, "1", GREY, 9),
        ("fingerprint of\nthe codebook", 8, "8", BLUE, 25),
        ("rows", 4, "4", GREY, 10),
        ("packed\nrows", 1, "n", ORANGE, 16),
        ("CRC-32", 4, "4", GREEN, 15),
    ]
    assert sum(size for _, size, *_ in parts) == len(message)
    x = 1.0
    for name, _, size, color, width in parts:
        box(ax, x, 9, width, 8.5, name, color=color)
        ax.text(x + width / 2, 5.5, size, ha="center", color="0.35", fontsize=8.5)
        x += width
    ax.text(1, 1, "bytes of each part; n = bytes per row times rows", fontsize=8.5, color="0.35")
    return figure


def main():
    """Write all figures."""
    FOLDER.mkdir(exist_ok=True)
    for draw in (pipeline, codes, sigmoids, training, budget, layout):
        # The salt makes the same figure the same text.
        with matplotlib.rc_context(STYLE | {"svg.hashsalt": draw.__name__}):
            draw().savefig(FOLDER / f"{draw.__name__}.svg", transparent=True, metadata={"Date": None})
        plt.close("all")


if __name__ == "__main__":
    main()
