"""Write the formats of this version to a folder, for later versions to read: python -m tests.golden.make FOLDER

A folder is written once, at a release, and never again: what is in it stands for files and devices in the field.
A new format can be written before the release: python -m tests.golden.make FOLDER --parts mixed
"""

import argparse
import json
from pathlib import Path

import numpy as np

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    Codebook,
    KMeansQuantizer,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
    TreeQuantizer,
    UniformQuantizer,
)
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_c, to_onnx
from skbsq.persistence import save

NAN, INF = float("nan"), float("inf")
TRAINING = dict(n_bits=2, max_epochs=3, hidden_sizes=(6, 5), batch_size=32, random_state=0)

CODEBOOKS = {
    "plain": Codebook.from_thresholds([[-1.5, 0.0, 0.25], [0.0], [1e-40, 2.0, 3e38]]),
    "levels": Codebook.from_thresholds(
        [[-1.0, 1.0], [0.5]],
        levels=[[-2.0, 0.1, 7.0], [0.0, 1.0]],
        counts=[[3, 4, 5], [6, 6]],
        feature_names=["temperature", "Druck in hPa, außen"],
    ),
    "missing": Codebook.from_thresholds(
        [[0.0, 1.0], [], [5.0], [-3.0, -2.0, -1.0]], missing="code", has_missing=[True, True, False, False]
    ),
    "no_bits": Codebook.from_thresholds([[], [0.0], []]),
    "wide": Codebook.from_thresholds([np.linspace(-4, 4, 300, dtype=np.float32), [0.5]], folded_from=bytes(range(8))),
}

# With categorical features. Neither C nor NumPy files hold their values, so there are no headers, and JSON in arrays.
MIXED = {
    "grouped": Codebook.from_thresholds(
        {
            "Stadt": {"Köln": 0, "Trier": 1, "": 1, 'a "b" \\': 2, None: 3},
            "t": [-1.5, 0.25],
            "count": {-3: 0, 0: 0, 2**40: 1, 7: 2},
        },
        levels=[["Köln", "", 'a "b" \\'], [-2, 0.5, 8], [0, 2**40, 7]],
        counts=[[5, 4, 3, 2], [7, 0, 7], [6, 5, 3]],
    ),
    "one_hot": Codebook.from_thresholds(
        [{"open": 0, "shut": 1, "ajar": 2, None: 3}, {False: 0, True: 1}, {"only": 0}, {"1": 0, 1: 1, "missing": 2}],
        handle_unknown="missing",
    ),
    "wide": Codebook.from_thresholds([{f"category {k}": k % 300 for k in range(400)}, [0.5]], folded_from=bytes(8)),
}
# A value that is none of the categories above.
UNKNOWN = "unknown"


def values_for(codebook):
    """Each threshold, the floats beside it and hard cases, mixed over the features: float32 of shape (n, d)."""
    ends = np.float32([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, INF, -INF])
    columns = []
    for j, own in enumerate(codebook.thresholds):
        beside = [np.nextafter(own, np.float32(end)) for end in (-INF, INF)]
        own_nan = np.float32([] if codebook.refuses_nan[j] else [NAN])
        columns.append(np.roll(np.concatenate([own, *beside, ends, own_nan]), j))
    n = max(map(len, columns))
    return np.stack([np.resize(column, n) for column in columns], axis=1).astype(np.float32)


def mixed_values_for(codebook):
    """Each category, None and an unknown value where they are accepted, and values near thresholds: objects, (n, d)."""
    columns = []
    for j, part in enumerate(codebook.parts):
        if not isinstance(part, dict):
            columns.append([*part.tolist(), *np.nextafter(part, np.float32(INF)).tolist(), -INF, 0.0])
            continue
        accepted = [None, UNKNOWN] if codebook.handle_unknown == "missing" and None in part else []
        columns.append([*part, *accepted, *([] if codebook.n_bits[j] else [None, UNKNOWN])])
    n = max(map(len, columns))
    rows = np.empty((n, len(columns)), dtype=object)
    rows[:] = [[column[i % len(column)] for column in columns] for i in range(n)]
    return rows


def as_text(values):
    """Objects as JSON, one text for each."""
    return np.array([[json.dumps(value) for value in row] for row in values.tolist()])


def from_text(texts):
    """What `as_text` wrote, as objects."""
    values = np.empty(texts.shape, dtype=object)
    values[:] = [[json.loads(text) for text in row] for row in texts.tolist()]
    return values


