"""What every command does alike."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    [
        "budget",
        "chunks",
        "compare",
        "cost",
        "demo",
        "device",
        "experiments",
        "fit_time",
        "fuzz",
        "paper",
        "rate",
        "report",
        "scale",
        "speed",
        "traffic",
    ],
)
def test_help(name):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{name}" in done.stdout


def test_missing_folder_exits_with_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fit_time", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("There is no file")
    assert "Traceback" not in done.stderr
