"""Groups 1, 2, 3, 4, 9 and 10: frames, pings, reserved bits, opcodes, long messages."""

from tests.integration.gateway.websockets.case import (
    HELLO,
    Case,
    Hears,
    broken,
    handshake,
    one_by_one,
    say,
    talk,
)
from tests.integration.gateway.websockets.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Payload,
    binary,
    fragments,
    ping,
    pong,
    text,
)

KINDS = {"text": TEXT, "binary": BINARY}
BORDERS = (0, 1, 125, 126, 127, 128, 65_535, 65_536)
"""Sizes around those at which a frame's length takes more bytes."""
KIB, MIB = 1 << 10, 1 << 20
LARGEST = 16 * MIB
_LETTERS = memoryview((bytes(range(48, 123)) * (LARGEST // 75 + 1))[:LARGEST])
_BYTES = (bytes(range(256)) * 257)[::-1]
_CONTROLS = {"close": CLOSE, "ping": PING, "pong": PONG}
_RESERVED_DATA = (3, 4, 5, 6, 7)
_RESERVED_CONTROL = (11, 12, 13, 14, 15)


def filler(kind: str, size: int) -> Payload:
    """No two neighbours alike, so that a shift is noticed."""
    return _LETTERS[:size] if kind == "text" or size > len(_BYTES) else _BYTES[:size]


def in_pieces(payload: Payload, size: int) -> list[Payload]:
    return [payload[start : start + size] for start in range(0, len(payload), size)]


def _lengths() -> list[Case]:
    cases: list[Case] = []
    for kind, opcode in KINDS.items():
        for size in BORDERS:
            frame = Frame(opcode, filler(kind, size))
            cases.append(talk(f"1 {kind} of {size}", say(frame), Hears(1)))
            if size <= 128:
                name = f"1 {kind} of {size}, one octet at a time"
                cases.append(talk(name, say(frame, chop=1), Hears(1)))
        for chop in (997, 4096, 32_768):
            frame = Frame(opcode, filler(kind, 65_536))
            name = f"1 {kind} of 65536 in pieces of {chop}"
            cases.append(talk(name, say(frame, chop=chop), Hears(1)))
    return cases


def _odd_lengths() -> list[Case]:
    hello, long = filler("text", 5), filler("text", 200)
    return [
        talk("1 length 5 in two bytes", say(text(hello, width=2)), Hears(1)),
        talk("1 length 5 in eight bytes", say(text(hello, width=8)), Hears(1)),
        talk("1 length 200 in eight bytes", say(text(long, width=8)), Hears(1)),
        broken(
            "1 length beyond what the app takes",
            say(binary(b"x", announced=LARGEST + 1)),
            code=1009,
        ),
        broken("1 length of 2**62", say(binary(b"x", width=8, announced=1 << 62)), code=1009),
        broken(
            "1 length with its highest bit set",
            say(binary(b"x", width=8, announced=1 << 63)),
            code=1009,
        ),
        talk("1 hundred texts in one write", say(*[text(f"{n}") for n in range(100)]), Hears(100)),
        talk("1 hundred texts", *one_by_one(*[text(f"{n}") for n in range(100)]), Hears(100)),
        talk(
            "1 text and binary in turns",
            say(*[Frame(BINARY if n % 2 else TEXT, b"%d" % n) for n in range(20)], chop=7),
            Hears(20),
        ),
    ]


def _pings() -> list[Case]:
    cases = [
        talk(f"2 ping of {size}", say(ping(filler("binary", size))), Hears(1))
        for size in (0, 1, 2, 64, 124, 125)
    ]
    many = [ping(b"payload-%d" % n) for n in range(10)]
    unasked = pong(b"unasked")
    return [
        *cases,
        talk(
            "2 ping of 125, one octet at a time", say(ping(filler("text", 125)), chop=1), Hears(1)
        ),
        talk("2 ping that is no UTF-8", say(ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), Hears(1)),
        talk("2 pong that nobody asked for", say(pong())),
        talk("2 pong that nobody asked for, with a payload", say(unasked)),
        talk("2 pong of 125, then a ping", say(pong(filler("text", 125)), ping(b"me")), Hears(1)),
        talk("2 pong, ping and text", say(unasked, ping(b"me"), text("Hello")), Hears(2)),
        talk("2 ten pings in one write", say(*many), Hears(10)),
        talk("2 ten pings", *one_by_one(*many), Hears(10)),
        talk("2 ten pings, one octet at a time", say(*many, chop=1), Hears(10)),
        talk("2 thousand pings", say(*[ping(b"%d" % n) for n in range(1000)]), Hears(1000)),
        talk("2 ping between two texts", *HELLO, say(ping(b"me"), text("World")), Hears(3)),
        broken("2 ping of 126", say(ping(filler("text", 126)))),
        broken("2 ping of 126 after a text", *HELLO, say(ping(filler("text", 126)))),
        broken("2 ping of 126, one octet at a time", say(ping(filler("text", 126)), chop=1)),
        broken("2 pong of 126", say(pong(filler("text", 126)))),
        broken("2 ping of 65536", say(ping(filler("text", 65_536)))),
    ]


def _reserved_bits() -> list[Case]:
    cases: list[Case] = []
    for rsv in range(1, 8):
        flawed = text("Hello", rsv=rsv)
        cases += [
            broken(f"3 rsv {rsv} of a text", say(flawed)),
            broken(f"3 rsv {rsv} of a text after another", *HELLO, say(flawed, ping())),
            broken(f"3 rsv {rsv} of a text, one octet at a time", *HELLO, say(flawed, chop=1)),
            broken(f"3 rsv {rsv} of a binary", say(binary(b"\x00\xff", rsv=rsv))),
            broken(f"3 rsv {rsv} of a ping", say(ping(b"me", rsv=rsv))),
            broken(f"3 rsv {rsv} of a close", say(Frame(CLOSE, b"\x03\xe8", rsv=rsv))),
            broken(
                f"3 rsv {rsv} of a continuation",
                say(text("one", fin=False), Frame(CONTINUATION, b"two", rsv=rsv)),
            ),
        ]
    return cases


def _opcodes() -> list[Case]:
    cases: list[Case] = []
    for opcode in (*_RESERVED_DATA, *_RESERVED_CONTROL):
        empty, full = Frame(opcode), Frame(opcode, b"reserved")
        cases += [
            broken(f"4 opcode {opcode}", say(empty)),
            broken(f"4 opcode {opcode} with a payload", say(full)),
            broken(f"4 opcode {opcode} after a text", *HELLO, say(full, ping())),
            broken(f"4 opcode {opcode}, one octet at a time", *HELLO, say(full, chop=1)),
        ]
    return cases


def _masks() -> list[Case]:
    return [
        broken(f"masks: the wrong way round, {name}", say(Frame(opcode, b"", masked=False)))
        for name, opcode in (KINDS | _CONTROLS).items()
    ] + [
        broken("masks: the wrong way round, after a text", *HELLO, say(text("two", masked=False))),
        broken(
            "masks: the wrong way round, in a message",
            say(text("one", fin=False), Frame(CONTINUATION, b"two", masked=False)),
        ),
    ]


def _long() -> list[Case]:
    cases: list[Case] = []
    for kind, opcode in KINDS.items():
        for size in (64 * KIB, 256 * KIB, MIB, 4 * MIB):
            frame = Frame(opcode, filler(kind, size))
            cases.append(talk(f"9 {kind} of {size >> 10} KiB", say(frame), Hears(1)))
        for size in (64 * KIB, 256 * KIB, MIB):
            for piece in (4 * KIB, 64 * KIB):
                parts = fragments(opcode, in_pieces(filler(kind, size), piece))
                name = f"9 {kind} of {size >> 10} KiB in fragments of {piece >> 10} KiB"
                cases.append(talk(name, say(*parts), Hears(1)))
        name = f"9 {kind} of 1 MiB, written in pieces of 32 KiB"
        cases.append(talk(name, say(Frame(opcode, filler(kind, MIB)), chop=32 * KIB), Hears(1)))
    whole = binary(filler("binary", LARGEST))
    halves = fragments(TEXT, in_pieces(filler("text", LARGEST), 8 * MIB))
    small = fragments(BINARY, in_pieces(filler("binary", 64 * KIB), 64))
    return [
        *cases,
        talk("9 binary of 16 MiB", say(whole), Hears(1)),
        talk("9 text of 16 MiB in two fragments", say(*halves), Hears(1)),
        talk("9 binary of 64 KiB in fragments of 64 bytes", say(*small), Hears(1)),
        talk("9 ping behind a binary of 1 MiB", say(binary(filler("", MIB)), ping()), Hears(2)),
    ]


def _fragmented_by_the_server() -> list[Case]:
    cases: list[Case] = []
    for kind, opcode in KINDS.items():
        for size, piece in ((65_536, 1300), (65_536, 65_536), (5, 1), (MIB, 32 * KIB)):
            head = handshake(path=f"/a/?pieces={piece}")
            frames = -(-size // piece)
            # An iterable ends with an empty frame, for who sends it does not know it is the last.
            steps = (say(Frame(opcode, filler(kind, size))), Hears(frames + 1))
            name = f"10 {kind} of {size} comes back in pieces of {piece}"
            cases.append(talk(name, *steps, head=head))
    return cases


CASES = [
    *_lengths(),
    *_odd_lengths(),
    *_pings(),
    *_reserved_bits(),
    *_opcodes(),
    *_masks(),
    *_long(),
    *_fragmented_by_the_server(),
]
