"""The model of `BitwiseRegressor` and its training, written as a plain PyTorch loop."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from skbsq import BitwiseRegressor

# Spelled out, so that both do the same whatever the defaults are.
RECIPE: dict = {
    "lr": 1e-3,
    "threshold_lr_ratio": 10.0,
    "weight_decay": 0.01,
    "temperature_start": 1.0,
    "temperature_end": 1e-3,
    "temperature_schedule": "exponential",
    "lr_schedule": "one-cycle",
    "forward": "hard",
    "space": "standard",
    "level_inputs": False,
    "init": "quantile",
}


@dataclass(frozen=True)
class Task:
    """What both are given: standardized rows, and how to train on them."""

    x: np.ndarray  # float32 (n, d)
    y: np.ndarray  # float32 (n, 1)
    n_bits: int
    hidden_sizes: list
    batch_size: int
    max_epochs: int


class HardBits(torch.autograd.Function):
    """Hard bits forward, the gradient of a sigmoid backward."""

    @staticmethod
    def forward(ctx, x, thresholds, temperature):
        ctx.save_for_backward(x, thresholds)
        ctx.temperature = temperature
        return (x[:, :, None] > thresholds).float()

    @staticmethod
    def backward(ctx, grad):
        x, thresholds = ctx.saved_tensors
        soft = torch.sigmoid((x[:, :, None] - thresholds) / ctx.temperature)
        return None, -(grad * soft * (1 - soft)).sum(0) / ctx.temperature, None


class BareNet(nn.Module):
    """Trainable thresholds and an MLP."""

    def __init__(self, thresholds, hidden_sizes):
        super().__init__()
        self.thresholds = nn.Parameter(thresholds)
        self.temperature = 1.0
        sizes = [thresholds.numel(), *hidden_sizes]
        layers = [layer for size in pairwise(sizes) for layer in (nn.Linear(*size), nn.ReLU())]
        self.head = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, x):
        return self.head(HardBits.apply(x, self.thresholds, self.temperature).flatten(1))


@dataclass(frozen=True)
class Slices:
    """Batches as slices of shuffled tensors."""

    x: torch.Tensor
    y: torch.Tensor
    batch_size: int

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __iter__(self):
        for rows in torch.randperm(len(self.x)).split(self.batch_size):
            yield self.x[rows], self.y[rows]


def fit_skbsq(task, seed, recipe=RECIPE):
    """Train a `BitwiseRegressor`, by default of the same model; returns its ``predict``."""
    model = BitwiseRegressor(
        task.n_bits,
        hidden_sizes=task.hidden_sizes,
        batch_size=task.batch_size,
        max_epochs=task.max_epochs,
        random_state=seed,
        **recipe,
    )
    return model.fit(task.x, task.y.ravel()).predict


def fit_bare(task, seed):
    """Train the bare net.

    Parameters
    ----------
    task : Task
    seed : int

    Returns
    -------
    callable
        ndarray of shape (n, d) to predictions of shape (n,).
    """
    torch.manual_seed(seed)
    x, y = torch.from_numpy(task.x), torch.from_numpy(task.y)
    batches = Slices(x, y, task.batch_size)
    shares = np.arange(1, 2**task.n_bits) / 2**task.n_bits
    net = BareNet(torch.from_numpy(np.quantile(task.x, shares, axis=0).T.astype(np.float32)), task.hidden_sizes)
    start, end, lr = RECIPE["temperature_start"], RECIPE["temperature_end"], RECIPE["lr"]
    peaks = [lr * RECIPE["threshold_lr_ratio"], lr]
    optimizer = torch.optim.AdamW(
        [
            {"params": [net.thresholds], "weight_decay": 0.0},
            {"params": net.head.parameters(), "weight_decay": RECIPE["weight_decay"]},
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peaks, total_steps=task.max_epochs * len(batches))
    criterion = nn.MSELoss()
    for epoch in range(task.max_epochs):
        net.temperature = start * (end / start) ** (epoch / task.max_epochs)
        for x_batch, y_batch in batches:
            optimizer.zero_grad()
            criterion(net(x_batch), y_batch).backward()
            optimizer.step()
            schedule.step()

    def predict(x):
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy().ravel()

    return predict
