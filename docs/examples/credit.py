"""Categories and numbers in one row: a credit-like table, a budget of bits, a report, and one row as bytes.

    python docs/examples/credit.py
    python docs/examples/credit.py --data-dir FOLDER

fits a classifier on a mixed frame with at most 24 bits per row, and prints which features received them, the
information value of each feature, the report of two of them, and one row on its way from a frame to bytes and back to a
prediction. Without a folder the table is generated: the branch has sixty values and no effect. With a folder it is the
German credit data, from the file german.csv.gz, whose last column is "good" or "bad".
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from skbsq import BitwiseClassifier
from skbsq.codec import RowCodec

BIT_BUDGET = 24
CHECKING = {"none": -1.2, "below 0": 1.0, "0 to 200": 0.5, "above 200": -0.3}
PURPOSE = {
    **{"car, new": 0.4, "car, used": -0.8, "radio": -0.3, "furniture": 0.1, "repairs": 0.3, "education": 0.6},
    **{"holiday": 0.0, "training": -0.5, "business": 0.2, "other": 0.0},
}
HOUSING = {"own": -0.4, "rent": 0.4, "free": 0.3}


def generate(n_rows=2000, seed=0):
    """Generate a table of credits and whether they went bad: a DataFrame and a Series."""
    random = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "duration": random.choice([6, 12, 18, 24, 36, 48, 60], n_rows, p=[0.1, 0.25, 0.15, 0.25, 0.15, 0.07, 0.03]),
            "amount": np.exp(random.normal(7.8, 0.8, n_rows)).round(),
            "age": random.gamma(6, 4, n_rows).round() + 19,
            "checking": random.choice(list(CHECKING), n_rows, p=[0.4, 0.27, 0.27, 0.06]),
            "purpose": random.choice(list(PURPOSE), n_rows),
            "housing": random.choice(list(HOUSING), n_rows, p=[0.7, 0.2, 0.1]),
            "telephone": random.random(n_rows) < 0.4,
            "branch": [f"branch {number:02}" for number in random.integers(60, size=n_rows)],
        }
    )
    logit = X["checking"].map(CHECKING) + X["purpose"].map(PURPOSE) + X["housing"].map(HOUSING)
    logit += 0.04 * (X["duration"] - 21) - 0.03 * (X["age"] - 43) + 0.3 * np.log(X["amount"] / 2400) - 0.8
    # For a business, a long credit is no risk.
    logit -= 0.04 * (X["duration"] - 21) * (X["purpose"] == "business")
    bad = random.random(n_rows) < 1 / (1 + np.exp(-logit))
    X.loc[random.random(n_rows) < 0.05, "housing"] = None
    return X, pd.Series(np.where(bad, "bad", "good"), name="class")


def read(folder):
    """Read the German credit data: a DataFrame and a Series."""
    table = pd.read_csv(Path(folder) / "german.csv.gz")
    return table.iloc[:, :-1], table.iloc[:, -1]


def split(X, y):
    """Split into training and test rows."""
    return train_test_split(X, y, random_state=0, stratify=y)


def train(X, y, **training):
    """Fit a classifier with a budget. Missing and unknown categories share the missing code."""
    model = BitwiseClassifier(
        bit_budget=BIT_BUDGET, missing="seen", handle_unknown="missing", random_state=0, **training
    )
    return model.fit(X, y)


def information_values(model, X, y):
    """Return the information value of the codes of each feature, the highest first: a Series."""
    values = {name: model.table(name, X, y).attrs["iv"] for name in X}
    return pd.Series(values, name="iv").sort_values(ascending=False)


def report(model, feature, X, y):
    """Write the report of a feature as text; its event is a credit that went bad."""
    return model.table(feature, X, y == "bad").round(3).to_string(index=False)


def send(model, row):
    """Send one row of a frame: encode and pack it on one side, and predict from the bytes on the other."""
    book = model.codebook_
    data = RowCodec(book).pack(book.encode(row)).tobytes()
    return data, model.predict_proba_packed(np.frombuffer(data, dtype=np.uint8)[None])


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", metavar="DIR", help="folder of german.csv.gz (default: a generated table)")
    arguments = parser.parse_args(argv)
    X, y = generate() if arguments.data_dir is None else read(arguments.data_dir)
    X_train, X_test, y_train, y_test = split(X, y)
    model = train(X_train, y_train)

    probabilities = model.predict_proba(X_test)
    loss, area = log_loss(y_test, probabilities), roc_auc_score(y_test == model.classes_[1], probabilities[:, 1])
    print(f"{model.codebook_.row_bits} bits per row, log loss {loss:.3f}, area under the ROC curve {area:.3f}")
    values = information_values(model, X_train, y_train == "bad")
    print(pd.DataFrame({"bits": model.allocation_["n_bits"], "iv": values.round(3)}).loc[values.index].to_string())
    for name in values.index[:2]:
        print(f"\n{name}\n{report(model, name, X_train, y_train)}")

    row = X_test.iloc[:1]
    data, sent = send(model, row)
    print(f"\nOne row is {len(data)} bytes, {data.hex()}: probability of {model.classes_[0]!r} {sent[0, 0]:.3f}")
    print(f"equal to the prediction from the frame: {bool((sent == model.predict_proba(row)).all())}")


if __name__ == "__main__":
    main()
