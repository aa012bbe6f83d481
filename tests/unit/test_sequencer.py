"""One order over all ways. Law: with refills of 1 to n, anything between comes out as 1 to n, each once, in order."""

from hypothesis import given
from hypothesis import strategies as st

from exportctl.client.sequencer import MAX_HELD, Sequencer
from exportctl.protocol.events import Event


def event(seq):
    return Event(job_id="j", seq=seq)


def numbers(events):
    return [one.seq for one in events]


@given(data=st.data(), count=st.integers(1, 25))
def test_any_mixing_doubling_and_loss_comes_out_in_order_each_once(data, count):
    sequencer, out, offered = Sequencer(), [], 0
    for seq in data.draw(st.lists(st.integers(1, count), max_size=60)):
        out += numbers(sequencer.offer(event(seq)))
        offered += 1
        assert out == list(range(1, sequencer.cursor + 1))
        if data.draw(st.booleans()):
            # A page of the log: from the cursor on, as far as it reaches.
            until = data.draw(st.integers(sequencer.cursor, count))
            for refill in range(sequencer.cursor + 1, until + 1):
                out += numbers(sequencer.offer(event(refill)))
                offered += 1
    sequencer.hear(count)
    while sequencer.is_behind:
        out += numbers(sequencer.offer(event(sequencer.cursor + 1)))
        offered += 1
    assert out == list(range(1, count + 1))
    assert sequencer.duplicates == offered - count


@given(order=st.permutations(range(1, 9)))
def test_a_history_in_any_order_needs_no_refill(order):
    sequencer = Sequencer()
    assert [seq for one in order for seq in numbers(sequencer.offer(event(one)))] == list(range(1, 9))
    assert not sequencer.is_behind
    assert sequencer.duplicates == 0


def test_a_gap_is_known_at_once_and_holds_back_what_lies_behind_it():
    sequencer = Sequencer(cursor=2)
    assert sequencer.offer(event(5)) == []
    assert sequencer.is_behind
    assert numbers(sequencer.offer(event(3))) == [3]
    assert sequencer.is_behind
    assert numbers(sequencer.offer(event(4))) == [4, 5]
    assert not sequencer.is_behind


def test_a_heartbeat_tells_of_events_that_never_came():
    sequencer = Sequencer()
    sequencer.offer(event(1))
    assert not sequencer.is_behind
    sequencer.hear(3)
    assert sequencer.is_behind
    sequencer.hear(1)
    assert sequencer.is_behind


def test_what_is_told_twice_is_dropped_and_counted_held_or_let_through():
    sequencer = Sequencer()
    for seq in (1, 1, 3, 3):
        sequencer.offer(event(seq))
    assert sequencer.duplicates == 2


def test_an_event_without_a_number_is_let_through_at_once_and_moves_nothing():
    sequencer = Sequencer(cursor=4)
    assert sequencer.offer(event(None)) == [event(None)]
    assert (sequencer.cursor, sequencer.heard, sequencer.duplicates) == (4, 0, 0)


def test_a_cursor_in_the_middle_lets_nothing_older_through():
    sequencer = Sequencer(cursor=10)
    assert numbers(one for seq in range(1, 12) for one in sequencer.offer(event(seq))) == [11]


def test_another_log_is_told_from_its_beginning():
    sequencer = Sequencer()
    for seq in (1, 2, 5):
        sequencer.offer(event(seq))
    sequencer.rewind()
    assert not sequencer.is_behind
    of_the_new = [Event(job_id="j", seq=seq, project_id="new") for seq in (1, 2, 3, 4, 5)]
    # What was held behind the gap was of the old log: it may not stand in for the new one's fifth.
    assert [one for new in of_the_new for one in sequencer.offer(new)] == of_the_new


def test_memory_is_bounded_behind_a_gap_that_nobody_fills_and_nothing_is_lost_for_it():
    sequencer = Sequencer()
    count = MAX_HELD + 50
    for seq in range(2, count + 1):
        sequencer.offer(event(seq))
    assert len(sequencer._held) == MAX_HELD
    out = numbers(sequencer.offer(event(1)))
    assert sequencer.is_behind
    while sequencer.is_behind:
        out += numbers(sequencer.offer(event(sequencer.cursor + 1)))
    assert out == list(range(1, count + 1))
