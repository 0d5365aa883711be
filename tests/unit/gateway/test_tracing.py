"""`traceparent`: what is passed on, what is begun."""

import pytest

from gateway.requests import RequestReader
from gateway.tracing import begin, sound, trace_id

GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_begun_contexts_are_sound_and_differ() -> None:
    made = {begin() for _ in range(2000)}
    assert len(made) == 2000
    assert all(sound(value) for value in made)
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
