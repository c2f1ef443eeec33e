"""The receiver finds the reader of each frame, counts what it cannot read, and predicts what the readers predict."""

import io
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, QuantileQuantizer, Receiver
from skbsq.codec import dumps
from skbsq.export import to_codebook, to_onnx
from skbsq.monitoring import CodeMonitor
from skbsq.receiver import Counts

# By hand: 3 features of 2, 0 and 3 bits, and 2 features of 1 bit.
BOOK = Codebook.from_thresholds([[0, 1, 2], [], [0, 1, 2, 3, 4, 5]])
OTHER = Codebook.from_thresholds([[0.5], [0.5]])
FOREIGN = Codebook.from_thresholds([[7, 8, 9]])
THREE, FOUR = (Codebook.from_thresholds([[k]] * 3) for k in (3, 4))


def weighted(codes):
    """Tells rows and features apart."""
    return codes @ [1.0, 10.0, 100.0]


def negative(codes):
    return -1.0 - codes @ [1.0, 2.0]


def by_hand(**options):
    receiver = Receiver(**options).add(weighted, codebook=BOOK, id=7, seq=True, crc=8)
    return receiver.add(negative, codebook=OTHER, id=9)


def damaged(message):
    """The message with a wrong bit in its last row."""
    return message[:-5] + bytes([message[-5] ^ 1]) + message[-4:]


@pytest.fixture(scope="module")
def table():
    X, y = make_friedman1(300, n_features=5, random_state=0)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def regressor(table):
    return BitwiseRegressor(n_bits=3, rates=(1,), max_epochs=3, random_state=0).fit(*table)


@pytest.fixture(scope="module")
def classifier(table):
    X, y = table
    return BitwiseClassifier(n_bits=2, max_epochs=3, random_state=0).fit(X, np.where(y > 15, "wet", "dry"))


# -- messages --------------------------------------------------------------------------------------------------------


def test_rows_of_several_readers_come_back_in_their_order():
    stream = dumps(BOOK, [[3, 0, 6], [1, 0, 2]]) + dumps(OTHER, [[1, 1]]) + dumps(BOOK, [[0, 0, 1]])
    assert by_hand().predict(stream).tolist() == [603, 201, -4, 100]


def test_deflated_messages(table, regressor):
    """Those of every rate are read, and nothing of a damaged one."""
    receiver, X = Receiver([regressor], errors="report"), np.repeat(table[0][:5], 30, axis=0)
    messages = [dumps(book, book.encode(X), deflate=True) for book in regressor.codebooks_.values()]
    assert [message[5] for message in messages] == [4, 4]
    y_pred = receiver.predict(damaged(messages[0]) + b"".join(messages), device="hut")
    expected = [regressor.predict(X, rate=rate) for rate in regressor.codebooks_]
    np.testing.assert_allclose(y_pred, np.concatenate(expected), rtol=1e-5)
    np.testing.assert_allclose(regressor.predict_packed(messages[0]), expected[0], rtol=1e-5)
    assert receiver.counts_["hut"] == Counts(frames=2, rows=300, damaged=1)


def test_two_models_and_rates_in_one_stream(regressor, table, rng):
    X, y = table
    second = BitwiseRegressor(n_bits=2, max_epochs=3, random_state=1).fit(X, y)
    receiver = Receiver([regressor, second])
    books = [*regressor.codebooks_.values(), second.codebook_]
    assert receiver.codebooks_ == books
    rows = [X[rng.integers(len(X), size=n)] for n in (3, 1, 2, 4, 1)]
    which = [0, 2, 1, 0, 2]
    stream = b"".join(dumps(books[k], books[k].encode(x)) for k, x in zip(which, rows, strict=True))
    predict = [lambda x: regressor.predict(x), lambda x: regressor.predict(x, rate=1), second.predict]
    expected = np.concatenate([predict[k](x) for k, x in zip(which, rows, strict=True)])
    # Rows of a codebook are predicted together, and the rounding of the head depends on their number.
    np.testing.assert_allclose(receiver.predict(stream), expected, rtol=1e-5)
    assert [received.reader for received in receiver.read(stream)] == [regressor if k < 2 else second for k in which]


