"""What is done to each chunk of rows. Pickled, an `Encode` is text: whoever unpickles it needs NumPy alone."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skbsq.codebook.checks import check_finite
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import numbered_names
from skbsq.codebook.matrix import as_matrix
from skbsq.codec import RowCodec
from skbsq.codec.encodings import encoded, encoded_names
from skbsq.outofcore import _arrow
from skbsq.outofcore._origin import metadata_of, origin_of, read_once

# The name for the column of the results of a method; any other method gives its own name.
_NAMES = {"predict": "prediction", "predict_proba": "probability"}


class _OnFeatures:
    """Work that reads one column of numbers per feature."""

    noun = "features"

    def check_names(self, names):
        """Refuse another number of columns of a table than there are features."""
        if not self.may_read(len(names)):
            advice = self._reader_of("packed") if "packed" in names or "byte0" in names else ""
            self._refuse_width(len(names), advice or ": name them in columns")

    def may_read(self, n_columns):
        """Whether rows may be so many columns of a table."""
        return n_columns == self.n_features

    def choose(self, there, keep):
        """Choose the columns to read from those of a table, where nobody named them."""
        return [name for name in there if name not in keep]

    def rows(self, table, columns, labels):
        """Read columns of a table as a matrix; messages call them by their labels."""
        return _arrow.matrix(table, columns, labels)

    def check_width(self, rows):
        """Refuse a matrix with another number of columns."""
        if rows.shape[1] != self.n_features:
            self._refuse_width(rows.shape[1], self._reader_of("packed") if rows.dtype == np.uint8 else "")

    def _refuse_width(self, n_columns, advice):
        raise ValueError(f"The source has {n_columns} columns for {self.n_features} {self.noun}{advice}.")

    def check_source(self, metadata, named=False):
        """Refuse a table whose metadata says that it holds codes of the same codebook, unless columns were named."""
        if named:  # they may be columns of features, kept beside the codes
            return
        book, encode = origin_of(metadata)
        codes = {"ordinal": "codes", "packed": "packed rows"}.get(encode)
        if codes and self.book is not None and book is not None and book.fingerprint == self.book.fingerprint:
            raise ValueError(f"The source holds {codes} of this codebook, not features{self._reader_of(encode)}.")

    def _reader_of(self, encode):
        """The end of a message that names the method for an encoding; empty where there is no such method."""
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
        return read_once(self.text)

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
        """Metadata of a file of the results."""
        return metadata_of(self.text, self.encode)

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


def call_of(estimator, method):
    """Return the work that calls a method of a fitted estimator. The name of the method decides what it reads.

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
    if method == "inverse_transform" and isinstance(getattr(estimator, "codebook_", None), Codebook):
        kind = {"ordinal": CallOnCodes, "packed": CallOnPacked}.get(estimator.encode, CallOnEncoded)
    if kind is not Call and getattr(estimator, "codebook_", None) is None:
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
    def width(self):
        """Values of a row, as far as they are known."""
        return self.n_features

    @property
    def features(self):
        """Names of the columns to read, or None."""
        names = getattr(self.estimator, "feature_names_in_", None)
        return None if names is None else tuple(map(str, names))

    @property
    def metadata(self):
        """Metadata of a file of the results."""
        return {}

    @cached_property
    def _empty(self):
        try:
            return self(self._zeros())[:0]
        except Exception as error:
            raise ValueError(
                f"What {type(self.estimator).__name__}.{self.method} gives for no rows is asked of it with a row of "
                f"zeros, at which it failed: {error}"
            ) from error

    def empty(self):
        """The result for no rows."""
        return self._empty

    def names(self, features, out):
        """Names of the columns of a result; a result that is not a table has one."""
        n_columns = 1 if out.ndim == 1 else out.shape[1]
        if self.method == "inverse_transform" and self.book is not None and n_columns == self.book.n_features:
            return list(self.book.feature_names or self._numbered())
        if self.method == "transform" and (names := self._names_out(features, n_columns)):
            return names
        method = _on_features(self.method)
        name = _NAMES.get(method, method)
        if out.ndim == 1:
            return [name]
        return [f"{name}_{label}" for label in self._classes(method, n_columns) or range(n_columns)]

    def _numbered(self):
        return numbered_names(self.book.n_features)

    def _names_out(self, features, n_columns):
        """Names that the estimator gives the columns of `transform`; None where it has none that fit."""
        # The second call is for an estimator that was fitted with other names, or whose method takes none.
        for arguments in ((list(features),), ()):
            try:
                names = [str(name) for name in self.estimator.get_feature_names_out(*arguments)]
            except Exception:  # whatever a third-party estimator raises
                continue
            if len(set(names)) == len(names) == n_columns:
                return names
        return None

    def _classes(self, method, n_columns):
        """Labels of the classes, where the columns of a result stand for them; None otherwise."""
        classes = getattr(self.estimator, "classes_", None)
        about_pairs = getattr(_innermost(self.estimator), "decision_function_shape", None) == "ovo"
        if about_pairs if method == "decision_function" else not method.startswith("predict"):
            return None
        # An estimator of several targets has one array of classes per target.
        fit = classes is not None and len(classes) == n_columns and all(np.ndim(label) == 0 for label in classes)
        return list(classes) if fit else None

    def check_source(self, metadata, named=False):
        """Refuse a table whose metadata says that it holds codes of the codebook, unless the method reads them."""
        super().check_source(metadata, named or self.method == "inverse_transform")

    def _reader_of(self, encode):
        method = f"{self.method}_{'packed' if encode == 'packed' else 'codes'}"
        what = "Packed rows" if encode == "packed" else "Codes"
        return f". {what} are read by method={method!r}" if hasattr(self.estimator, method) else ""

    def _zeros(self):
        return np.zeros((1, self.n_features), dtype=np.float32)

    def _given(self, X):
        """Rows as the method takes them: with the names that the estimator was fitted with."""
        if self.features is None:
            return X
        import pandas as pd

        return pd.DataFrame(X, columns=list(self.features))

    def __call__(self, X):
        if not len(X):
            return self.empty()
        out = getattr(self.estimator, self.method)(self._given(X))
        if hasattr(out, "toarray"):
            raise ValueError(
                f"{type(self.estimator).__name__}.{self.method} gave a sparse matrix: set its sparse_output=False, or "
                "the like."
            )
        out = np.asarray(out)
        if out.ndim not in (1, 2) or len(out) != len(X):
            raise ValueError(
                f"{type(self.estimator).__name__}.{self.method} gave shape {out.shape} for {len(X)} rows: "
                "chunks want an array with a row for each."
            )
        return out


