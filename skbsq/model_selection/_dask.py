"""A backend of joblib for searches on a dask cluster."""

import traceback
import warnings

from joblib import parallel_config
from joblib.parallel import ParallelBackendBase, get_active_backend


def dask_backend(*, shared=(), client=None):
    """Return a dask backend of joblib with which a search survives the loss of workers.

    If a worker dies, the scheduler of dask gives its tasks to other workers. But joblib's dask backend scatters data
    such as the row numbers of a split ahead of the tasks. Such data exist only on workers, so they are lost with them,
    and the search fails. This backend sends data with each task instead. Data named in `shared` are the result of a
    task, which is repeated if the result is lost.

    Parameters
    ----------
    shared : list of array-like, default=()
        Data that a worker receives once instead of with each task, such as ``[X, y]``: the same objects that the search
        receives. The scheduler holds a copy.
    client : dask.distributed.Client, default=None
        None: the current client.

    Returns
    -------
    joblib.parallel.ParallelBackendBase
        For ``joblib.parallel_config(backend=...)``.

    Raises
    ------
    ImportError
        If dask.distributed is not installed: ``pip install 'skbsq[dask]'``.
    ValueError
        If there is no client.

    Examples
    --------
    >>> from dask.distributed import Client, LocalCluster
    >>> from joblib import parallel_config
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.model_selection import dask_backend
    >>> X, y = make_friedman1(200, random_state=0)
    >>> search = GridSearchCV(BitwiseRegressor(max_epochs=2), {"n_bits": [2, 3], "bit_budget": [None, 15]}, cv=2)
    >>> with LocalCluster(n_workers=2) as cluster, Client(cluster):  # doctest: +SKIP
    ...     with parallel_config(backend=dask_backend(shared=[X, y])):
    ...         search.fit(X, y)
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ImportError("dask_backend needs dask.distributed: pip install 'skbsq[dask]'.") from error
    with parallel_config(backend="dask", client=client):
        return _RecoverableBackend(get_active_backend()[0], shared)


class _RecoverableBackend(ParallelBackendBase):
    """Run the tasks of joblib on the client of joblib's dask backend, without scattering data."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, dask, shared):
        super().__init__()
        self._dask, self._client, self._running = dask, dask.client, set()
        self._shared = [*shared]  # no other object can then have the same id
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # it recommends to scatter
            self._futures = {id(data): self._client.submit(_same, data, pure=False) for data in self._shared}

    def effective_n_jobs(self, n_jobs):
        return self._dask.effective_n_jobs(n_jobs)

    def retrieval_context(self):
        return self._dask.retrieval_context()

    def submit(self, func, callback):
        calls = [
            (function, [*map(self._to_send, args)], {name: self._to_send(value) for name, value in kwargs.items()})
            for function, args, kwargs in func.items
        ]
        future = self._client.submit(_run, calls, pure=False)
        self._running.add(future)
        future.add_done_callback(callback)
        return future

    apply_async = submit  # the name before joblib 1.5

    def retrieve_result_callback(self, out):
        self._running.discard(out)
        try:
            return out.result()
        except Exception as error:
            # joblib drops the traceback, which shows what happened on the worker.
            error.add_note("".join(traceback.format_tb(error.__traceback__)))
            raise

    def abort_everything(self, ensure_ready=True):
        self._client.cancel([*self._running])
        self._running.clear()

    def _to_send(self, value):
        return self._futures.get(id(value), value)


def _same(data):
    return data


def _run(calls):
    with parallel_config(backend="dask"):  # for parallel parts of the calls
        return [function(*args, **kwargs) for function, args, kwargs in calls]
