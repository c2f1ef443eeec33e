"""Rows in memory, and batches that are slices of them.

A DataLoader fetches row by row and glues the rows together; here a batch is one index operation.
"""

import torch
from torch.utils.data import Dataset


class TensorRows(Dataset):
    """Rows as tensors.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    y : Tensor of shape (n, k) or (n,)
    weights : Tensor of shape (n,), default=None
        Where given, the target of a row is the pair (y, weight).

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.batches import TensorRows
    >>> TensorRows(torch.zeros(3, 2), torch.ones(3))[torch.tensor([0, 2])]
    (tensor([[0., 0.],
            [0., 0.]]), tensor([1., 1.]))
    """

    def __init__(self, x, y, weights=None):
        self.x = x
        self.y = y
        self.weights = weights

    def __len__(self):
        return len(self.x)

    def __getitem__(self, rows):
        if self.weights is None:
            return self.x[rows], self.y[rows]
        return self.x[rows], (self.y[rows], self.weights[rows])

    def to(self, device):
        """The same rows on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return TensorRows(self.x.to(device), self.y.to(device), weights)


class TensorBatches:
    """Batches of `TensorRows`; takes the place of a DataLoader in a skorch net.

    Parameters
    ----------
    dataset : TensorRows
    batch_size : int
        A last batch of a single row joins the one before it: batch normalization could not train on it.
    generator : torch.Generator, default=None
        Where given, every pass goes over the rows in a new random order drawn from it.

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.batches import TensorBatches, TensorRows
    >>> rows = TensorRows(torch.zeros(7, 2), torch.ones(7))
    >>> [len(x) for x, y in TensorBatches(rows, batch_size=3)]
    [3, 4]
    """

    def __init__(self, dataset, batch_size, generator=None):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self):
        n = len(self.dataset)
        return max(1, -(-n // self.batch_size) - (n % self.batch_size == 1 and self.batch_size > 1))

    def __iter__(self):
        order = None
        if self.generator is not None:
            order = torch.randperm(len(self.dataset), generator=self.generator).to(self.dataset.x.device)
        last = len(self) - 1
        for batch in range(last + 1):
            start = batch * self.batch_size
            rows = slice(start, None if batch == last else start + self.batch_size)
            yield self.dataset[rows if order is None else order[rows]]