class CallOnCodes(Call):
    """Call a method of a fitted estimator on codes: one column per feature."""

    encode = "ordinal"

    def choose(self, there, keep):
        """Choose the columns that `transform` writes; where there are none, all but those to keep."""
        names = self._written_names()
        return names if names and set(names) <= set(there) else super().choose(there, keep)

    def _written_names(self):
        """Names of the columns of codes, where features have no names."""
        return self._numbered()

    def check_source(self, metadata, named=False):
        """Refuse a table whose metadata says that it is of another codebook, or of another encoding."""
        book, encode = origin_of(metadata)
        if encode is not None and encode != self.encode:
            known = {"ordinal": "_codes", "packed": "_packed"}.get(encode)
            way_out = f"use encode={self.encode!r} in transform"
            if self.method == "inverse_transform":
                way_out = f"set encode={encode!r} of the quantizer"
            elif known:
                way_out = f"use method={_on_features(self.method) + known!r}"
            raise ValueError(
                f"The source holds the encoding {encode!r}, and method={self.method!r} reads {self.encode!r}: "
                f"{way_out}."
            )
        if book is not None and not self._reads(book):
            raise ValueError(
                f"The source holds codes of the codebook {book.fingerprint.hex()}, and this "
                f"{type(self.estimator).__name__} reads those of {self.book.fingerprint.hex()} alone: encode the rows "
                "again with transform, or use the model that they were encoded for."
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
        """Values of a row, as far as they are known."""
        return self.book.n_features

    def may_read(self, n_columns):
        """Whether rows may be so many columns of a table."""
        return n_columns in (1, self.n_features)

    def choose(self, there, keep):
        """Choose the columns that `transform` writes; where there are none, all but those to keep."""
        return ["packed"] if "packed" in there else super().choose(there, keep)

    def _written_names(self):
        return RowCodec(self.book).byte_names()

    def rows(self, table, columns, labels):
        """Read columns of a table as a matrix of bytes."""
        return _arrow.packed_matrix(table, columns, labels, self.n_features)

    def _reads(self, book):
        # Scalers that are folded into a codebook change its thresholds, and not the bytes.
        return self.book.fingerprint in (book.fingerprint, book.folded_from)


class CallOnEncoded(CallOnCodes):
    """Call `inverse_transform` of a quantizer on thermometer bits or levels."""

    noun = "columns of what transform returns"

    @property
    def encode(self):
        """What the quantizer's `transform` returns."""
        return self.estimator.encode

    @property
    def n_features(self):
        """Columns per row."""
        return len(self._written_names())

    @property
    def features(self):
        """Names of the columns to read, or None."""
        names = super().features
        return None if names is None else tuple(encoded_names(self.book, names, self.encode))

    def _written_names(self):
        names = getattr(self.estimator, "feature_names_in_", self._numbered())
        return encoded_names(self.book, names, self.encode)

    def _zeros(self):
        codes = np.zeros((1, self.book.n_features), dtype=self.book.dtype)
        return encoded(self.book, codes, self.encode)


def _innermost(estimator):
    """The estimator behind searches and pipelines."""
    while True:
        steps = getattr(estimator, "steps", None)
        inner = steps[-1][1] if steps else getattr(estimator, "best_estimator_", None)
        if inner is None or inner == "passthrough":
            return estimator
        estimator = inner


def _on_features(method):
    """The method that reads features in place of codes or packed rows."""
    return method.removesuffix("_codes").removesuffix("_packed")
