"""Measure predictors in integers: their error beside that of the floats, their cost on a chip, and the packets saved.

Part error: for each split models with small heads and the default one, and what `to_integers` makes of them. The loss
of a regressor is the mean squared error, that of a classifier the log loss of its logits, both on held-out rows:

loss, loss_int       of the floats and of the integers
ratio                of the two
score, score_int     R2 or accuracy
agree                share of equal labels
bytes                of the tables on the chip

Part cost: the C of `to_c(..., part="predictor")` on two Cortex-M cores and an AVR, for a model of each size: what
encoding and predicting add to a program, as in `benchmarks.device`, and the encoder alone. Time is in instructions, and
on the AVR in cycles. RAM is the stack; nothing has variables.
All outputs are compared with those of the integers. Needs the tools of `benchmarks.device`.

Part changes: a model learns from the first 70 % of the rows. The device sends the others, one per sampling period, if
a code has changed, or if the prediction has changed by more than a tolerance. The server holds the row sent last:

tolerance    in standard deviations of the target; empty if codes are compared
difference   of the held prediction from that of the row: root mean square, or the share of other labels
"""

import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from benchmarks.arguments import add_number, add_output_dir, add_parts, make_parser
from benchmarks.command import CommandError, plain_errors, write_table
from benchmarks.datasets import load_several
from benchmarks.device import avr, chips
from benchmarks.device.change import STREAMS, TRAINING_SHARE, sent
from benchmarks.device.chips import COMPARED, CORES, MANY, check_tools, gcc_version
from benchmarks.device.encoders import Encoder
from skbsq import BitwiseClassifier, BitwiseRegressor
from skbsq.export import to_c, to_integers

HEADS = {"16": (16,), "2 x 16": (16, 16)}
# To compare with. It is too large for small chips.
DEFAULT = {"2 x 128": "auto"}
SEEDS = (42, 43, 44, 45, 46)
DATASETS = ("california", "cpu_act", "kin8nm", "sulfur", "occupancy")
# Of standard deviations of the target.
TOLERANCES = (0.1, 0.25, 0.5)
# Cores by their short names, and the unit of time of each.
SHORT = {"cortex-m0plus": "M0+", "cortex-m4": "M4", avr.CHIP: "AVR"}
TIME = dict.fromkeys(CORES, "instructions") | {avr.CHIP: "cycles"}
COLUMNS = {
    "error": ["dataset", "bits", "head", "seed", "bytes", "loss", "loss_int", "ratio", "score", "score_int", "agree"],
    "cost": [
        *("dataset", "features", "bits", "head", "bytes", "core", "part"),
        *("flash", "ram", "stack", "instructions", "cycles", "gcc"),
    ],
    "changes": ["dataset", "bits", "keyframe", "tolerance", "rows", "rows_per_packet", "difference", "spread"],
}
FILES = {"error": "predictor.csv", "cost": "predictor_cost.csv", "changes": "predictor_changes.csv"}

CALLS = {
    "encoder": """
void encode(const value_t *x, uint8_t *out)
{
    uint8_t row[BOOK_ROW_BYTES];
    (void)book_encode(x, row);
    memcpy(out, row, BOOK_ROW_BYTES);
}
""",
    "predictor": """
void encode(const value_t *x, uint8_t *out)
{
    uint8_t row[BOOK_ROW_BYTES];
    int32_t outputs[BOOK_OUTPUTS];
    (void)book_encode(x, row);
    (void)book_predict(row, outputs);
    memcpy(out, outputs, sizeof outputs);
}
""",
}


def fit(data, X, y, bits, head, seed, max_epochs):
    """Fit a predictor with one of the heads."""
    predictor = BitwiseClassifier if data.task == "classification" else BitwiseRegressor
    return predictor(bits, hidden_sizes=(HEADS | DEFAULT)[head], max_epochs=max_epochs, random_state=seed).fit(X, y)


def split(data, seed):
    """Hold out a fifth of the rows: X_train, X_test, y_train, y_test."""
    return train_test_split(data.X.to_numpy(np.float32), data.y.to_numpy(), test_size=0.2, random_state=seed)


# -- error -----------------------------------------------------------------------------------------------------------


