"""Work to do on each chunk of rows. A pickled `Encode` holds text, so it can be unpickled with NumPy alone."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skbsq.codebook.checks import check_finite
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import numbered_names
from skbsq.codebook.matrix import unmasked
from skbsq.codec import RowCodec
from skbsq.codec.encodings import encoded, encoded_names
from skbsq.outofcore import _arrow
from skbsq.outofcore._numbers import as_numbers
from skbsq.outofcore._origin import CODEBOOK_KEY, ENCODE_KEY, origin_of, read_once

# Names of columns of results, by method; a column of any other method has the name of the method.
_NAMES = {"predict": "prediction", "predict_proba": "probability"}


class _OnFeatures:
    """Base class of work that reads one column per feature.

    Attributes
    ----------
    readers : dict int -> callable
        By feature, what turns a column of categories into numbers.
    takes_categories : bool
        Whether features may be categorical.
    kinds : list of type, or None
        Python type of each column of the result, if it may consist of objects.
    """

    noun = "features"
    readers: dict = {}
    takes_categories = False
    kinds = None

    def check_names(self, names):
        """Refuse a table with another number of columns than features."""
        if not self.may_read(len(names)):
            advice = self._reader_of("packed") if "packed" in names or "byte0" in names else ""
            self._refuse_width(len(names), advice or ": name them in columns")

    def may_read(self, n_columns):
        """Tell whether a table of rows may have this number of columns."""
        return n_columns == self.n_features

    def choose(self, there, keep):
        """Choose the columns of a table to read, if no names are known."""
        return [name for name in there if name not in keep]

    def rows(self, table, columns, labels):
        """Read columns of a table as a matrix. Labels are the names of the columns in messages."""
        return _arrow.matrix(table, columns, labels, self.readers)

    def rows_of_array(self, array, names):
        """Read an array as a matrix of numbers. Names are those of the columns in messages, or None."""
        return as_numbers(array, names, self.readers)

    def check_width(self, rows):
        """Refuse a matrix with another number of columns."""
        if rows.shape[1] != self.n_features:
            is_bytes = getattr(rows, "dtype", None) == np.uint8
            self._refuse_width(rows.shape[1], self._reader_of("packed") if is_bytes else "")

    def _refuse_width(self, n_columns, advice):
        raise ValueError(f"The source has {n_columns} columns for {self.n_features} {self.noun}{advice}.")

    def check_source(self, metadata, named=False):
        """Refuse a table that holds codes of the same codebook by its metadata, unless the user named the columns."""
        if named:  # the columns may be features that were kept with the codes
            return
        book, encode = origin_of(metadata)
        codes = {"ordinal": "codes", "packed": "packed rows"}.get(encode)
        if codes and self.book is not None and book is not None and book.fingerprint == self.book.fingerprint:
            raise ValueError(f"The source holds {codes} of this codebook, not features{self._reader_of(encode)}.")

    def _reader_of(self, encode):
        """Return the end of a message that names the method for an encoding; empty if there is no such method."""
        return ""


@dataclass(frozen=True)
class Encode(_OnFeatures):
    """Encode floats with a codebook.

    Parameters
    ----------
    text : str
        The codebook as JSON.
    encode : {"ordinal", "thermometer", "value", "packed"}
    finite : bool
        Whether to refuse infinities, as the estimators do.

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
        return read_once(self.text)

    @property
    def n_features(self):
        return self.book.n_features

    @property
    def width(self):
        """Values per row, before or after encoding, whichever is more."""
        return max(self.n_features, self.empty.shape[1])

    @property
    def features(self):
        """Names of the columns to read, or None if they are not known."""
        return self.book.feature_names

    @property
    def readers(self):
        return self.book.category_readers

    @property
    def takes_categories(self):
        return bool(self.readers)

    @property
    def kinds(self):
        return _kinds_of_levels(self.book) if self.encode == "value" else None

    @property
    def packed(self):
        """Whether the result consists of packed rows."""
        return self.encode == "packed"

    @property
    def metadata(self):
        """Metadata of a file of the results."""
        return {CODEBOOK_KEY: self.text, ENCODE_KEY: self.encode}

    @property
    def empty(self):
        """The result for 0 rows."""
        codes = np.empty((0, self.n_features), dtype=self.book.dtype)
        return encoded(self.book, codes, self.encode)

    def names(self, features, out):
        """Return the names of the columns of a result for features with these names."""
        return encoded_names(self.book, features, self.encode)

    def __call__(self, X):
        if self.finite:
            cast = as_float32(X)
            check_finite(X, cast, self.features)
            X = cast
        return encoded(self.book, self.book.encode_numbers(X), self.encode)


def _kinds_of_levels(book):
    """Return the Python type of the levels of each feature; None if all are numbers."""
    if not book.is_categorical.any():
        return None
    known = [
        None if of_feature is None else {type(k) for k in of_feature if k is not None} for of_feature in book.categories
    ]
    return [float if kinds is None else kinds.pop() if len(kinds) == 1 else str for kinds in known]


