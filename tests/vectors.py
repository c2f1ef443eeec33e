"""The conformance files of docs/vectors."""

import json
from functools import cache
from pathlib import Path

from skbsq import Codebook

FOLDER = Path(__file__).parent.parent / "docs" / "vectors"


@cache
def load(kind):
    """Return a file as it is."""
    return json.loads((FOLDER / f"{kind}.json").read_text(encoding="ascii"))


@cache
def books():
    """Return the codebooks by their names."""
    return {case["name"]: Codebook.from_json(case["text"]) for case in load("codebooks")["good"]}