def errors(model, X, y):
    """Compare a model with its integers on held-out rows."""
    integers = to_integers(model)
    predicted, agree = [model.predict(X), integers.predict(X)], None
    if isinstance(model, BitwiseClassifier):
        logits = integers.outputs(integers.codebook_.encode(X)) * integers.output_scale
        losses = [log_loss(y, probabilities) for probabilities in (model.predict_proba(X), _probabilities(logits))]
        scores = [accuracy_score(y, labels) for labels in predicted]
        agree = np.mean(predicted[0] == predicted[1])
    else:
        losses = [mean_squared_error(y, values) for values in predicted]
        scores = [r2_score(y, values) for values in predicted]
    found = dict(zip(("loss", "loss_int", "score", "score_int"), [*losses, *scores], strict=True))
    return found | {"ratio": losses[1] / losses[0], "agree": agree, "bytes": integers.n_bytes}


def _probabilities(logits):
    if logits.shape[1] == 1:
        return np.hstack([expit(-logits), expit(logits)])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def measure_errors(data, bits, seeds, max_epochs):
    """Yield a row per number of bits, head and split."""
    for b, head, seed in product(bits, HEADS | DEFAULT, seeds):
        X, X_test, y, y_test = split(data, seed)
        model = fit(data, X, y, b, head, seed, max_epochs)
        about = {"dataset": data.name, "bits": b, "head": head, "seed": seed}
        yield about | errors(model, X_test, y_test)


# -- cost ------------------------------------------------------------------------------------------------------------


def measure_costs(data, bits, seeds, max_epochs):
    """Yield a row per number of bits, head, core and part, for the first split."""
    for b, head in product(bits, HEADS):
        X, X_test, y, _ = split(data, seeds[0])
        model = fit(data, X, y, b, head, seeds[0], max_epochs)
        integers = to_integers(model)
        about = {"dataset": data.name, "features": X.shape[1], "bits": b, "head": head, "bytes": integers.n_bytes}
        for core, part in product(SHORT, CALLS):
            with tempfile.TemporaryDirectory() as folder:
                yield about | {"core": core, "part": part} | cost_of(model, integers, X_test, core, part, Path(folder))


def cost_of(model, integers, X, core, part, folder):
    """Measure a part of a predictor on a core, and compare its outputs with the integers."""
    d, out_bytes = X.shape[1], (integers.codebook_.row_bits + 7) // 8
    if part == "predictor":
        out_bytes = 4 * integers.output_scale.size
    source = to_c(model, "book", part=part) + CALLS[part]
    encoder = Encoder("skbsq, float", "float", "f4", source, d, out_bytes, packed=True)
    if core == avr.CHIP:
        compared = X[: avr.ROWS]
        found, output = avr.cost(encoder, folder, compared)
    else:
        compared = X[:COMPARED]
        found, output = chips.cost(core, encoder, folder, X[:MANY], compared)
    if part == "predictor":
        outputs = integers.outputs(integers.codebook_.encode(compared))
        if output != outputs.astype("<i4").tobytes():
            raise CommandError(f"The C predicts other integers than NumPy on {core}.")
    return found | {"gcc": gcc_version("avr-gcc" if core == avr.CHIP else "arm-none-eabi-gcc")}


# -- changes ---------------------------------------------------------------------------------------------------------


def measure_changes(data, bits, seeds, max_epochs):
    """Yield a row per number of bits and tolerance."""
    X, y = data.X.to_numpy(np.float32), data.y.to_numpy()
    n_trained = int(TRAINING_SHARE * len(X))
    _, keyframe = STREAMS.get(data.name, (60, 60))
    for b in bits:
        model = fit(data, X[:n_trained], y[:n_trained], b, "16", seeds[0], max_epochs)
        about = {"dataset": data.name, "bits": b, "keyframe": keyframe}
        yield from (about | row for row in changes(model, X[n_trained:], keyframe, np.std(y[:n_trained])))


