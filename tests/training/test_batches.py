import pytest
import torch

from skbsq.training.batches import TensorBatches, TensorRows, TensorStream, auto_batch_size


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


def stream_of(sizes, weights=False):
    rows = rows_of(sum(sizes), weights)

    def read(generator):
        start = 0
        for size in sizes:
            yield rows.take(slice(start, start + size))
            start += size

    return TensorStream(read, sum(sizes))


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 100])
@pytest.mark.parametrize("sizes", [[7], [3, 4], [1] * 7, [6, 1], [1, 6], [2, 3, 4, 5], [3, 3], [1]])
def test_batches_of_chunks_are_those_of_all_rows(sizes, batch_size, weights):
    by_chunk, at_once = (
        [torch.column_stack([x, *(y if weights else [y])]).tolist() for x, y in TensorBatches(rows, batch_size)]
        for rows in (stream_of(sizes, weights), rows_of(sum(sizes), weights))
    )
    assert by_chunk == at_once
    assert len(TensorBatches(stream_of(sizes), batch_size)) == len(by_chunk)


def test_rows_of_a_chunk_stay_together_in_a_new_order():
    generator = torch.Generator().manual_seed(0)
    batches = TensorBatches(stream_of([20, 30]), 7, generator)
    first, second = (torch.cat([x for x, _ in batches]).ravel().tolist() for _ in range(2))
    for rows in (first, second):
        assert set(rows[:20]) == set(range(20))
        assert set(rows[20:]) == set(range(20, 50))
    assert first != second


def test_one_chunk_is_in_the_order_of_all_rows():
    orders = [
        torch.cat([x for x, _ in TensorBatches(rows, 8, torch.Generator().manual_seed(3))]).ravel().tolist()
        for rows in (stream_of([50]), rows_of(50))
    ]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_chunks_are_copied_to_a_device():
    part = next(stream_of([3], weights=True).to("meta").parts())
    assert {part.x.device.type, part.y.device.type, part.weights.device.type} == {"meta"}


def test_auto_batch_size_grows_with_the_rows():
    sizes = [auto_batch_size(n) for n in range(1, 3_000_000, 997)]
    assert sizes == sorted(sizes)
    assert set(sizes) == {32, 64, 128, 256}
