"""Header blocks: checked and taken apart as a whole, not line by line.

A block is the bytes from the CRLF that ends the start line up to the last header's CRLF, both
included. One `count` proves that no bare CR or LF is in it, one `translate` that no control byte
is, one pattern lists the names: a folded line, a space before the colon or an empty name makes
fewer names than lines, and the block is refused (RFC 9112, sections 5 and 5.1).
"""

import re
from collections.abc import Callable
from typing import Generic, TypeVar

Verdict = TypeVar("Verdict")

MAX_FIELDS = 256

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_NAME = re.compile(rb"\r\n(" + TOKEN + rb"+):")
_LINE = re.compile(rb"(" + TOKEN + rb"+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\r\n") + b"\x7f"
_DIGITS = re.compile(rb"[0-9]{1,18}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

# RFC 9110, section 7.6.1, and the older names that proxies still meet.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    )
)
# Never to be switched off by naming them in Connection.
_NOT_HOP = frozenset((b"host", b"content-length", b"transfer-encoding"))


class BadHead(Exception):
    """A head that is not to be passed on; `status` is what a client is told (400 mostly)."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


def split(block: bytes) -> tuple[list[bytes], list[bytes]]:
    """The lower-cased names and the whole lines of a block, in order; BadHead if it is not one."""
    lines = block.count(b"\r\n")
    if block.count(b"\n") != lines or block.count(b"\r") != lines:
        raise BadHead("A header line ends with a bare CR or LF.")
    if len(block.translate(None, _CONTROLS)) != len(block):
        raise BadHead("A header holds a control character.")
    names = _NAME.findall(block.lower())
    if len(names) != lines - 1:
        raise BadHead("A header line is folded or has no proper name.")
    if lines > MAX_FIELDS:
        raise BadHead("There are too many headers.", 431)
    return names, block[2:-2].split(b"\r\n") if names else []


def read_line(text: bytes) -> tuple[bytes, bytes]:
    """The lower-cased name and the value of one header line, its CRLF left out; BadHead if it is
    none."""
    if b"\n" in text or b"\r" in text:
        raise BadHead("A header line ends with a bare CR or LF.")
    if len(text.translate(None, _CONTROLS)) != len(text):
        raise BadHead("A header holds a control character.")
    found = _LINE.fullmatch(text)
    if found is None:
        raise BadHead("A header line is folded or has no proper name.")
    return found[1].lower(), found[2]


def value_of(name: bytes, line: bytes) -> bytes:
    """The value of a header line, without the white space around it."""
    return line[len(name) + 1 :].strip(b" \t")


def options(value: bytes) -> list[bytes]:
    """The lower-cased members of a comma-separated list, such as Connection's."""
    return [item for part in value.lower().split(b",") if (item := part.strip(b" \t"))]


def hop_options(value: bytes) -> list[bytes]:
    """Connection's members; BadHead when one names a header that frames the message."""
    named = options(value)
    if not _NOT_HOP.isdisjoint(named):
        raise BadHead("Connection names a header that must not be dropped.")
    return named


def length_of(value: bytes) -> int:
    """Content-Length in bytes; lists, signs and anything but digits are refused (RFC 9112, 6.3)."""
    if not _DIGITS.fullmatch(value):
        raise BadHead("Content-Length is not a number.")
    return int(value)


def is_host(value: bytes) -> bool:
    """Is this a host name or an address, perhaps with a port?"""
    return _HOST.fullmatch(value) is not None


class Memory(Generic[Verdict]):
    """What was found in a block of exactly these bytes: browsers repeat theirs on a connection.

    Bounded in number and size, and emptied when full, because blocks hold cookies and tokens.
    """

    __slots__ = ("_known", "_longest", "_most")

    def __init__(self, most: int = 4096, longest: int = 4096) -> None:
        self._known: dict[bytes, Verdict] = {}
        self._most = most
        self._longest = longest

    def recall(self, block: bytes, read: Callable[[bytes], Verdict]) -> Verdict:
        """The verdict on a block: remembered, or `read` from it now (which may raise BadHead)."""
        known = self._known.get(block)
        if known is not None:
            return known
        verdict = read(block)
        if len(block) <= self._longest:
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[block] = verdict
        return verdict
