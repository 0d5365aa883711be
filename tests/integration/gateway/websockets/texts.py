"""Group 6: text that is UTF-8, and text that is not (RFC 3629, 3 and 4)."""

from tests.integration.gateway.websockets.case import Case, Hears, say, talk
from tests.integration.gateway.websockets.frames import TEXT, Payload, binary, fragments, text

VALID = {
    "greek": "κόσμε",
    "mixed": "Hello-µ@ßöäüàá-UTF-8!!",
    "nul": "\x00",
    "first of two bytes": "\x80",
    "first of three bytes": "ࠀ",
    "first of four bytes": "\U00010000",
    "last of one byte": "\x7f",
    "last of two bytes": "\u07ff",
    "last of three bytes": "\uffff",
    "last before the surrogates": "\ud7ff",
    "first behind the surrogates": "\ue000",
    "replacement character": "\ufffd",
    "noncharacter of the first plane": "\ufffe",
    "noncharacter of a later plane": "\U0001fffe",
    "byte order mark": "\ufeff",
    "highest": "\U0010ffff",
    "combining and emoji": "e\u0301 \U0001f469\u200d\U0001f52c",
}
INVALID = {
    "lone continuation 80": b"\x80",
    "lone continuation bf": b"\xbf",
    "seven continuations": b"\x80\xbf\x80\xbf\x80\xbf\x80",
    "lone start of two": b"\xc2",
    "lone start of two before a space": b"\xc2 ",
    "lone start of three": b"\xe0 ",
    "lone start of four": b"\xf0 ",
    "two of three bytes": b"\xe2\x82",
    "three of four bytes": b"\xf0\x9d\x84",
    "cut behind good text": "κόσμε".encode()[:-1],
    "surrogate in the midst": "κόσμε".encode() + b"\xed\xa0\x80edited",
    "overlong slash in two": b"\xc0\xaf",
    "overlong slash in three": b"\xe0\x80\xaf",
    "overlong slash in four": b"\xf0\x80\x80\xaf",
    "overlong nul": b"\xc0\x80",
    "highest overlong of two": b"\xc1\xbf",
    "highest overlong of three": b"\xe0\x9f\xbf",
    "highest overlong of four": b"\xf0\x8f\xbf\xbf",
    "first surrogate": b"\xed\xa0\x80",
    "last surrogate": b"\xed\xbf\xbf",
    "surrogate pair": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond the highest": b"\xf4\x90\x80\x80",
    "start of five": b"\xf8\x88\x80\x80\x80",
    "start of six": b"\xfc\x84\x80\x80\x80\x80",
    "fe": b"\xfe",
    "ff": b"\xff",
    "fe and ff": b"\xfe\xfe\xff\xff",
    "latin-1": b"caf\xe9 noir",
    "good, bad, good": b"good\xffgood",
}


def _octets(payload: bytes) -> list[Payload]:
    return [payload[place : place + 1] for place in range(len(payload))]


def _characters(payload: bytes) -> list[Payload]:
    return [letter.encode() for letter in payload.decode()]


def _alike(name: str, payload: bytes, code: int) -> list[Case]:
    """Whole, octet by octet, and in one fragment for each octet. There is one answer in any case:
    the echo, or a close frame."""
    parts = fragments(TEXT, _octets(payload))
    return [
        talk(f"6 {name}", say(text(payload)), Hears(1), code=code),
        talk(f"6 {name}, one octet at a time", say(text(payload), chop=1), Hears(1), code=code),
        talk(f"6 {name}, each octet a fragment", say(*parts), Hears(1), code=code),
    ]


def _valid(name: str, payload: bytes) -> list[Case]:
    parts = fragments(TEXT, _characters(payload))
    return [
        *_alike(f"valid: {name}", payload, 1000),
        talk(f"6 valid: {name}, each character a fragment", say(*parts), Hears(1)),
    ]


def _invalid(name: str, payload: bytes) -> list[Case]:
    good = "κόσμε-".encode()
    parts = fragments(TEXT, [good, payload, good])
    return [
        *_alike(f"invalid: {name}", payload, 1007),
        talk(
            f"6 invalid: {name}, in the midst of three fragments", say(*parts), Hears(1), code=1007
        ),
    ]


CASES = [
    *[case for name, words in VALID.items() for case in _valid(name, words.encode())],
    *[case for name, payload in INVALID.items() for case in _invalid(name, payload)],
    *[
        talk(f"6 binary may be anything: {name}", say(binary(payload)), Hears(1))
        for name, payload in INVALID.items()
    ],
]
