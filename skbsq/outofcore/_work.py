"""What is done to each chunk of rows. Pickled, an `Encode` is text: whoever unpickles it needs NumPy alone."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from skbsq._checks import as_matrix, check_finite
from skbsq._codebook import Codebook
from skbsq._encode import as_float32
from skbsq._encodings import encoded, encoded_names

# A name for the column of what a method returns; any other method gives its own.
_NAMES = {"predict": "prediction", "predict_proba": "probability"}


@dataclass(frozen=True)
class Encode:
    """Floats to what a codebook makes of them.

    Parameters
    ----------
    text : str
        The codebook as JSON.
    encode : {"ordinal", "thermometer", "value", "packed"}
    finite : bool
        Whether infinities are refused, as the estimators do.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> from skbsq.outofcore._work import Encode
    >>> work = Encode(Codebook.from_thresholds([[0.5]]).to_json(), "ordinal", finite=True)
    >>> work(np.array([[0.0], [1.0]]))
    array([[0],
           [1]], dtype=uint8)
    """

    text: str
    encode: str
    finite: bool

    @property
    def book(self):
        return _read_once(self.text)

    @property
    def n_features(self):
        return self.book.n_features

    @property
    def width(self):
        """Values of a row, before or after, whichever are more."""
        return max(self.n_features, self.empty().shape[1])

    @property
    def features(self):
        """Names of the columns to read, or None."""
        return self.book.feature_names

    @property
    def packed(self):
        """Whether a row is bytes rather than numbers."""
        return self.encode == "packed"

    @property
    def metadata(self):
        """What a file of the results says about them."""
        return {"skbsq-codebook": self.text}

    def empty(self):
        """The result for no rows."""
        codes = np.empty((0, self.n_features), dtype=self.book.dtype)
        return encoded(self.book, codes, self.encode)

    def names(self, features, out):
        """Names of the columns of a result, from those of the features."""
        return encoded_names(self.book, features, self.encode)

    def __call__(self, X):
        X = as_matrix(X, "X")
        if self.finite:
            cast = as_float32(X)
            check_finite(X, cast, self.features)
            X = cast
        return encoded(self.book, self.book.encode(X), self.encode)


@lru_cache(maxsize=16)
def _read_once(text):
    return Codebook.from_json(text)


@dataclass(frozen=True)
class Call:
    """Floats to what a method of a fitted estimator makes of them.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
    """

    estimator: object
    method: str

    packed = False

    @property
    def n_features(self):
        return int(self.estimator.n_features_in_)

    @property
    def width(self):
        """Values of a row that are known of."""
        return self.n_features

    @property
    def features(self):
        """Names of the columns to read, or None."""
        names = getattr(self.estimator, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    @property
    def metadata(self):
        """What a file of the results says about them."""
        return {}

    @cached_property
    def _empty(self):
        try:
            return self(np.zeros((1, self.n_features), dtype=np.float32))[:0]
        except Exception as error:
            raise ValueError(
                f"What {type(self.estimator).__name__}.{self.method} gives for no rows is asked of it with a row of "
                f"zeros, at which it failed: {error}"
            ) from error

    def empty(self):
        """The result for no rows."""
        return self._empty

    def names(self, features, out):
        """Names of the columns of a result; one that is not a table has one."""
        name = _NAMES.get(self.method, self.method)
        if out.ndim == 1:
            return [name]
        labels = getattr(self.estimator, "classes_", ())
        return [f"{name}_{label}" for label in (labels if len(labels) == out.shape[1] else range(out.shape[1]))]

    def __call__(self, X):
        if not len(X):
            return self.empty()
        if self.features is not None:
            import pandas as pd

            X = pd.DataFrame(X, columns=list(self.features))
        out = np.asarray(getattr(self.estimator, self.method)(X))
        if out.ndim not in (1, 2) or len(out) != len(X):
            raise ValueError(
                f"{type(self.estimator).__name__}.{self.method} gave shape {out.shape} for {len(X)} rows: "
                "chunks want an array with a row for each."
            )
        return out
