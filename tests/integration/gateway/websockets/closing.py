"""Group 7: how a WebSocket is closed, and how it is cut off."""

import struct

from tests.integration.gateway.conformance.conversation import Close, End, Left, Reset
from tests.integration.gateway.websockets.case import (
    HELLO,
    Case,
    Hears,
    broken,
    say,
    scripted,
    talk,
)
from tests.integration.gateway.websockets.frames import (
    CLOSE,
    Frame,
    binary,
    close,
    ping,
    text,
)
from tests.integration.gateway.websockets.framing import MIB, filler

VALID = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
PRIVATE = (3000, 3999, 4000, 4999)
INVALID = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
REASON = b"Going home"
HALF = text("half a message", announced=100)
"""A frame that breaks off."""
LONG = binary(filler("binary", 4 * MIB))
"""More than waits in sockets: it must be passed on even when its sender is gone."""


def _codes() -> list[Case]:
    cases: list[Case] = []
    for code in (*VALID, *PRIVATE, *INVALID):
        back = 1002 if code in INVALID else code
        name, reasoned = f"7 code {code}", close(code, REASON)
        octets = say(reasoned, chop=1)
        cases += [
            broken(name, say(close(code)), code=back),
            broken(f"{name} with a reason", *HELLO, say(reasoned), code=back),
            broken(f"{name} with a reason, one octet at a time", *HELLO, octets, code=back),
        ]
    return cases


def _payloads() -> list[Case]:
    longest = b"r" * 123
    cut = "κόσμε".encode()[:-1]
    return [
        broken("7 no payload", say(Frame(CLOSE)), code=1005),
        broken("7 no payload, after a text", *HELLO, say(Frame(CLOSE)), code=1005),
        broken("7 payload of one byte", say(Frame(CLOSE, b"a"))),
        broken("7 longest reason", say(close(1000, longest)), code=1000),
        broken(
            "7 longest reason, one octet at a time", say(close(1000, longest), chop=1), code=1000
        ),
        broken(
            "7 reason that is too long", say(Frame(CLOSE, struct.pack("!H", 1000) + b"r" * 124))
        ),
        broken("7 reason in greek", say(close(1000, "κόσμε".encode())), code=1000),
        broken("7 reason that is no UTF-8", say(close(1000, b"\xce\xba\xed\xa0\x80")), code=1007),
        broken("7 reason that ends in a character", say(close(1000, cut)), code=1007),
    ]


def _behind() -> list[Case]:
    two = say(close(1000, b"first"), close(1001, b"second"))
    return [
        broken("7 two closes", two, code=1000),
        broken("7 text behind the close", *HELLO, say(close(), text("late")), code=1000),
        broken("7 ping behind the close", *HELLO, say(close(), ping(b"late")), code=1000),
        broken("7 long binary behind the close", say(close(), binary(b"x" * 65_536)), code=1000),
        broken("7 nonsense behind the close", say(close()), b"\xff" * 20, code=1000),
        broken(
            "7 text in a later write", *HELLO, say(close()), Hears(2), say(text("late")), code=1000
        ),
        talk("7 ten texts before the close", say(*[text("x")] * 10), Hears(10)),
    ]


def _drops() -> list[Case]:
    """The client goes without a word; what counts is what the app is told."""
    said = (say(LONG, close(1001)), Close())
    return [
        broken("7 client ends", End(), code=1006),
        broken("7 client ends after a text", *HELLO, End(), code=1006),
        broken("7 client closes", *HELLO, Close(), code=1006),
        broken("7 client resets", *HELLO, Reset(), code=1006),
        broken("7 client resets at once", Reset(), code=1006),
        broken("7 client ends in a frame", *HELLO, say(HALF), End(), code=1006),
        broken("7 client ends in a frame's head", *HELLO, b"\x81", End(), code=1006),
        broken(
            "7 client ends in a message", *HELLO, say(text("half", fin=False)), End(), code=1006
        ),
        broken("7 client closes behind a long message", say(LONG), Close(), code=1006),
        broken("7 client closes behind a long message and a close frame", *said, code=1006),
    ]


def _server_drops() -> list[Case]:
    """The server goes without a close frame. It has heard from the client that everything has
    arrived, so a reset destroys nothing."""
    hello, last = say(text("hello")), say(text("one"), text("two"))
    arrived = (Hears(2), hello)
    middle = say(text("one"), text("half", fin=False))
    cut = (say(text("one")), say(HALF))
    half_head = (say(text("one")), b"\x82\x7e")
    by_server = {"ends": End(), "closes": Close(), "resets": Reset()}
    cases: list[Case] = []
    for how, end in by_server.items():
        said = {"at once": (), "after a text": (hello,), "in a message": (middle,)}
        for when, script in said.items():
            wait = () if how == "ends" or not script else (Hears(1),)
            client = (Hears(1), hello) if wait else ()
            name = f"7 server {how} {when}"
            cases.append(scripted(name, client, (*script, *wait, end)))
        cases += [
            scripted(f"7 server {how} when all is there", arrived, (last, Hears(1), end)),
            scripted(f"7 server {how} in a frame", (Hears(1), hello), (*cut, Hears(1), end)),
            scripted(
                f"7 server {how} in a frame's head", (Hears(1), hello), (*half_head, Hears(1), end)
            ),
            scripted(
                f"7 server {how} behind its close frame",
                (Hears(1), say(close(1001))),
                (say(close(1001, b"leaving")), Hears(1), end),
            ),
        ]
    return cases


def _server_closes() -> list[Case]:
    """The server begins; the client answers, and the server ends the connection."""
    answer = (Hears(1), say(close(1000, b"as you say")))
    return [
        *[
            scripted(f"7 server's code {code}", answer, (say(close(code, REASON)), Hears(1), End()))
            for code in (*VALID, *PRIVATE, *INVALID)
        ],
        scripted(
            "7 server's close without a payload", answer, (say(Frame(CLOSE)), Hears(1), End())
        ),
        scripted("7 both close at once", (say(close(1001)),), (say(close(1001)), Hears(1), End())),
        scripted(
            "7 server closes and does not wait", (Left(),), (say(text("x"), close(1013)), Close())
        ),
        scripted("7 server closes behind a long message", (), (say(LONG), Close())),
        scripted(
            "7 server closes behind a long message and a close frame",
            (),
            (say(LONG, close(1001)), Close()),
        ),
        scripted(
            "7 server goes on behind its close frame",
            (Hears(3), say(close())),
            (say(close(), text("late"), ping(b"late")), Hears(1), End()),
        ),
    ]


def _half_closed() -> list[Case]:
    """One side ends its direction and expects the other to go on, which RFC 6455 does not know."""
    return [
        scripted("half-closed by the client", (End(), Hears(1)), (Left(), say(text("bye")), End())),
        scripted(
            "half-closed by the server",
            (Left(), say(text("bye"))),
            (say(text("hello")), End(), Hears(1)),
        ),
        scripted(
            "half-closed by the client behind its close frame",
            (say(close()), End(), Hears(1)),
            (Hears(1), Left(), say(close()), End()),
        ),
    ]


CASES = [
    *_codes(),
    *_payloads(),
    *_behind(),
    *_drops(),
    *_server_drops(),
    *_server_closes(),
    *_half_closed(),
]
