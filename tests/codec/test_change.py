"""Send on change: packets by hand, and what a receiver knows after losses, delays, duplicates and restarts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codec import ChangeReceiver, ChangeSender, dumps
from tests.codec.test_message import BOOK, CODES

ONE = Codebook.from_thresholds([[0, 1, 2]])
FIRST, SECOND = CODES[:2]
streams = st.lists(st.integers(0, 2), min_size=1, max_size=40).map(lambda codes: [[code] for code in codes])
keyframes = st.integers(1, 6)


def packets(codes, keyframe, book=ONE):
    """Return the packet of each row, None where nothing is sent."""
    sender = ChangeSender(book, keyframe=keyframe, id=7)
    return [sender.send(row) for row in codes]


def receiver(keyframe, **options):
    return ChangeReceiver(ONE, **{"keyframe": keyframe, "id": 7} | options)


# -- the sender --------------------------------------------------------------------------------------


def test_packets_by_hand():
    frames = packets([FIRST, FIRST, SECOND, SECOND, SECOND, SECOND, FIRST, FIRST], keyframe=3, book=BOOK)
    sent = {0: FIRST, 2: SECOND, 5: SECOND, 6: FIRST}
    expected = {n: dumps(BOOK, [row], frame="short", id=7, seq=seq) for seq, (n, row) in enumerate(sent.items())}
    assert {n: frame for n, frame in enumerate(frames) if frame is not None} == expected


@given(streams, keyframes)
def test_a_packet_means_a_change_or_a_keyframe(codes, keyframe):
    since = keyframe
    for n, frame in enumerate(packets(codes, keyframe)):
        is_change = n == 0 or codes[n] != codes[n - 1]
        assert (frame is not None) == (is_change or since == keyframe)
        since = 1 if frame is not None else since + 1


@pytest.mark.parametrize("crc", [None, 8, 16])
def test_layout(crc):
    frame = ChangeSender(BOOK, keyframe=3, id=200, crc=crc).send(np.array(FIRST))
    assert frame == dumps(BOOK, [FIRST], frame="short", id=200, seq=0, crc=crc)
    assert ChangeReceiver(BOOK, keyframe=3, crc=crc).receive(frame).codes.tolist() == [FIRST]


def test_a_refused_row_changes_nothing():
    sender = ChangeSender(ONE, keyframe=9, id=7)
    sender.send([1])
    for wrong in ([4], [-1], [1, 1], [[1]], b"\1"):
        with pytest.raises(ValueError, match=r"."):
            sender.send(wrong)
    assert sender.send([1]) is None
    assert sender.send([2]) == dumps(ONE, [[2]], frame="short", id=7, seq=1)


# -- without losses ----------------------------------------------------------------------------------


@given(streams, keyframes, st.integers(0, 3))
def test_without_losses_all_rows_arrive_slot_by_slot(codes, keyframe, late):
    frames = packets(codes, keyframe)
    follower = receiver(keyframe, late=late)
    for n, (row, frame) in enumerate(zip(codes, frames, strict=True)):
        rows = follower.receive(frame)
        assert (rows.slots, rows.codes.tolist(), rows.lost) == (range(n, n + 1), [row], 0)
        assert rows.states == ("held" if frame is None else "fresh",)
        assert rows.codes.dtype == ONE.dtype


@given(streams, keyframes)
def test_without_losses_all_rows_arrive_by_the_slots_of_packets(codes, keyframe):
    frames = packets(codes, keyframe)
    follower, found = receiver(keyframe), []
    for n, frame in enumerate(frames):
        if frame is not None or n == len(frames) - 1:
            rows = follower.receive(frame, slot=100 + n)
            assert rows.slots == range(100 + len(found), 100 + n + 1)
            assert rows.states == ("held",) * (len(rows.slots) - 1) + ("held" if frame is None else "fresh",)
            found += rows.codes.tolist()
    assert found == codes


def test_before_the_first_packet_no_row_is_known():
    follower = ChangeReceiver(BOOK, keyframe=2)
    for n in (0, 1):
        rows = follower.receive()
        assert (rows.codes.shape, rows.codes.dtype, rows.states) == ((0, 3), BOOK.dtype, ())
        assert rows.slots == range(n + 1, n + 1)
    rows = follower.receive(dumps(BOOK, [FIRST], frame="short", id=7, seq=44), slot=5)
    assert (rows.slots, rows.codes.tolist(), rows.states, rows.lost) == (range(5, 6), [FIRST], ("fresh",), 0)


def test_codes_of_two_bytes():
    book = Codebook.from_thresholds([range(300)])
    rows = ChangeReceiver(book, keyframe=9).receive(ChangeSender(book, keyframe=9, id=7).send([300]))
    assert (rows.codes.tolist(), rows.codes.dtype) == ([[300]], np.uint16)


# -- losses ------------------------------------------------------------------------------------------


@given(streams, keyframes, st.data())
def test_after_the_next_packet_all_is_known_again(codes, keyframe, data):
    """Rows between two packets that are not stale are right, and every lost packet is counted."""
    frames = packets(codes, keyframe)
    follower, n_lost, n_known = receiver(keyframe), 0, 0
    for n, frame in enumerate(frames):
        if frame is None:
            continue
        if data.draw(st.booleans()):
            n_lost += 1
            continue
        rows = follower.receive(frame, slot=n)
        assert rows.codes[-1].tolist() == codes[n]
        assert rows.states[-1] == "fresh"
        if n_known:
            assert rows.slots == range(n_known, n + 1)
            assert rows.lost == n_lost
            assert rows.states[:-1] == ("stale" if n_lost else "held",) * (len(rows.slots) - 1)
            assert n_lost or rows.codes.tolist() == codes[n_known : n + 1]
        n_lost, n_known = 0, n + 1


@given(streams, keyframes, st.integers(0, 3), st.data())
def test_silence_is_stale_after_a_keyframe_was_due(codes, keyframe, late, data):
    last = None
    follower = receiver(keyframe, late=late)
    for n, frame in enumerate(packets(codes, keyframe)):
        is_lost = frame is not None and data.draw(st.booleans())
        rows = follower.receive(None if is_lost else frame)
        if frame is not None and not is_lost:
            last = n
        elif last is not None:
            assert rows.states == ("held" if n - last < keyframe + late else "stale",)


@pytest.mark.parametrize("n_lost", [1, 127, 128, 254, 255, 256, 600])
@pytest.mark.parametrize("start", [0, 200])
def test_the_longest_losses(n_lost, start):
    """Also those after which the sequence number is that of the last packet, or looks older."""
    frames = packets([[n % 4] for n in range(start + n_lost + 3)], keyframe=1000)
    follower = receiver(1000, late=0)
    follower.receive(frames[start], slot=start)
    for n, lost in ((start + n_lost + 1, n_lost % 256), (start + n_lost + 2, 0)):
        rows = follower.receive(frames[n], slot=n)
        assert (rows.codes[-1].tolist(), rows.states[-1], rows.lost) == ([n % 4], "fresh", lost)


def test_a_corrupt_packet_counts_as_lost():
    frames = packets([[1], [2], [2], [3]], keyframe=9)
    follower = receiver(9)
    follower.receive(frames[0])
    for bit in range(8 * len(frames[1])):
        damaged = bytearray(frames[1])
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"CRC of this frame is wrong|has the id"):
            follower.receive(damaged)
    rows = follower.receive(None)
    assert (rows.slots, rows.codes.tolist(), rows.states) == (range(1, 2), [[1]], ("held",))
    rows = follower.receive(frames[3], slot=3)
    assert (rows.codes.tolist(), rows.states, rows.lost) == ([[1], [3]], ("stale", "fresh"), 1)


# -- duplicates, delays, restarts --------------------------------------------------------------------


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), keyframes, st.integers(0, 3), st.data())
def test_delays_and_duplicates(codes, keyframe, late, data):
    """The receiver follows the newest of the packets that arrived."""
    frames = packets([[code] for code in codes], keyframe)
    deliveries = [[] for _ in range(len(codes) + late)]
    for n, frame in enumerate(frames):
        if frame is not None:
            for delay in data.draw(st.lists(st.integers(0, late), min_size=1, max_size=2)):
                deliveries[n + delay].append(n)
    follower, newest = receiver(keyframe, late=late), -1
    for slot, arriving in enumerate(deliveries):
        for n in data.draw(st.permutations(arriving)):
            rows = follower.receive(frames[n], slot=slot)
            if newest >= 0:
                is_news = n > newest
                assert rows.lost == (sum(frame is not None for frame in frames[newest + 1 : n]) if is_news else 0)
                assert not is_news or rows.states[-1] == "fresh"
            newest = max(newest, n)
            assert rows.codes[-1].tolist() == [codes[newest]]


def test_the_same_slot_again():
    frames = packets([[1], [2], [3]], keyframe=9)
    follower = receiver(9)
    follower.receive(frames[0], slot=4)
    for frame, codes in ((frames[0], 1), (None, 1), (frames[2], 3), (frames[1], 3)):
        rows = follower.receive(frame, slot=4)
        assert (rows.slots, rows.codes.tolist(), rows.states) == (range(4, 5), [[codes]], ("fresh",))


@pytest.mark.parametrize("n_sent", [1, 100, 129, 130, 250])
def test_a_device_that_restarts(n_sent):
    """It is followed at once if its numbers look newer or repeat, and else when no packet can be so late."""
    frames = packets([[n % 4] for n in range(n_sent)], keyframe=9)
    again = packets([[(n_sent + 1) % 4]] * 9, keyframe=1)
    follower = receiver(9, late=3)
    follower.receive(frames[-1], slot=n_sent)
    for n, frame in enumerate(again, 1):
        rows = follower.receive(frame, slot=n_sent + n)
        is_ignored = 1 < n_sent < 130 and n <= 3
        assert (rows.codes[-1].tolist() == [(n_sent + 1) % 4]) != is_ignored
        assert rows.states[-1] == ("held" if is_ignored else "fresh")


# -- parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyframe", [0, -1, 65536, 1.5, True, None])
def test_wrong_keyframe(keyframe):
    with pytest.raises(ValueError, match="keyframe must be an integer from 1 to 65535, got"):
        ChangeSender(ONE, keyframe=keyframe, id=7)
    with pytest.raises(ValueError, match="keyframe must be an integer from 1 to 65535, got"):
        ChangeReceiver(ONE, keyframe=keyframe)


@pytest.mark.parametrize("late", [-1, 128, 1.0])
def test_wrong_late(late):
    with pytest.raises(ValueError, match="late must be an integer from 0 to 127, got"):
        receiver(9, late=late)


@pytest.mark.parametrize("slot", [2, -1, 3.5])
def test_wrong_slot(slot):
    follower = receiver(9)
    follower.receive(slot=3)
    with pytest.raises(ValueError, match="slot must be an integer of at least 3, got"):
        follower.receive(slot=slot)
    with pytest.raises(ValueError, match="slot must be an integer of at least 0, got -1"):
        receiver(9).receive(slot=-1)


def test_more_than_one_row():
    with pytest.raises(ValueError, match="has 1 row, got 2: it has another layout"):
        receiver(9).receive(dumps(ONE, [[1], [2]], frame="short", id=7, seq=0))


def test_no_codebook():
    for make in (ChangeSender, ChangeReceiver):
        with pytest.raises(TypeError, match="RowCodec takes a Codebook"):
            make([[0, 1]], keyframe=9, id=7)
