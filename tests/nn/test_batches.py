import pytest
import torch

from skbsq.nn.batches import TensorBatches, TensorRows


def rows_of(n, weights=False):
    x = torch.arange(n, dtype=torch.float32)[:, None]
    return TensorRows(x, x * 2, x.ravel() if weights else None)


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(7, 3, [3, 4]), (6, 3, [3, 3]), (8, 3, [3, 3, 2]), (1, 3, [1]), (3, 1, [1, 1, 1]), (2, 9, [2]), (4, 3, [4])],
)
def test_sizes(n, batch_size, sizes):
    batches = TensorBatches(rows_of(n), batch_size)
    assert [len(x) for x, _ in batches] == sizes
    assert len(batches) == len(sizes)


def test_order_without_a_generator():
    assert torch.cat([x for x, _ in TensorBatches(rows_of(7), 3)]).ravel().tolist() == list(range(7))


def test_every_pass_has_every_row_once_in_a_new_order():
    batches = TensorBatches(rows_of(50, weights=True), 8, generator=torch.Generator().manual_seed(0))
    passes = []
    for _ in range(2):
        x, y, w = (torch.cat(parts) for parts in zip(*[(x, y, w) for x, (y, w) in batches], strict=True))
        assert torch.equal(y, x * 2)
        assert torch.equal(w, x.ravel())
        passes.append(x.ravel().tolist())
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(50))
    assert passes[0] != passes[1]
