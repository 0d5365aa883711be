"""`traceparent` (W3C Trace Context): passed on where it is sound, begun where there is none."""

import os
import re

_SOUND = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_BATCH = 512
_BYTES = 24

_random: list[str] = []


def sound(value: bytes) -> bool:
    """Is this a trace context that may be passed on? Of later versions the same beginning is."""
    return _SOUND.match(value) is not None and (
        len(value) == 55 or (value[:2] != b"00" and value[55:56] == b"-")
    )


def begin() -> bytes:
    """A new trace context, not sampled: nobody has asked for the trace to be kept."""
    if not _random:
        drawn = os.urandom(_BATCH * _BYTES).hex()
        size = 2 * _BYTES
        _random.extend(drawn[at : at + size] for at in range(0, len(drawn), size))
    text = _random.pop()
    return b"00-%b-%b-00" % (text[:32].encode(), text[32:].encode())


def trace_id(value: bytes) -> str:
    """The trace's id, 32 hexadecimal digits, of a sound value."""
    return value[3:35].decode("ascii")
