"""
Soft to hard
============

A bit has no gradient: it jumps from 0 to 1 at its threshold. In training a sigmoid stands in for it, which is wide at
first and narrow at the end. The trained model then reads the hard bit, as a device computes it.
"""

# %%
# `skbsq.nn.BitwiseQuantization` is the layer that does this. In training it returns sigmoids, in evaluation bits.

import numpy as np
import torch

from skbsq.nn import BitwiseQuantization, StandardSpace

space = StandardSpace(mean=np.zeros(1), scale=np.ones(1))
layer = BitwiseQuantization([[-1.0, 0.5]], space=space, forward="soft")

x = torch.linspace(-3, 3, 601)[:, None]
outputs, slopes = {}, {}
for temperature in (1.0, 0.1, 0.001):
    layer.train()
    layer.temperature = temperature
    soft = layer(x).detach().numpy()
    outputs[temperature], slopes[temperature] = soft, soft * (1 - soft) / temperature

bits = layer.eval()(x).detach().numpy()

# %%
# The picture shows both bits at three temperatures. At temperature 1 every row moves the thresholds a little. At 0.1
# those nearby do. At 0.001 the sigmoid is the bit, and the thresholds stand still.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, sharey=True, figsize=(6.5, 2.7), layout="constrained")
for ax, (temperature, soft) in zip(axes, outputs.items(), strict=True):
    ax.plot(x[:, 0], bits, color="C4", linewidth=1, linestyle="--")
    ax.plot(x[:, 0], soft[:, 0], color="C0")
    ax.plot(x[:, 0], soft[:, 1], color="C1")
    ax.set(title=f"temperature {temperature:g}", xlabel="feature")
axes[0].set_ylabel("bit")

for temperature, slope in slopes.items():
    share = np.mean(slope > 0.01 * slope.max())  # where the slope is not close to zero
    change = np.abs(outputs[temperature] - bits).mean()
    print(f"temperature {temperature:5g}: slope on {share:.0%} of the range, {change:.3f} from the bit")
