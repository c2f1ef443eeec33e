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
outputs, gradients = {}, {}
for temperature in (1.0, 0.1, 0.001):
    layer.train()
    layer.temperature = temperature
    soft = layer(x)
    outputs[temperature] = soft.detach().numpy()
    # How many of the rows tell the second threshold where to go? Those with a gradient that is not close to zero.
    slope = outputs[temperature][:, 1] * (1 - outputs[temperature][:, 1]) / temperature
    gradients[temperature] = np.mean(slope > 0.01 * slope.max())

bits = layer.eval()(x).detach().numpy()

# %%
# The picture shows both bits at three temperatures. At temperature 1 every row moves the thresholds a little. At 0.1
# those nearby do. At 0.001 the sigmoid is the bit, and the thresholds stand still.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, sharey=True, figsize=(6.5, 2.7))
for ax, (temperature, soft) in zip(axes, outputs.items(), strict=True):
    ax.plot(x[:, 0], bits, color="C4", linewidth=1, linestyle="--")
    ax.plot(x[:, 0], soft[:, 0], color="C0")
    ax.plot(x[:, 0], soft[:, 1], color="C1")
    ax.set(title=f"temperature {temperature:g}", xlabel="feature")
axes[0].set_ylabel("bit")

for temperature, share in gradients.items():
    change = np.abs(outputs[temperature] - bits).mean()
    print(f"temperature {temperature:5g}: {share:4.0%} of the range has a gradient, mean distance to the bit {change:.3f}")
