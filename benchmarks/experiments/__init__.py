"""Experiments on the recipe: what was tried, on which rows, with what result."""
