"""What every command does alike."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import commands, main

ROOT = Path(benchmarks.__file__).parent


@pytest.mark.parametrize("name", commands())
def test_help(name, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"benchmarks.{name}.__main__")
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_index(capsys):
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(commands()) > 10
    assert all(len(line.split(maxsplit=3)) == 4 for line in lines)  # python -m benchmarks.NAME, and what it does


def test_missing_folder_exits_with_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.budget", "--data-dir", str(tmp_path)],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("There is no file")
    assert "Traceback" not in done.stderr
