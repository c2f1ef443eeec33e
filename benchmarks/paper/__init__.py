"""The paper's comparison and what belongs to it: error at a number of bits."""
