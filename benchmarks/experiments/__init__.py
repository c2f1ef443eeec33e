"""Experiments on the recipe: the variants, their rows and their results."""
