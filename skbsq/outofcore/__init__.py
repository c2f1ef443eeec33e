"""Encode and predict more rows than memory holds, in chunks or with dask.

Encoding needs NumPy alone. Parquet and other Arrow data need `pip install 'skbsq[arrow]'`, and dask collections need
`pip install 'skbsq[dask]'`.
"""

from skbsq.outofcore._run import predict, transform

__all__ = ["predict", "transform"]
