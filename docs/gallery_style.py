"""Style and order of the gallery's pictures: transparent, 624 pixels wide, colours for light and dark pages.

`_static/skbsq.css` inverts the lightness of the pictures on dark pages, so they are drawn for a light page.
"""

import matplotlib
from cycler import cycler

# The colours of Okabe and Ito, which colour-blind readers can distinguish; the first two are those of the displays.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A8A8A"]
STYLE = {
    "figure.figsize": (6.5, 3.4),
    "figure.dpi": 96,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 96,
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.color": "0.85",
    "grid.linewidth": 0.8,
    "font.size": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 6,
}
# From learning to deploying; scripts that are not named here follow.
ORDER = [
    "plot_fewer_bits.py",
    "plot_thresholds_move.py",
    "plot_soft_to_hard.py",
    "plot_two_dimensions.py",
    "plot_rate_curve.py",
    "plot_budget.py",
    "plot_downstream.py",
    "plot_fixed_bits.py",
    "plot_categories.py",
    "plot_missing.py",
    "plot_bytes.py",
    "plot_c.py",
    "plot_fleet.py",
    "plot_drift.py",
    "plot_battery.py",
]


class InOrder:
    """Sort key of the scripts of a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def reset(gallery_conf, name):
    """Set the style before each example."""
    matplotlib.rcParams.update(STYLE)