def changes(model, X, keyframe, spread):
    """Yield rows per packet and the difference at the server: for changes of codes, then for each tolerance."""
    integers = to_integers(model)
    codes = integers.codebook_.encode(X)
    predictions = integers.predict_codes(codes)
    is_classifier = integers.classes_ is not None
    sends = {None: np.array([packet is not None for packet in sent(integers.codebook_, codes, keyframe)])}
    for tolerance in [0.0] if is_classifier else TOLERANCES:
        steps = np.rint(tolerance * spread / integers.output_scale)
        sends[tolerance] = integers.changes(codes, tolerance=steps, keyframe=keyframe)
    for tolerance, is_sent in sends.items():
        held = predictions[np.maximum.accumulate(np.where(is_sent, np.arange(len(codes)), 0))]
        wrong = np.mean(held != predictions) if is_classifier else np.sqrt(np.mean((held - predictions) ** 2))
        found = {"tolerance": tolerance, "rows": len(codes), "rows_per_packet": len(codes) / is_sent.sum()}
        yield found | {"difference": wrong, "spread": None if is_classifier else spread}


# -- the page --------------------------------------------------------------------------------------------------------


def page_tables(error, costs, saved):
    """Write the tables of docs/deploy/predictor.md.

    Parameters
    ----------
    error, costs, saved : DataFrame
        What `main` stores.

    Returns
    -------
    list of str
        Tables in Markdown: errors, costs, and packets.
    """
    lines = [["data set", "bits", *(f"{head}: {kind}" for head in HEADS for kind in ("floats", "integers"))]]
    lines[0] += [f"{head}: floats" for head in DEFAULT] + ["largest ratio of losses"]
    for (name, bits), group in error.groupby(["dataset", "bits"], sort=False):
        mean = group.groupby("head")[["score", "score_int"]].mean()
        scores = [mean.loc[head, kind] for head in HEADS for kind in ("score", "score_int")]
        scores += [mean.loc[head, "score"] for head in DEFAULT]
        lines.append([name, str(bits), *(f"{score:.4f}" for score in scores), f"{group['ratio'].max():.4f}"])
    tables = [_as_markdown(lines)]

    lines = [["data set", "features x bits", "head", "tables"]]
    lines[0] += [f"{short}: {what}" for core, short in SHORT.items() for what in ("flash", "stack", TIME[core])]
    keys = ["dataset", "features", "bits", "head", "bytes"]
    for (name, d, bits, head, size), group in costs[costs["part"] == "predictor"].groupby(keys, sort=False):
        found, cells = group.set_index("core"), [name, f"{d} x {bits}", head, f"{size:,}"]
        for core in SHORT:
            cells += [f"{round(found.loc[core, what]):,}" for what in ("flash", "stack", TIME[core])]
        lines.append(cells)
    tables.append(_as_markdown(lines))

    lines = [["data set", "bits", "sent if", "rows per packet", "difference"]]
    for row in saved.to_dict("records"):
        if np.isnan(row["tolerance"]):
            when = "a code changes"
        elif row["tolerance"] == 0:
            when = "the class changes"
        else:
            when = f"the prediction changes by {row['tolerance']:g} sd"
        wrong = f"{100 * row['difference']:.1f} %" if np.isnan(row["spread"]) else _in_spreads(row)
        lines.append([row["dataset"], str(row["bits"]), when, f"{row['rows_per_packet']:.1f}", wrong])
    return [*tables, _as_markdown(lines)]


def _in_spreads(row):
    return f"{row['difference'] / row['spread']:.2g} sd"


def _as_markdown(lines):
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


PARTS = {"error": measure_errors, "cost": measure_costs, "changes": measure_changes}


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, "data_dir", dataset=list(DATASETS), bits=[2, 4], seeds=list(SEEDS))
    add_parts(parser, PARTS)
    add_number(parser, "--max-epochs", 30, "of each fit")
    add_output_dir(parser, ", ".join(FILES.values()))
    arguments = parser.parse_args(argv)
    with plain_errors():
        if "cost" in arguments.parts:
            check_tools(chips.TOOLS | avr.TOOLS)
        sets = load_several(arguments.dataset, arguments.data_dir)
        for part in arguments.parts:
            rows = []
            for data in tqdm(sets, desc=part, unit="data set"):
                if part != "changes" or data.name in STREAMS:
                    rows += PARTS[part](data, arguments.bits, arguments.seeds, arguments.max_epochs)
            table = pd.DataFrame(rows, columns=COLUMNS[part])
            write_table(table, arguments.output_dir / FILES[part])


if __name__ == "__main__":
    main()
