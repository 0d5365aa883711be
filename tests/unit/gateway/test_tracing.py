"""`traceparent`: what is passed on, what is begun."""

import pytest

from gateway.requests import RequestReader
from gateway.tracing import begin, sound, trace_id

GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_begun_contexts_are_sound_and_differ() -> None:
    made = {begin() for _ in range(2000)}
    assert len(made) == 2000
    assert all(sound(value) and value.endswith(b"-01") for value in made)
    assert len({trace_id(value) for value in made}) == 2000


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (GOOD, True),
        (b"01" + GOOD[2:] + b"-more", True),
        (b"01" + GOOD[2:], True),
        (GOOD + b"-more", False),
        (b"01" + GOOD[2:] + b"more", False),
        (b"ff" + GOOD[2:], False),
        (GOOD.upper(), False),
        (b"00-" + b"0" * 32 + GOOD[35:], False),
        (GOOD[:36] + b"0" * 16 + b"-01", False),
        (GOOD[:-1], False),
        (b"", False),
        (GOOD + b", " + GOOD, False),
    ],
)
def test_what_is_sound(value: bytes, verdict: bool) -> None:
    assert sound(value) is verdict


def test_only_what_is_sound_is_taken_from_a_request() -> None:
    for value, taken in ((GOOD, GOOD), (b"junk", None)):
        head = b"GET / HTTP/1.1\r\nHost: h\r\nTraceparent: %b\r\n" % value
        fields = RequestReader().read(head).fields
        assert fields.trace == taken
        assert b"raceparent" not in fields.for_app


def test_another_vendor_s_state_goes_on_only_with_its_trace() -> None:
    """What belongs to a trace that is not continued would be read as part of the one begun
    (W3C Trace Context, 4.3)."""
    head = b"GET / HTTP/1.1\r\nHost: h\r\n%bTracestate: vendor=1\r\n"
    for line, goes_on in (
        (b"Traceparent: %b\r\n" % GOOD, True),
        (b"Traceparent: junk\r\n", False),
        (b"Traceparent: %b\r\nTraceparent: %b\r\n" % (GOOD, GOOD), False),
        (b"", False),
    ):
        fields = RequestReader().read(head % line).fields
        assert (b"vendor=1" in fields.for_app) is goes_on
