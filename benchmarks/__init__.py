"""Commands that measure skbsq: ``python -m benchmarks.NAME --help``."""
