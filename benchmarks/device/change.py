"""Count the packets of a device that sends on change, their energy, and the error after lost packets.

A model learns from the first rows of a file. The other rows are the stream, one per sampling period. A `ChangeSender`
sends it, packets are lost at random, and a `ChangeReceiver` fills the slots. Of a stream as a whole:

rows_per_packet    1 if every row is sent
joules_SF7, ...    of sending for a day by LoRaWAN, see docs/examples/air_time.py; nothing else is counted

Of the rows at the server, mean over loss patterns, without the rows before the first packet:

wrong_rows   share whose codes are not those of the device
stale_rows   share that the receiver reports as stale in their slot
error        root mean squared error, or the share of wrong labels
difference   of the predictions from those of all rows: root mean square, or the share of other labels
"""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.arguments import add_number, make_parser
from benchmarks.command import as_markdown, plain_errors, write_table
from benchmarks.datasets import load_several
from skbsq import BitwiseClassifier, BitwiseRegressor
from skbsq.codec import ChangeReceiver, ChangeSender

SEED = 42
TRAINING_SHARE = 0.7
LOSSES = (0.0, 0.01, 0.05)
SPREADING_FACTORS = (7, 10, 12)
# Seconds between the rows of a file, and most rows from packet to packet: an hour, or a day if rows are hourly.
STREAMS = {"occupancy": (60, 60), "sulfur": (60, 60), "air_quality": (3600, 24)}
AIR = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "examples" / "air_time.py"))


