"""Groups 12 and 13: permessage-deflate, negotiated and not (RFC 7692)."""

from collections.abc import Sequence

from tests.integration.gateway.websockets.case import (
    Case,
    Hears,
    broken,
    handshake,
    refused,
    say,
    talk,
)
from tests.integration.gateway.websockets.frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    TEXT,
    Frame,
    Payload,
    deflated,
    ping,
    text,
)
from tests.integration.gateway.websockets.framing import KINDS, filler

OFFERS = {
    "plain": "permessage-deflate",
    "client's window": "permessage-deflate; client_max_window_bits",
    "client's window of 9": "permessage-deflate; client_max_window_bits=9",
    "server's window of 9": "permessage-deflate; server_max_window_bits=9",
    "no takeover by the server": "permessage-deflate; server_no_context_takeover",
    "no takeover by the client": "permessage-deflate; client_no_context_takeover",
    "everything": "permessage-deflate; client_no_context_takeover; server_no_context_takeover; "
    "client_max_window_bits=9; server_max_window_bits=9",
    "one of two": "permessage-deflate; server_max_window_bits=99, permessage-deflate",
    "behind an unknown one": "x-webkit-unknown, permessage-deflate",
}
REFUSED = {
    "unknown extension": "x-unknown; parameter=1",
    "unknown parameter": "permessage-deflate; colour=blue",
    "window too wide": "permessage-deflate; server_max_window_bits=16",
    "parameter given twice": "permessage-deflate; server_max_window_bits=9; "
    "server_max_window_bits=9",
}
FLAWED = {
    "empty": "",
    "garbled": "permessage-deflate; =; ,",
}
SIZES = (0, 16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
JSON = b'{"name": "moor", "value": 12, "tags": ["a", "b"]}, ' * 40


def offering(offer: str) -> bytes:
    return handshake(f"Sec-WebSocket-Extensions: {offer}")


def _frames(opcode: int, payloads: Sequence[Payload], takeover: bool = True) -> list[Frame]:
    packed = deflated(list(payloads), takeover=takeover)
    return [Frame(opcode, data, rsv=COMPRESSED) for data in packed]


def _sizes() -> list[Case]:
    cases: list[Case] = []
    for kind, opcode in KINDS.items():
        for size in SIZES:
            frames = _frames(opcode, [filler(kind, size)] * 3)
            name = f"12 three times {kind} of {size}"
            cases.append(talk(name, say(*frames), Hears(3), head=offering(OFFERS["plain"])))
    return cases


def _offers() -> list[Case]:
    cases: list[Case] = []
    for name, offer in OFFERS.items():
        takeover = "client_no_context_takeover" not in offer
        frames = _frames(TEXT, [JSON, JSON, b"", JSON[:100]], takeover)
        plain = say(ping(b"me"), text("not compressed"))
        said = (say(*frames, chop=500), plain, Hears(6))
        cases.append(talk(f"13 {name}", *said, head=offering(offer)))
    for name, offer in REFUSED.items():
        head, flawed = offering(offer), say(*_frames(TEXT, [JSON]))
        cases.append(talk(f"13 refused: {name}", say(text("Hello")), Hears(1), head=head))
        cases.append(broken(f"13 used but refused: {name}", flawed, head=head))
    return cases + [
        refused(f"13 no offer at all: {name}", 400, offering(offer))
        for name, offer in FLAWED.items()
    ]


def _fragments() -> list[Case]:
    head = offering(OFFERS["plain"])
    packed = deflated([JSON])[0]
    half = len(packed) // 2
    first = Frame(TEXT, packed[:half], fin=False, rsv=COMPRESSED)
    last = Frame(CONTINUATION, packed[half:])
    flawed = Frame(CONTINUATION, packed[half:], rsv=COMPRESSED)
    return [
        talk("12 fragments", say(first, last), Hears(1), head=head),
        talk("12 fragments, one octet at a time", say(first, last, chop=1), Hears(1), head=head),
        talk("12 ping between fragments", say(first, ping(), last), Hears(2), head=head),
        broken("12 continuation that says it is compressed", say(first, flawed), head=head),
    ]


def _violations() -> list[Case]:
    head = offering(OFFERS["plain"])
    # The server reads the whole message before it says that this is no UTF-8.
    bad_text = _frames(TEXT, [b"\xce\xba\xed\xa0\x80"])
    return [
        broken("12 ping that says it is compressed", say(ping(b"me", rsv=COMPRESSED)), head=head),
        broken("12 close that says it is compressed", say(Frame(CLOSE, rsv=COMPRESSED)), head=head),
        broken("12 no deflate data", say(text(b"\xff\xff\xff", rsv=COMPRESSED)), head=head),
        broken("12 rsv2 beside it", say(text(b"x", rsv=COMPRESSED | 2)), head=head),
        broken("12 bomb", say(*_frames(BINARY, [bytes(17 << 20)])), head=head, code=1009),
        talk("12 text that is no UTF-8", say(*bad_text), Hears(1), head=head, code=1007),
        talk("12 not used", say(text("Hello"), text("World")), Hears(2), head=head),
    ]


CASES = [*_sizes(), *_offers(), *_fragments(), *_violations()]