def test_classifier(classifier, table):
    X, _ = table
    message = dumps(classifier.codebook_, classifier.codebook_.encode(X[:9]))
    receiver = Receiver([classifier])
    np.testing.assert_array_equal(receiver.predict(message), classifier.predict(X[:9]))
    np.testing.assert_array_equal(receiver.predict(message, method="predict_proba"), classifier.predict_proba(X[:9]))


def test_labels_and_numbers_are_kept_apart(classifier, table):
    receiver = by_hand().add(classifier)
    stream = dumps(BOOK, [[3, 0, 6]]) + dumps(classifier.codebook_, classifier.codebook_.encode(table[0][:2]))
    with pytest.raises(ValueError, match=r"different kinds of predictions, float64 and <U3: use read"):
        receiver.predict(stream)
    numbers, labels = (received.predict() for received in receiver.read(stream))
    assert numbers.tolist() == [603]
    np.testing.assert_array_equal(labels, classifier.predict(table[0][:2]))
    with pytest.raises(ValueError, match=r"rows of several readers, for which method='predict_proba' differs"):
        receiver.predict(stream, method="predict_proba")


def test_a_file_is_read_as_it_arrives():
    file = io.BytesIO(dumps(BOOK, [[1, 0, 0]]) + dumps(OTHER, [[0, 1]]))
    frames = by_hand().read(file)
    assert next(frames).predict().tolist() == [1]
    assert file.tell() == len(dumps(BOOK, [[1, 0, 0]]))
    assert next(frames).sent == OTHER
    with pytest.raises(StopIteration):
        next(frames)


# -- what cannot be read ---------------------------------------------------------------------------------------------


def test_a_stream_goes_on_after_damaged_and_foreign_messages():
    receiver = by_hand(errors="report")
    good, other = dumps(BOOK, [[3, 0, 6], [1, 0, 2]]), dumps(OTHER, [[1, 1]])
    stream = good + damaged(good) + dumps(FOREIGN, [[2], [3]]) + other + b"noise" + good[:-1]
    assert receiver.predict(stream, device="hut").tolist() == [603, 201, -4]
    # The noise and the message that is cut off are two pieces.
    assert receiver.counts_ == {"hut": Counts(frames=2, rows=3, damaged=3, foreign=1)}
    assert receiver.predict(b"", device="mill").shape == (0,)
    assert receiver.predict(dumps(BOOK, np.empty((0, 3), int)), device="mill").shape == (0,)
    assert receiver.predict(damaged(good)).shape == (0,)
    assert receiver.counts_["mill"] == Counts(empty=2)
    assert receiver.counts_[None] == Counts(damaged=1)


@pytest.mark.parametrize(
    ("payload", "message", "count"),
    [
        (b"", "The payload has no bytes", "empty"),
        (dumps(BOOK, np.empty((0, 3), int)), "This message has no rows", "empty"),
        (damaged(dumps(BOOK, [[1, 0, 2]])), "The check sum of this message is wrong", "damaged"),
        (dumps(BOOK, [[1, 0, 2]])[:-1], "The message is cut off", "damaged"),
        (dumps(FOREIGN, [[1]]), "written with another codebook", "foreign"),
    ],
    ids=["no bytes", "no rows", "damaged", "cut off", "foreign"],
)
def test_what_cannot_be_read_is_a_value_error(payload, message, count):
    receiver = by_hand()
    with pytest.raises(ValueError, match=message):
        receiver.predict(payload)
    assert receiver.counts_ == {None: Counts(**{count: 1})}


def test_a_file_without_rows():
    with pytest.raises(ValueError, match="The payload has no rows"):
        by_hand().predict(io.BytesIO())


