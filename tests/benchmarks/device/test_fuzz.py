"""The fuzzer damages, and tells a wrong answer."""

import random

import numpy as np
import pytest

from benchmarks.device import fuzz
from skbsq.codec import dumps


def test_nothing_is_misread():
    table = fuzz.fuzz(60)
    assert table["misread"].sum() == 0
    assert (table[["refused", "unchanged", "valid", "misread"]].sum(axis=1) == table["cases"]).all()
    assert table["refused"].sum() > 0.9 * table["cases"].sum()


@pytest.mark.parametrize("way", fuzz.WAYS)
def test_damage_is_damage(way):
    draw = random.Random(0)
    book, codes = fuzz._draw_rows(draw)
    message = dumps(book, codes)
    assert sum(fuzz._damage(message, way, draw, book) != message for _ in range(50)) > 30


def test_a_wrong_answer_is_told(monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "loads", lambda data, book: np.full((1, book.n_features), 0))
    with pytest.raises(SystemExit):
        fuzz.main(["--cases", "20"])
    assert "misread: " in capsys.readouterr().out
