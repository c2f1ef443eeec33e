"""Rows as tensors, in memory or in chunks, and batches of them.

A DataLoader fetches row by row and concatenates the rows. Here a batch is one index operation.
"""

import math

import torch
from torch.utils.data import Dataset

_MIN_BATCH_SIZE, _MAX_BATCH_SIZE = 32, 256
_MIN_BATCHES = 16


def auto_batch_size(n_rows):
    """Choose the rows per batch: a power of two, from 32 for up to 1000 rows to 256 for 4096 rows or more.

    Parameters
    ----------
    n_rows : int

    Returns
    -------
    int

    Examples
    --------
    >>> from skbsq.training.batches import auto_batch_size
    >>> [auto_batch_size(n) for n in (100, 1_000, 2_000, 10_000)]
    [32, 32, 64, 256]
    """
    return min(_MAX_BATCH_SIZE, max(_MIN_BATCH_SIZE, 2 ** int(math.log2(max(n_rows / _MIN_BATCHES, 1)))))


def n_batches(n_rows, batch_size):
    """Count the batches of an epoch. A last batch of a single row joins the batch before it."""
    return max(1, -(-n_rows // batch_size) - (n_rows % batch_size == 1 and batch_size > 1))


class TensorRows(Dataset):
    """Keep rows as tensors.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    y : Tensor of shape (n, k) or (n,)
    weights : Tensor of shape (n,), default=None
        With weights, the target of a row is the pair (y, weight).

    Examples
    --------
    >>> import torch
    >>> from skbsq.training.batches import TensorRows
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

    def take(self, rows):
        """Select rows, as `TensorRows`."""
        return TensorRows(self.x[rows], self.y[rows], None if self.weights is None else self.weights[rows])

    def followed_by(self, other):
        """Append other rows, as `TensorRows`."""
        weights = None if self.weights is None else torch.cat([self.weights, other.weights])
        return TensorRows(torch.cat([self.x, other.x]), torch.cat([self.y, other.y]), weights)

    def to(self, device):
        """Copy the rows to a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return TensorRows(self.x.to(device), self.y.to(device), weights)

    def parts(self, generator=None):
        """Yield all rows at once; `TensorStream` yields them in chunks."""
        yield self


class TensorStream(Dataset):
    """Read rows in chunks in every pass, so that at most one chunk is in memory.

    Parameters
    ----------
    read : callable
        ``read(generator)`` yields the chunks as `TensorRows`, on the CPU. It may draw their order from the generator,
        which may be None.
    n_rows : int
        Number of rows of all chunks.
    device : torch.device or str, default="cpu"
        Device to which each chunk is copied.

    Examples
    --------
    >>> import torch
    >>> from skbsq.training.batches import TensorBatches, TensorRows, TensorStream
    >>> def read(generator):
    ...     for start in (0, 4):
    ...         yield TensorRows(torch.arange(start, start + 4.0)[:, None], torch.zeros(4))
    >>> [x.flatten().tolist() for x, y in TensorBatches(TensorStream(read, 8), batch_size=3)]
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0]]
    """

    def __init__(self, read, n_rows, device="cpu"):
        self.read = read
        self.n_rows = n_rows
        self.device = device

    def __len__(self):
        return self.n_rows

    def to(self, device):
        """Copy each chunk to a device when it is read."""
        return TensorStream(self.read, self.n_rows, device)

    def parts(self, generator=None):
        """Yield the chunks, on the device."""
        for rows in self.read(generator):
            yield rows.to(self.device)


class TensorBatches:
    """Iterate over batches of `TensorRows` or of a `TensorStream`, in place of a DataLoader in a skorch net.

    Parameters
    ----------
    dataset : TensorRows or TensorStream
    batch_size : int
        The last rows of a chunk start the first batch of the next chunk. A last batch of a single row joins the batch
        before it, because batch normalisation cannot train on a single row.
    generator : torch.Generator, default=None
        Draws a new random order of the rows (of each chunk) for every pass. None keeps the order.

    Examples
    --------
    >>> import torch
    >>> from skbsq.training.batches import TensorBatches, TensorRows
    >>> rows = TensorRows(torch.zeros(7, 2), torch.ones(7))
    >>> [len(x) for x, y in TensorBatches(rows, batch_size=3)]
    [3, 4]
    """

    def __init__(self, dataset, batch_size, generator=None):
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self):
        return n_batches(len(self.dataset), self.batch_size)

    def __iter__(self):
        # Up to this number, the remaining rows may be the last batch, and wait for the next chunk.
        max_waiting = self.batch_size + (self.batch_size > 1)
        left = None
        for part in self.dataset.parts(self.generator):
            rows, order = part, None
            if self.generator is not None:
                order = torch.randperm(len(part), generator=self.generator).to(part.x.device)
            if left is not None:
                rows = left.followed_by(part)
                if order is not None:
                    order = torch.cat([torch.arange(len(left), device=order.device), order + len(left)])
            start = 0
            while len(rows) - start > max_waiting:
                batch = slice(start, start + self.batch_size)
                yield rows[batch if order is None else order[batch]]
                start += self.batch_size
            batch = slice(start, None)
            left = rows.take(batch if order is None else order[batch])
        if left is not None:
            yield left[:]
