"""Encoding and predicting of more rows than memory holds, in chunks or with dask.

Encoding needs NumPy alone; Parquet and other Arrow data `pip install 'skbsq[arrow]'`, dask collections
`pip install 'skbsq[dask]'`.
"""

from skbsq.outofcore._run import predict, transform

__all__ = ["predict", "transform"]