PIECES = {
    "BOOK": (dumps(BOOK, [[3, 0, 6], [1, 0, 2]]), [603, 201], Counts(frames=1, rows=2)),
    "OTHER": (dumps(OTHER, [[1, 1]]), [-4], Counts(frames=1, rows=1)),
    "damaged": (damaged(dumps(BOOK, [[3, 0, 6]])), [], Counts(damaged=1)),
    "foreign": (dumps(FOREIGN, [[2], [3]]), [], Counts(foreign=1)),
    "empty": (dumps(OTHER, np.empty((0, 2), int)), [], Counts(empty=1)),
}


@given(st.lists(st.lists(st.sampled_from(list(PIECES)), min_size=1, max_size=8), min_size=1, max_size=4))
def test_counts_add_up_and_predictions_are_those_of_good_messages(payloads):
    receiver, expected = by_hand(errors="report"), Counts()
    for names in payloads:
        pieces = [PIECES[name] for name in names]
        predictions = receiver.predict(b"".join(data for data, _, _ in pieces), device=1)
        assert predictions.tolist() == [value for _, values, _ in pieces for value in values]
        for _, _, counts in pieces:
            expected = Counts(*(a + b for a, b in zip(vars(expected).values(), vars(counts).values(), strict=True)))
    assert receiver.counts_ == {1: expected}
    assert expected.frames + expected.damaged + expected.foreign + expected.empty == sum(map(len, payloads))


@given(
    st.sampled_from(["message", "short", "bare"]),
    st.sampled_from([b"", b"\x07", b"\x09", dumps(OTHER, [[1, 1]]), dumps(OTHER, [[1, 1]], frame="short", id=9)]),
    st.binary(max_size=8),
)
def test_any_bytes_are_read_or_counted(frame, start, data):
    receiver = by_hand(errors="report")
    predictions = receiver.predict(start + data, frame=frame, id=9 if frame == "bare" else None)
    counts = receiver.counts_[None]
    assert len(predictions) == counts.rows
    assert (counts.rows > 0) + counts.damaged + counts.foreign + counts.empty >= 1
    assert (counts.empty == 1) == (start + data == b"")


def test_errors_of_a_reader_are_not_caught():
    def broken(codes):
        raise ValueError("broken reader")

    receiver = Receiver(errors="report").add(broken, codebook=BOOK)
    with pytest.raises(ValueError, match="broken reader"):
        receiver.predict(dumps(BOOK, [[1, 0, 2]]))
    receiver = Receiver().add(lambda codes: codes[:1], codebook=BOOK)
    with pytest.raises(ValueError, match=r"shape \(1, 3\) for 2 rows: a reader returns one prediction per row"):
        receiver.predict(dumps(BOOK, [[1, 0, 2], [1, 0, 2]]))


# -- short and bare frames -------------------------------------------------------------------------------------------


def test_short_frames_with_two_ids():
    receiver = by_hand()
    frame = dumps(BOOK, [[3, 0, 6], [1, 0, 2]], frame="short", id=7, seq=3, crc=8)
    assert receiver.predict(frame, frame="short").tolist() == [603, 201]
    assert receiver.predict(dumps(OTHER, [[1, 1]], frame="short", id=9), frame="short").tolist() == [-4]
    (received,) = receiver.read(frame, frame="short")
    assert (received.id, received.seq, received.reader) == (7, 3, weighted)


def test_bare_rows():
    receiver = by_hand()
    assert receiver.predict(dumps(OTHER, [[1, 1], [0, 1]], frame="bare"), frame="bare", id=9).tolist() == [-4, -3]
    with pytest.raises(ValueError, match=r"No reader has the id 8: the ids are \[7, 9\]"):
        receiver.predict(b"\x01", frame="bare", id=8)


