"""The bare loops do the work of `BitwiseRegressor`, and their times are summarized."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import fit_time
from benchmarks.bare import HardBits, Task
from benchmarks.datasets import load
from skbsq.nn import BitwiseQuantization, StandardSpace


def test_bare_bits_equal_those_of_the_layer():
    x = torch.randn(20, 2)
    thresholds = [[-1.0, 0.0, 0.5], [-0.5, 0.25, 1.0]]
    layer = BitwiseQuantization(thresholds, space=StandardSpace(mean=np.zeros(2), scale=np.ones(2)), forward="hard")
    layer.temperature = 0.5
    bare = torch.tensor(thresholds, requires_grad=True)
    bits = HardBits.apply(x, bare, 0.5).flatten(1)
    torch.testing.assert_close(bits, layer(x))
    slope = torch.randn(20, 6)
    (bits * slope).sum().backward()
    (layer(x) * slope).sum().backward()
    torch.testing.assert_close(bare.grad.flatten(), layer.theta.grad)


def test_all_loops_learn(rng):
    x = rng.normal(size=(600, 3)).astype(np.float32)
    task = Task(x, x[:, :1], n_bits=3, hidden_sizes=[32], batch_size=50, max_epochs=10)
    times = fit_time.time_loops([task], repeats=1)
    assert times["loop"].tolist() == ["skbsq", "dataloader", "slices"]
    assert (times["seconds"] > 0).all()
    assert (times["mse"] < 0.7).all()  # 1 to start with


def test_summary():
    times = pd.DataFrame(
        {
            "batch_size": 512,
            "loop": ["skbsq", "dataloader", "slices"] * 3,
            "seconds": [2.0, 4.0, 1.0, 3.0, 6.0, 1.5, 1.0, 5.0, 9.0],
            "mse": 0.1,
        }
    )
    summary = fit_time.summarize_times(times).set_index("loop")
    assert summary.loc["skbsq", ["min", "median", "max"]].tolist() == [1.0, 2.0, 3.0]
    assert summary.loc["dataloader", "skbsq_ratio"] == pytest.approx(2 / 5)
    assert summary.loc["slices", "skbsq_ratio"] == pytest.approx(2 / 1.5)


def test_main(capsys, monkeypatch):
    monkeypatch.setattr(fit_time, "load", lambda name, data_dir: load("fried", n_samples=60))
    fit_time.main(["--bits", "1", "--hidden-sizes", "4", "--batch-sizes", "20", "--max-epochs", "1", "--repeats", "2"])
    printed = capsys.readouterr().out
    assert "60 rows" in printed
    assert "batches of 20: training errors within a factor of" in printed
