"""What becomes of a message, and in which order one app's messages are handled."""

import pytest

from shared.bus.consumer import Lane
from shared.bus.outcomes import MAX_ATTEMPTS, Outcome, delay_before, outcome_of
from shared.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


@pytest.mark.parametrize(
    ("error", "attempt", "outcome"),
    [
        (None, 1, Outcome.DONE),
        (Unavailable("x"), 1, Outcome.RETRY),
        (Unavailable("x"), MAX_ATTEMPTS + 50, Outcome.RETRY),
        (RuntimeError("x"), 1, Outcome.RETRY),
        (RuntimeError("x"), MAX_ATTEMPTS, Outcome.DEAD),
        (Invalid("x"), 1, Outcome.DEAD),
        (Forbidden("x"), 1, Outcome.DEAD),
        (NotFound("x"), 1, Outcome.DEAD),
        (Conflict("x"), 1, Outcome.DEAD),
    ],
)
def test_the_table_of_outcomes(error, attempt, outcome):
    assert outcome_of(error, attempt) is outcome


def test_delays_grow_to_half_a_minute():
    delays = [delay_before(attempt) for attempt in range(1, 30)]
    assert delays == sorted(delays)
    assert delays[0] < 1
    assert delays[-1] == 30


def test_a_lane_hands_out_one_at_a_time_in_the_order_of_the_stream():
    lane = Lane()
    for place in (3, 1, 2):
        lane.push(place, object())
    assert lane.pop()[0] == 1
    lane.running = object()
    assert lane.pop() is None
    lane.running = None
    assert lane.pop()[0] == 2


def test_a_lane_waits_for_the_message_that_failed():
    lane = Lane()
    lane.awaited = 4
    lane.push(5, object())
    assert lane.pop() is None
    lane.push(4, object())
    assert lane.pop()[0] == 4


def test_a_message_delivered_twice_waits_once():
    lane = Lane()
    lane.push(5, object())
    lane.push(5, object())
    assert len(lane.waiting) == 1
