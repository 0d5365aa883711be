"""Group 5: messages in fragments."""

from collections.abc import Sequence

from tests.integration.gateway.websockets.case import (
    HELLO,
    Case,
    Hears,
    Say,
    broken,
    one_by_one,
    say,
    talk,
)
from tests.integration.gateway.websockets.frames import (
    BINARY,
    CLOSE,
    TEXT,
    Frame,
    binary,
    fragments,
    ping,
    pong,
    rest,
    text,
)

TWO = fragments(TEXT, [b"frag", b"ment"])
FIVE = fragments(TEXT, [b"a", b"b", b"c", b"d", b"e"])


def _ways(frames: Sequence[Frame]) -> dict[str, tuple[Say, ...]]:
    """The same frames as they may arrive."""
    return {
        "": (say(*frames),),
        ", frame by frame": one_by_one(*frames),
        ", one octet at a time": (say(*frames, chop=1),),
    }


def _legal(name: str, frames: Sequence[Frame], answers: int) -> list[Case]:
    return [talk(f"5 {name}{way}", *said, Hears(answers)) for way, said in _ways(frames).items()]


def _illegal(name: str, frames: Sequence[Frame]) -> list[Case]:
    return [broken(f"5 {name}{way}", *said) for way, said in _ways(frames).items()]


CASES = [
    *_legal("text in two", TWO, 1),
    *_legal("text in five", FIVE, 1),
    *_legal("binary in two", fragments(BINARY, [b"\x00\xff", b"\xfe"]), 1),
    *_legal("two empty fragments", fragments(TEXT, [b"", b""]), 1),
    *_legal("three empty fragments", fragments(TEXT, [b"", b"", b""]), 1),
    *_legal("empty, full and empty", fragments(TEXT, [b"", b"full", b""]), 1),
    *_legal("ping between fragments", [TWO[0], ping(b"me"), TWO[1]], 2),
    *_legal("ping of 125 between fragments", [TWO[0], ping(b"x" * 125), TWO[1]], 2),
    *_legal("pong between fragments", [TWO[0], pong(b"me"), TWO[1]], 1),
    *_legal("ping before and behind every fragment", [ping(), TWO[0], ping(), TWO[1], ping()], 4),
    *_legal(
        "pings between five fragments",
        [part for frame in FIVE for part in (frame, ping(frame.payload))],
        6,
    ),
    *_legal("two messages in two", [*TWO, *fragments(BINARY, [b"1", b"2"])], 2),
    *_legal("text, text in two, text", [text("one"), *TWO, text("three")], 3),
    *_illegal("ping in two", [ping(b"half", fin=False), rest(b"whole")]),
    *_illegal("pong in two", [pong(b"half", fin=False), rest(b"whole")]),
    *_illegal("close in two", [Frame(CLOSE, b"\x03", fin=False), rest(b"\xe8")]),
    *_illegal("ping in two in a message", [TWO[0], ping(b"half", fin=False), TWO[1]]),
    *_illegal("continuation of nothing", [rest(b"lost"), text("Hello")]),
    *_illegal("unfinished continuation of nothing", [rest(b"lost", fin=False), text("Hello")]),
    *_illegal("text in a text", [TWO[0], text("Hello")]),
    *_illegal("binary in a text", [TWO[0], binary(b"Hello"), TWO[1]]),
    *_illegal("fragments in a text", [TWO[0], *TWO]),
    *_illegal("close in a text", [TWO[0], Frame(CLOSE, b"\x03\xe8")]),
    *_illegal("reserved opcode in a text", [TWO[0], Frame(3, b"x"), TWO[1]]),
    broken("5 continuation behind a whole text", *HELLO, say(rest(b"more"))),
    broken("5 continuation behind a text in two", say(*TWO), Hears(1), say(rest(b"more"))),
    talk("5 pong waits for no end of a text", say(TWO[0], ping()), Hears(1), say(TWO[1]), Hears(2)),
]