def measure(data, bits, *, period, keyframe, repeats, **training):
    """Measure the stream of a data set.

    Parameters
    ----------
    data : Dataset
    bits : list of int
        Bits per feature.
    period : int
        Seconds from row to row.
    keyframe : int
        Most rows from packet to packet. A quarter of it, and every row sent, are measured beside it.
    repeats : int
        Loss patterns.
    **training
        Parameters of the predictor.

    Returns
    -------
    DataFrame
        A row per number of bits, keyframe interval and loss.
    """
    X, y = data.X.to_numpy(np.float32), data.y.to_numpy()
    n_trained = int(TRAINING_SHARE * len(X))
    missing = "code" if np.isnan(X[:n_trained]).any() else "error"
    predictor = BitwiseClassifier if data.task == "classification" else BitwiseRegressor
    rows = []
    for b in tqdm(bits, desc=data.name, unit="fit"):
        model = predictor(b, missing=missing, random_state=SEED, **training).fit(X[:n_trained], y[:n_trained])
        codes = model.codebook_.encode(X[n_trained:])
        for interval in (1, keyframe // 4, keyframe):
            packets = sent(model.codebook_, codes, interval)
            of_stream = {"dataset": data.name, "bits": b, "period_s": period, "keyframe": interval}
            of_stream |= _traffic(packets, period)
            for loss in LOSSES:
                seeds = range(repeats) if loss else [0]
                found = [received(model.codebook_, packets, interval, loss, seed) for seed in seeds]
                errors = [_errors(model, codes, y[n_trained:], *of_one) for of_one in found]
                rows.append(of_stream | {"loss": loss} | pd.DataFrame(errors).mean().to_dict())
    return pd.DataFrame(rows)


def sent(codebook, codes, keyframe):
    """Return the packet of each row, None where nothing is sent."""
    sender = ChangeSender(codebook, keyframe=keyframe, id=1)
    return [sender.send(row) for row in codes]


def received(codebook, packets, keyframe, loss, seed):
    """Lose packets at random, and follow the others slot by slot.

    Returns
    -------
    first : int
        Slot of the first row.
    codes : ndarray of shape (n, d)
    states : list of str
    """
    receiver = ChangeReceiver(codebook, keyframe=keyframe, id=1, late=0)
    is_lost = np.random.default_rng([SEED, seed]).random(len(packets)) < loss
    rows = [receiver.receive(None if gone else packet) for packet, gone in zip(packets, is_lost, strict=True)]
    codes = np.concatenate([row.codes for row in rows])
    return len(packets) - len(codes), codes, [state for row in rows for state in row.states]


def _traffic(packets, period):
    sizes = [len(packet) for packet in packets if packet is not None]
    per_day = 24 * 3600 / period * len(sizes) / len(packets)
    traffic = {"rows": len(packets), "packet_bytes": sizes[0], "rows_per_packet": len(packets) / len(sizes)}
    for factor in SPREADING_FACTORS:
        seconds = AIR["air_time"](AIR["LORAWAN_BYTES"] + sizes[0], factor)
        traffic[f"joules_SF{factor}"] = per_day * AIR["energy"](seconds)
    return traffic


def _errors(model, codes, y, first, found, states):
    """Compare the rows at the server with those of the device."""
    codes, y = codes[first:], y[first:]
    of_all, predicted = model.predict_codes(codes), model.predict_codes(found)
    if isinstance(model, BitwiseClassifier):
        error, difference = np.mean(predicted != y), np.mean(predicted != of_all)
    else:
        error, difference = (np.sqrt(np.mean((predicted - other) ** 2)) for other in (y, of_all))
    wrong = np.mean((found != codes).any(axis=1))
    stale = np.mean(np.array(states) == "stale")
    return {"wrong_rows": wrong, "stale_rows": stale, "error": error, "difference": difference}


def page_tables(table):
    """Write the tables of docs/deploy/change.md: packets by number of bits, then energy and errors at 2 bits.

    Parameters
    ----------
    table : DataFrame
        What `main` stores.

    Returns
    -------
    list of str
        Two tables in Markdown.
    """
    bits = sorted(table["bits"].unique().tolist())
    longest = table[table["keyframe"] == table.groupby("dataset")["keyframe"].transform("max")]
    packets = longest.drop_duplicates(["dataset", "bits"]).pivot(index="dataset", columns="bits")["rows_per_packet"]
    by_bits = [["rows per packet", *(f"{b} bit{'s' * (b > 1)}" for b in bits)]]
    by_bits += [[name, *(f"{packets.loc[name, b]:.1f}" for b in bits)] for name in table["dataset"].unique()]

    losses = sorted(table["loss"].unique().tolist())
    errors = [["data set", "keyframe", "J per day, SF7", "SF12", *(f"error, {100 * loss:g} % lost" for loss in losses)]]
    errors[0] += [f"wrong rows, {100 * losses[-1]:g} % lost"]
    keys = ["dataset", "keyframe", "joules_SF7", "joules_SF12"]
    for (name, keyframe, *joules), group in table[table["bits"] == 2].groupby(keys, sort=False):
        group = group.sort_values("loss")
        numbers = [*(f"{number:.3g}" for number in joules), *(f"{error:.4f}" for error in group["error"])]
        wrong = f"{100 * group['wrong_rows'].iloc[-1]:.1f} %"
        errors.append([name, "every row" if keyframe == 1 else f"{keyframe} rows", *numbers, wrong])
    return [as_markdown(lines) for lines in (by_bits, errors)]


def main(argv=None):
    """Run the command line."""
    parser = make_parser(__spec__, __doc__, "data_dir", dataset=[*STREAMS], bits=[1, 2, 4])
    add_number(parser, "--max-epochs", 30, "of each fit")
    add_number(parser, "--repeats", 5, "loss patterns")
    parser.add_argument(
        "--output", type=Path, default="change.csv", metavar="CSV", help="file to replace (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    with plain_errors():
        data = load_several(arguments.dataset, arguments.data_dir)
    tables = []
    for d in data:
        period, keyframe = STREAMS.get(d.name, (60, 60))  # as if read every minute
        options = {"period": period, "keyframe": keyframe, "repeats": arguments.repeats}
        tables.append(measure(d, arguments.bits, max_epochs=arguments.max_epochs, **options))
    table = pd.concat(tables, ignore_index=True)
    write_table(table, arguments.output)
    print("", *page_tables(table), sep="\n\n")


if __name__ == "__main__":
    main()