@pytest.mark.parametrize(
    ("frame", "message", "count"),
    [
        (dumps(OTHER, [[1, 1]], frame="short", id=9, crc=8), "whole rows|at least 4 bytes", "damaged"),
        (dumps(OTHER, [[1, 1]], frame="short", id=9)[:-1] + b"?", "The CRC of this frame is wrong", "damaged"),
        (dumps(Codebook.from_thresholds([[9]]), [[1]], frame="short", id=9), "The CRC of this frame", "damaged"),
        (dumps(OTHER, [[1, 1]], frame="short", id=8), r"No reader has the id 8: the ids are \[7, 9\]", "foreign"),
        (b"\x09", "at least 4 bytes", "damaged"),
        (b"", "no bytes", "empty"),
    ],
    ids=["layout", "crc", "codebook", "id", "one byte", "empty"],
)
def test_wrong_short_frames(frame, message, count):
    with pytest.raises(ValueError, match=message):
        by_hand().predict(frame, frame="short")
    receiver = by_hand(errors="report")
    assert receiver.predict(frame, frame="short", device="hut").shape == (0,)
    assert receiver.counts_ == {"hut": Counts(**{count: 1})}


def test_sequence_numbers_count_duplicates_and_losses():
    receiver = by_hand()
    for device, seqs in [("a", [254, 255, 0, 0, 3]), ("b", [9]), (None, [9, 9, 20])]:
        for seq in seqs:
            frame = dumps(BOOK, [[3, 0, 6]], frame="short", id=7, seq=seq, crc=8)
            receiver.predict(frame, frame="short", device=device)
    assert receiver.counts_ == {
        "a": Counts(frames=5, rows=5, duplicates=1, lost=2),
        "b": Counts(frames=1, rows=1),
        None: Counts(frames=3, rows=3),
    }


def test_an_id_for_each_rate(regressor, table):
    X, fine, coarse = table[0][:4], *regressor.codebooks_.values()
    receiver = Receiver().add(regressor, id=1).add(regressor, codebook=coarse, id=2)
    for id, book, rate in [(1, fine, 3), (2, coarse, 1)]:
        frame = dumps(book, book.encode(X), frame="short", id=id)
        np.testing.assert_array_equal(receiver.predict(frame, frame="short"), regressor.predict(X, rate=rate))


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "options", "message"),
    [
        (negative, {"codebook": FOREIGN, "id": 7}, "The id 7 is already there"),
        (negative, {"codebook": OTHER, "id": 9, "crc": 8}, "The id 9 is already there, for another codebook, seq or"),
        (negative, {"codebook": BOOK}, f"fingerprint {BOOK.fingerprint.hex()} is already there"),
        (negative, {"codebook": THREE, "accepts": [BOOK], "same_units": True}, "is already there"),
        (negative, {"codebook": FOREIGN, "accepts": [FOREIGN], "same_units": True}, "is already there"),
        (negative, {"codebook": FOREIGN, "accepts": [OTHER]}, "same_units=True"),
        (negative, {"codebook": THREE, "id": 1, "accepts": {1: FOUR}, "same_units": True}, "The id 1 is already there"),
        (negative, {"codebook": FOREIGN, "id": 256}, "id must be an integer from 0 to 255, got 256"),
        (negative, {"codebook": FOREIGN, "id": 1, "seq": 5}, "seq must be True or False"),
        (negative, {"codebook": FOREIGN, "id": 1, "crc": 32}, "crc must be None, 8 or 16, got 32"),
        (negative, {"codebook": FOREIGN, "crc": 8}, "crc=8 belong to short frames: give the id"),
        (negative, {}, "function has no fitted codebook: give the one whose codes it reads"),
        (LinearRegression(), {}, "LinearRegression has no fitted codebook"),
    ],
)
def test_an_add_that_is_refused_changes_nothing(reader, options, message):
    receiver = by_hand()
    with pytest.raises((ValueError, TypeError), match=message):
        receiver.add(reader, **options)
    assert (receiver.codebooks_, repr(receiver)) == ([BOOK, OTHER], "Receiver(2 codebooks, ids=[7, 9], errors='raise')")