def call_of(estimator, method):
    """Return the work that calls a method of a fitted estimator. The name of the method tells what it reads.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str

    Returns
    -------
    Call

    Raises
    ------
    ValueError
        If the method reads codes, and the estimator has no codebook.
    """
    kind = CallOnCodes if method.endswith("_codes") else CallOnPacked if method.endswith("_packed") else Call
    book = getattr(estimator, "codebook_", None)
    if method == "inverse_transform" and book is not None:
        kind = {"ordinal": CallOnCodes, "packed": CallOnPacked}.get(estimator.encode, CallOnEncoded)
    if kind is not Call and book is None:
        raise ValueError(
            f"method={method!r} reads codes, and this {type(estimator).__name__} has no codebook: use "
            f"method={_on_features(method)!r} on features."
        )
    return kind(estimator, method)


@dataclass(frozen=True)
class Call(_OnFeatures):
    """Call a method of a fitted estimator on features.

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
    def book(self):
        """The codebook of the estimator, or None."""
        return getattr(self.estimator, "codebook_", None)

    @property
    def n_features(self):
        return int(self.estimator.n_features_in_)

    @property
    def kinds(self):
        return _kinds_of_levels(self.book) if self.method == "inverse_transform" and self.book is not None else None

    @cached_property
    def takes_categories(self):
        """Whether the estimator, or the last one of a pipeline, has categorical features."""
        return self._inner_book is not None and bool(self._inner_book.is_categorical.any())

    @property
    def _inner_book(self):
        return getattr(_innermost(self.estimator), "codebook_", None)

    def rows(self, table, columns, labels):
        """Read columns of a table as a matrix, or as a frame for an estimator that takes categories."""
        return (
            _arrow.mixed_frame(table, columns, labels)
            if self.takes_categories
            else super().rows(table, columns, labels)
        )

    def rows_of_array(self, array, names):
        """See the base class; objects stay for an estimator that takes categories."""
        return unmasked(array) if self.takes_categories else super().rows_of_array(array, names)

    @property
    def width(self):
        """Values per row, as far as known."""
        return self.n_features

    @property
    def features(self):
        """Names of the columns to read, or None if they are not known."""
        names = getattr(self.estimator, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    @property
    def metadata(self):
        """Metadata of a file of the results."""
        return {}

    @cached_property
    def empty(self):
        """The result for 0 rows, found with a row of zeros."""
        try:
            return self(self._zeros())[:0]
        except Exception as error:
            raise ValueError(
                f"There are no rows, so {type(self.estimator).__name__}.{self.method} was called on a row of zeros to "
                f"find the form of its result. It failed: {error}"
            ) from error

    def names(self, features, out):
        """Return the names of the columns of a result; a 1-d result has one column."""
        n_columns = 1 if out.ndim == 1 else out.shape[1]
        if self.method == "inverse_transform" and self.book is not None and n_columns == self.book.n_features:
            return list(self.book.feature_names or numbered_names(n_columns))
        if self.method == "transform" and (names := self._names_out(features, n_columns)):
            return names
        method = _on_features(self.method)
        name = _NAMES.get(method, method)
        if out.ndim == 1:
            return [name]
        return [f"{name}_{label}" for label in self._classes(method, n_columns) or range(n_columns)]

    def _names_out(self, features, n_columns):
        """Return the names that the estimator has for the columns of `transform`; None if none are suitable."""
        # The second call is for an estimator that was fitted with other names, or whose method takes no names.
        for arguments in ((list(features),), ()):
            try:
                names = [str(name) for name in self.estimator.get_feature_names_out(*arguments)]
            except Exception:  # a third-party estimator may raise anything
                continue
            if len(set(names)) == len(names) == n_columns:
                return names
        return None

    def _classes(self, method, n_columns):
        """Return the classes if the columns of a result stand for classes; None otherwise."""
        classes = getattr(self.estimator, "classes_", None)
        by_pairs = getattr(_innermost(self.estimator), "decision_function_shape", None) == "ovo"
        if by_pairs if method == "decision_function" else not method.startswith("predict"):
            return None
        # An estimator of several targets has one array of classes per target.
        one_each = classes is not None and len(classes) == n_columns and all(np.ndim(label) == 0 for label in classes)
        return list(classes) if one_each else None

    def _reader_of(self, encode):
        method = f"{self.method}_{'packed' if encode == 'packed' else 'codes'}"
        what = "packed rows" if encode == "packed" else "codes"
        return f". For {what} use method={method!r}" if hasattr(self.estimator, method) else ""

    def _zeros(self):
        if self.takes_categories and self._inner_book.n_features == self.n_features:
            return self._inner_book.decode(np.zeros((1, self.n_features), dtype=np.uint8))
        return np.zeros((1, self.n_features), dtype=np.float32)

    def _given(self, X):
        """Return rows in the form that the method takes: with the names that the estimator was fitted with."""
        if self.features is None:
            return X
        import pandas as pd

        return (
            X.set_axis(list(self.features), axis=1)
            if hasattr(X, "set_axis")
            else pd.DataFrame(X, columns=list(self.features))
        )

    def __call__(self, X):
        if not len(X):
            return self.empty
        out = getattr(self.estimator, self.method)(self._given(X))
        if hasattr(out, "toarray"):
            raise ValueError(
                f"{type(self.estimator).__name__}.{self.method} returned a sparse matrix: make it dense, for example "
                "with sparse_output=False."
            )
        out = np.asarray(out)
        if out.ndim not in (1, 2) or len(out) != len(X):
            raise ValueError(
                f"{type(self.estimator).__name__}.{self.method} returned shape {out.shape} for {len(X)} rows: it must "
                "return an array with one result per row."
            )
        return out


class CallOnCodes(Call):
    """Call a method of a fitted estimator on codes: one column per feature."""

    encode = "ordinal"
    takes_categories = False

    def choose(self, there, keep):
        """Choose the columns that `transform` writes; if they are absent, all columns but those to keep."""
        names = self._written_names()
        return names if names and set(names) <= set(there) else super().choose(there, keep)

    def _written_names(self):
        """Return the names that `transform` writes for codes of features without names."""
        return numbered_names(self.book.n_features)

    def check_source(self, metadata, named=False):
        """Refuse a table that has another codebook or another encoding by its metadata."""
        book, encode = origin_of(metadata)
        if encode is not None and encode != self.encode:
            known = {"ordinal": "_codes", "packed": "_packed"}.get(encode)
            way_out = f"use encode={self.encode!r} in transform"
            if self.method == "inverse_transform":
                way_out = f"set encode={encode!r} on the quantizer"
            elif known:
                way_out = f"use method={_on_features(self.method) + known!r}"
            raise ValueError(
                f"The source has encoding {encode!r}, but method={self.method!r} reads {self.encode!r}: {way_out}."
            )
        if book is not None and not self._reads(book):
            way_out = "encode the rows again with transform, or use the model that they were encoded for"
            for rate, coarse in getattr(self.estimator, "codebooks_", {}).items():
                if coarse.fingerprint == book.fingerprint:
                    way_out = f"that is rate {rate} of this model, so use its at({rate})"
            raise ValueError(
                f"The source holds codes of the codebook {book.fingerprint.hex()}, but this "
                f"{type(self.estimator).__name__} reads codes of {self.book.fingerprint.hex()}: {way_out}."
            )

    def _reads(self, book):
        return book.fingerprint == self.book.fingerprint

    def _zeros(self):
        return np.zeros((1, self.n_features), dtype=np.uint8)

    def _given(self, X):
        return X


class CallOnPacked(CallOnCodes):
    """Call a method of a fitted estimator on packed rows: one column of bytes, or one column per byte."""

    encode = "packed"
    features = None
    noun = "bytes of a packed row"

    @property
    def n_features(self):
        """Bytes per row."""
        return RowCodec(self.book).row_bytes

    @property
    def width(self):
        """Values per row, as far as known."""
        return self.book.n_features

    def may_read(self, n_columns):
        """Tell whether a table of rows may have this number of columns."""
        return n_columns in (1, self.n_features)

    def choose(self, there, keep):
        """Choose the columns that `transform` writes; if they are absent, all columns but those to keep."""
        return ["packed"] if "packed" in there else super().choose(there, keep)

    def _written_names(self):
        return RowCodec(self.book).byte_names()

    def rows(self, table, columns, labels):
        """Read columns of a table as a matrix of bytes."""
        return _arrow.packed_matrix(table, columns, labels, self.n_features)

    def _reads(self, book):
        # Folding scalers into a codebook changes its thresholds, but not the packed rows, unless it reorders columns.
        folded = book.folded_from if book.folded_order is None else None
        return self.book.fingerprint in (book.fingerprint, folded)


class CallOnEncoded(CallOnCodes):
    """Call `inverse_transform` of a quantizer on thermometer bits or levels."""

    noun = "columns of the result of transform"

    @property
    def encode(self):
        """The `encode` of the quantizer."""
        return self.estimator.encode

    @property
    def n_features(self):
        """Columns per row."""
        return len(self._written_names())

    @property
    def features(self):
        """Names of the columns to read, or None if they are not known."""
        names = super().features
        return None if names is None else tuple(encoded_names(self.book, names, self.encode))

    def _written_names(self):
        names = getattr(self.estimator, "feature_names_in_", numbered_names(self.book.n_features))
        return encoded_names(self.book, names, self.encode)

    def _zeros(self):
        codes = np.zeros((1, self.book.n_features), dtype=self.book.dtype)
        return encoded(self.book, codes, self.encode)

    @property
    def takes_categories(self):
        """Whether levels may be categories."""
        return self.encode == "value" and bool(self.book.is_categorical.any())


def _innermost(estimator):
    """Return the last estimator inside searches and pipelines."""
    while True:
        steps = getattr(estimator, "steps", None)
        inner = steps[-1][1] if steps else getattr(estimator, "best_estimator_", None)
        if inner is None or inner == "passthrough":
            return estimator
        estimator = inner


def _on_features(method):
    """Return the name of the method that reads features instead of codes or packed rows."""
    return method.removesuffix("_codes").removesuffix("_packed")