def table(seed=0, n=120):
    """A small table with missing values, a regression target and three classes."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 3)).astype(np.float32)
    X[::7, 1] = NAN
    y = np.nan_to_num(X[:, 1]) + X[:, 0] ** 2
    return X, y, np.digitize(y, [0.3, 1.0])


def estimators():
    """One fitted estimator of every class, and of every kind of quantizer in a predictor."""
    X, y, labels = table()
    learned = {"missing": "code", **TRAINING}
    without_missing = np.nan_to_num(X)
    thresholds = [[0.0], [-1.0, 1.0], [0.5]]
    regressors = {
        "regressor": BitwiseRegressor(**learned),
        "regressor_fixed": BitwiseRegressor(**learned, quantizer=QuantileQuantizer(2)),
        # Long enough that features are worth their bits.
        "regressor_budget": BitwiseRegressor(**learned | {"n_bits": None, "max_epochs": 10}, lr=0.005, bit_budget=4),
        "quantizer_bitwise": BitwiseQuantizer(**learned),
        "quantizer_soft": SoftQuantizer(**learned, learn_values=True),
        "quantizer_lsq": LSQQuantizer(**learned),
        "quantizer_llt": LLTQuantizer(**learned),
        "quantizer_uniform": UniformQuantizer(2, missing="code"),
        "quantizer_quantile": QuantileQuantizer([1, 2, 3], missing="code", encode="thermometer"),
        "quantizer_kmeans": KMeansQuantizer(2, missing="code", encode="value"),
        "quantizer_tree": TreeQuantizer(2, missing="code", task="regression"),
        "quantizer_threshold": ThresholdQuantizer(thresholds, missing="code"),
    }
    fitted = {name: (estimator.fit(X, y), X) for name, estimator in regressors.items()}
    fitted["regressor_floats"] = (
        BitwiseRegressor(**TRAINING, quantizer="passthrough").fit(without_missing, y),
        (without_missing),
    )
    names = np.array(["low", "middle", "high"])[labels]
    fitted["classifier"] = BitwiseClassifier(**learned).fit(X, names), X
    return fitted


def results(estimator, X):
    """What a fitted estimator makes of rows, as arrays by the name of the method."""
    found = {}
    if getattr(estimator, "codebook_", None) is not None:
        found["codes"] = estimator.codebook_.encode(X)
    for method in ("transform", "predict_proba", "predict"):
        if hasattr(estimator, method):
            out = getattr(estimator, method)(X)
            found[method] = out.astype("U8") if out.dtype == object else out
    return found


def encoded(codebook, codes):
    """What a codebook makes of the codes of values, as arrays by name."""
    levels = codebook.decode(codes)
    return {
        "codes": codes,
        "levels": as_text(levels) if levels.dtype == object else levels,
        "bits": codebook.thermometer(codes),
        "rows": RowCodec(codebook).pack(codes),
        "message": np.frombuffer(dumps(codebook, codes), dtype=np.uint8),
        "fingerprint": np.frombuffer(codebook.fingerprint, dtype=np.uint8),
    }


def write_codebooks(folder):
    """JSON, header, values and what they become."""
    folder.mkdir()
    for name, codebook in CODEBOOKS.items():
        x = values_for(codebook)
        (folder / f"{name}.json").write_text(codebook.to_json(), encoding="utf-8")
        (folder / f"{name}.h").write_text(to_c(codebook, "golden"), encoding="ascii")
        np.savez_compressed(folder / f"{name}.npz", x=x, **encoded(codebook, codebook.encode(x)))


def write_mixed(folder):
    """JSON, values as JSON and what they become."""
    folder.mkdir()
    for name, codebook in MIXED.items():
        x = mixed_values_for(codebook)
        (folder / f"{name}.json").write_text(codebook.to_json(), encoding="utf-8")
        np.savez_compressed(folder / f"{name}.npz", x=as_text(x), **encoded(codebook, codebook.encode(x)))


def write_estimators(folder, fitted):
    """Saved files, and what they predict."""
    folder.mkdir()
    for name, (estimator, X) in fitted.items():
        save(estimator, folder / f"{name}.safetensors")
        np.savez_compressed(folder / f"{name}.npz", X=X, **results(estimator, X))


def write_onnx(folder, fitted):
    """Graphs of some of the estimators, which have their input and what they give."""
    folder.mkdir()
    for name in ("regressor", "classifier", "quantizer_bitwise"):
        (folder / f"{name}.onnx").write_bytes(to_onnx(fitted[name][0]).SerializeToString())


PARTS = {"codebooks": write_codebooks, "mixed": write_mixed, "estimators": write_estimators, "onnx": write_onnx}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description=__doc__)
    parser.add_argument("folder", type=Path, help="its parts must not exist")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to write; all by default")
    arguments = parser.parse_args(argv)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    fitted = estimators() if {"estimators", "onnx"} & set(arguments.parts) else None
    for name in arguments.parts:
        folder = arguments.folder / name
        PARTS[name](folder, fitted) if name in ("estimators", "onnx") else PARTS[name](folder)


if __name__ == "__main__":
    main()