def test_readers_that_predict_nothing(table):
    quantizer = QuantileQuantizer(2).fit(table[0])
    with pytest.raises(TypeError, match="QuantileQuantizer predicts nothing: add the model that reads its codes"):
        Receiver([quantizer])
    with pytest.raises(TypeError, match=r"A reader is a fitted predictor, .* got int"):
        Receiver().add(5, codebook=BOOK)
    with pytest.raises(TypeError, match="takes a Codebook, got list"):
        Receiver().add(weighted, codebook=[[0, 1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame": "tiny"}, "frame must be one of"),
        ({"frame": "bare"}, "bare frames need an id"),
        ({"frame": "short", "id": 7}, "others do not take one"),
        ({"id": 7}, "others do not take one"),
        ({"method": "score"}, "method must be one of"),
        ({"method": "predict_proba"}, "A function of codes has no method 'predict_proba'"),
    ],
)
def test_wrong_arguments_raise_also_where_errors_are_reported(options, message):
    with pytest.raises(ValueError, match=message):
        by_hand(errors="report").predict(dumps(BOOK, [[3, 0, 6]]), **options)


def test_a_receiver_without_readers():
    with pytest.raises(ValueError, match="This receiver has no readers: add one first"):
        Receiver(errors="report").predict(b"")
    with pytest.raises(ValueError, match="errors must be one of"):
        Receiver(errors="ignore")


# -- old devices -----------------------------------------------------------------------------------------------------


def test_codes_of_old_devices_are_transcoded(regressor, table):
    X, new = table[0][:50], regressor.codebook_
    old, older = (QuantileQuantizer(n_bits).fit(table[0]).codebook_ for n_bits in (3, 2))
    receiver = Receiver().add(regressor, id=1, accepts={2: old, 3: older}, same_units=True)
    for id, book in [(2, old), (3, older)]:
        codes = book.encode(X)
        transcoder = book.transcoder(new, same_units=True)
        expected = regressor.predict_codes(transcoder.transcode(codes))
        np.testing.assert_array_equal(receiver.predict(dumps(book, codes)), expected)
        frame = dumps(book, codes, frame="short", id=id)
        np.testing.assert_array_equal(receiver.predict(frame, frame="short"), expected)
        (received,) = receiver.read(dumps(book, codes))
        assert (received.codebook, received.sent) == (new, book)
        np.testing.assert_array_equal(received.codes, transcoder.transcode(codes))
        pd.testing.assert_frame_equal(receiver.transcoders_[book].cost(), transcoder.cost())
    stream = dumps(old, old.encode(X[:2])) + dumps(new, new.encode(X[2:4]))
    two = old.transcoder(new, same_units=True).transcode(old.encode(X[:2]))
    expected = regressor.predict_codes(np.vstack([two, new.encode(X[2:4])]))
    np.testing.assert_array_equal(receiver.predict(stream), expected)


def test_categories_of_old_devices_are_transcoded():
    old = Codebook.from_thresholds({"valve": {"open": 0, "shut": 1, "ajar": 1}, "t": [5]})
    new = Codebook.from_thresholds({"t": [5, 7], "valve": {"shut": 0, "ajar": 0, "open": 1, None: 2}})
    receiver = Receiver().add(lambda codes: codes @ [10, 1], codebook=new, id=1, accepts={2: old})
    assert receiver.predict(dumps(old, [[0, 0], [1, 1]])).tolist() == [1, 20]
    assert receiver.predict(bytes([0b10]), frame="bare", id=2).tolist() == [21]
    assert receiver.transcoders_[old].cost()["n_uncertain"].tolist() == [1, 0]
    fewer = Codebook.from_thresholds({"valve": {"open": 0, "ajar": 1}})
    with pytest.raises(ValueError, match="the category 'shut' of feature 'valve' is the level of an old code"):
        Receiver().add(len, codebook=fewer, accepts=[old])


def test_a_monitor_counts_what_the_reader_reads(regressor, table):
    fine, coarse = regressor.codebooks_.values()
    old = QuantileQuantizer(3).fit(table[0]).codebook_
    monitor = CodeMonitor(fine)
    receiver = Receiver().add(regressor, accepts=[old], same_units=True, monitor=monitor)
    receiver.predict(b"".join(dumps(book, book.encode(table[0][:n])) for n, book in enumerate((fine, old, coarse), 2)))
    codes = [fine.encode(table[0][:2]), old.transcoder(fine, same_units=True).transcode(old.encode(table[0][:3]))]
    assert monitor.to_json() == CodeMonitor(fine).update(np.vstack(codes)).to_json()
    with pytest.raises(ValueError, match="monitor counts codes of a codebook that is none of this reader"):
        Receiver().add(regressor, monitor=CodeMonitor(old))


# -- readers ---------------------------------------------------------------------------------------------------------


def boosting(task=HistGradientBoostingRegressor):
    return task(max_iter=5, random_state=0)


def message_of(book, X):
    return dumps(book, book.encode(X))


def test_a_model_on_codes_in_one_line(table):
    X, y = table
    quantizer = QuantileQuantizer(2).fit(X)
    model = boosting().fit(quantizer.transform(X), y)
    y_pred = Receiver().add(model, codebook=quantizer.codebook_).predict(message_of(quantizer.codebook_, X))
    np.testing.assert_array_equal(y_pred, model.predict(quantizer.transform(X)))
    with pytest.raises(ValueError, match="was fitted on 5 columns, but codebook has 3 features"):
        Receiver().add(model, codebook=BOOK)


@pytest.mark.parametrize("encode", ["ordinal", "thermometer", "value", "packed"])
def test_a_pipeline_gives_its_model_what_the_quantizer_makes(table, encode):
    X, y = table
    pipeline = make_pipeline(QuantileQuantizer(2, encode=encode), boosting(HistGradientBoostingClassifier))
    pipeline.fit(X, y > 15)
    receiver, message = Receiver([pipeline]), message_of(pipeline[0].codebook_, X)
    np.testing.assert_array_equal(receiver.predict(message), pipeline.predict(X))
    np.testing.assert_array_equal(receiver.predict(message, method="predict_proba"), pipeline.predict_proba(X))


def test_scalers_around_the_quantizer(table):
    """The codebook is in raw units, and what stands behind the quantizer is used."""
    X, y = table
    quantize = make_pipeline(StandardScaler(), "passthrough", QuantileQuantizer(2, encode="thermometer"))
    pipeline = make_pipeline(quantize, StandardScaler(), LinearRegression()).fit(X, y)
    y_pred = Receiver([pipeline]).predict(message_of(to_codebook(quantize), X))
    np.testing.assert_array_equal(y_pred, pipeline.predict(X))
    # A device that scales its readings itself
    inner = quantize[-1].codebook_
    receiver = Receiver().add(pipeline, codebook=inner)
    np.testing.assert_array_equal(receiver.predict(message_of(inner, quantize[:-1].transform(X))), y_pred)


@pytest.mark.parametrize("search", [False, True])
def test_a_pipeline_that_ends_in_a_predictor(table, search):
    from sklearn.feature_selection import SelectKBest, f_regression

    X, y = table
    predictor = BitwiseRegressor(n_bits=2, rates=(1,), max_epochs=3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), SelectKBest(f_regression, k=3), predictor)
    fitted = GridSearchCV(pipeline, {"selectkbest__k": [3]}, cv=2).fit(X, y) if search else pipeline.fit(X, y)
    pipeline = fitted.best_estimator_ if search else fitted
    receiver = Receiver([fitted])
    fine, coarse = receiver.codebooks_
    assert fine == to_codebook(pipeline)
    np.testing.assert_array_equal(receiver.predict(message_of(fine, X)), pipeline.predict(X))
    np.testing.assert_array_equal(receiver.predict(message_of(coarse, X)), pipeline.predict(X, rate=1))
    # A server with the predictor and the codebook of the device alone
    receiver = Receiver().add(pipeline[-1], codebook=fine)
    np.testing.assert_array_equal(receiver.predict(message_of(fine, X)), pipeline.predict(X))
    with pytest.raises(ValueError, match="is none of those of this BitwiseRegressor, nor folded from one of them"):
        Receiver().add(pipeline[-1], codebook=BOOK)


