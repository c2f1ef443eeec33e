import pandas as pd
import pytest
import torch

from benchmarks.speed import gpu


def test_table_by_hand():
    case = (20, 4, 256, 128)
    rows = [
        *[(*case, gpu.CPU, seed, trained, 10.0) for seed, trained in enumerate([1.0, 2.0, 9.0])],
        *[(*case, gpu.GPU, seed, 6.0, 5.0) for seed in range(3)],
    ]
    found = gpu.table(pd.DataFrame(rows, columns=[*gpu.KEY, "trained", "predicted"]))
    assert found[["trained_cpu", "trained_cuda", "trained_ratio", "predicted_ratio"]].values.tolist() == [
        [2, 6, 3, 0.5]
    ]


def test_measure_on_the_cpu():
    found = gpu.measure(5, 2, 64, 8, gpu.CPU, 0, rows=300)
    assert list(found) == ["trained", "predicted"]
    assert found["predicted"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "no GPU" in capsys.readouterr().err