def test_a_model_on_named_columns(table):
    X, y = pd.DataFrame(table[0], columns=list("abcde")), table[1]
    pipeline = make_pipeline(QuantileQuantizer(2, encode="thermometer"), boosting())
    pipeline.set_output(transform="pandas").fit(X, y)
    y_pred = Receiver([pipeline]).predict(message_of(pipeline[0].codebook_, X))
    np.testing.assert_array_equal(y_pred, pipeline.predict(X))
    codes = QuantileQuantizer(2).set_output(transform="pandas").fit_transform(X)
    model, book = boosting().fit(codes, y), QuantileQuantizer(2).fit(X).codebook_
    y_pred = Receiver().add(model, codebook=book).predict(message_of(book, X))
    np.testing.assert_array_equal(y_pred, model.predict(codes))


def test_onnx_session(regressor, classifier, table):
    onnxruntime = pytest.importorskip("onnxruntime")
    X, receiver, sessions = table[0], Receiver(), []
    for model in (regressor, classifier):
        written = to_onnx(model, part="head").SerializeToString()
        sessions.append(onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"]))
        receiver.add(sessions[-1], codebook=model.codebook_)
    y_pred = receiver.predict(message_of(regressor.codebook_, X))
    np.testing.assert_allclose(y_pred, regressor.predict(X), rtol=1e-5)
    message = message_of(classifier.codebook_, X)
    np.testing.assert_array_equal(receiver.predict(message), classifier.predict(X))
    probabilities = receiver.predict(message, method="predict_proba")
    np.testing.assert_allclose(probabilities, classifier.predict_proba(X), atol=1e-6)
    with pytest.raises(ValueError, match="no probabilities, which method='predict_proba' needs"):
        receiver.predict(message_of(regressor.codebook_, X), method="predict_proba")
    with pytest.raises(ValueError, match="This ONNX model reads codes of 5 features of the codebook"):
        Receiver().add(sessions[0], codebook=classifier.codebook_)
    whole = onnxruntime.InferenceSession(to_onnx(regressor).SerializeToString(), providers=["CPUExecutionProvider"])
    with pytest.raises(ValueError, match="reads 'X', not codes: write it with to_onnx\\(model, part=\"head\"\\)"):
        Receiver().add(whole, codebook=regressor.codebook_)


# -- the object ------------------------------------------------------------------------------------------------------


def test_pickle_keeps_readers_and_counts():
    receiver = by_hand()
    frame = dumps(BOOK, [[3, 0, 6]], frame="short", id=7, seq=3, crc=8)
    receiver.predict(frame, frame="short", device="hut")
    copy = pickle.loads(pickle.dumps(receiver))
    assert copy.predict(frame, frame="short", device="hut").tolist() == [603]
    assert copy.counts_ == {"hut": Counts(frames=2, rows=2, duplicates=1)}
    assert receiver.counts_ == {"hut": Counts(frames=1, rows=1)}


def test_counts_are_a_copy():
    receiver = by_hand()
    receiver.predict(dumps(BOOK, [[3, 0, 6]]))
    receiver.counts_[None].rows = 5
    assert receiver.counts_[None].rows == 1


def test_threads_count_every_row():
    receiver, message = by_hand(), dumps(BOOK, [[3, 0, 6]])

    def work():
        for _ in range(100):
            receiver.predict(message)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receiver.counts_ == {None: Counts(frames=400, rows=400)}
