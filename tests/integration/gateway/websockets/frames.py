"""WebSocket frames as bytes: any that can be said, legal or not, and those that were heard
(RFC 6455, 5.2)."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
COMPRESSED = 4
"""RSV1, which permessage-deflate uses (RFC 7692, 7)."""
_MASK = b"\x37\xfa\x21\x3d"
"""Always the same, so that both runs of a case send the same bytes."""
_SHOWN = 125
_TAIL = b"\x00\x00\xff\xff"

Payload = bytes | memoryview


@dataclass(frozen=True)
class Frame:
    """A frame to be sent. `masked` None: as it is right for the sender. `width` is the number of
    bytes that its length takes (1, 2 or 8) if not the fewest; `announced` the length that its
    header says if not the true one."""

    opcode: int
    payload: Payload = b""
    fin: bool = True
    rsv: int = 0
    masked: bool | None = None
    width: int | None = None
    announced: int | None = None

    def encode(self, by_client: bool) -> bytes:
        masked = by_client if self.masked is None else self.masked
        first = self.fin << 7 | self.rsv << 4 | self.opcode
        head = bytes([first]) + self._length(masked)
        return head + (_MASK + mask(self.payload) if masked else bytes(self.payload))

    def _length(self, masked: bool) -> bytes:
        size = len(self.payload) if self.announced is None else self.announced
        width = self.width or (1 if size < 126 else 2 if size < 1 << 16 else 8)
        flag = masked << 7
        if width == 1:
            return bytes([flag | size])
        return struct.pack(
            "!BH" if width == 2 else "!BQ", flag | (126 if width == 2 else 127), size
        )


def mask(payload: Payload, key: bytes = _MASK) -> bytes:
    """Masked, or unmasked if it was (RFC 6455, 5.3)."""
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    number = int.from_bytes(payload, "little") ^ int.from_bytes(stream, "little")
    return number.to_bytes(size, "little")


def text(words: str | Payload, **more: bool | int) -> Frame:
    return Frame(TEXT, words.encode() if isinstance(words, str) else words, **more)


def binary(payload: Payload, **more: bool | int) -> Frame:
    return Frame(BINARY, payload, **more)


def rest(payload: Payload, **more: bool | int) -> Frame:
    """A continuation."""
    return Frame(CONTINUATION, payload, **more)


def ping(payload: Payload = b"", **more: bool | int) -> Frame:
    return Frame(PING, payload, **more)


def pong(payload: Payload = b"", **more: bool | int) -> Frame:
    return Frame(PONG, payload, **more)


def close(code: int = 1000, reason: bytes = b"") -> Frame:
    return Frame(CLOSE, struct.pack("!H", code) + reason)


def fragments(kind: int, pieces: list[Payload]) -> list[Frame]:
    """A message in as many frames as there are pieces."""
    last = len(pieces) - 1
    return [
        Frame(kind if place == 0 else CONTINUATION, piece, fin=place == last)
        for place, piece in enumerate(pieces)
    ]


def deflated(payloads: list[Payload], window_bits: int = 9, takeover: bool = True) -> list[bytes]:
    """The payloads of messages that follow each other on one connection, compressed."""
    found: list[bytes] = []
    packer = None
    for payload in payloads:
        if packer is None or not takeover:
            packer = zlib.compressobj(wbits=-window_bits)
        data = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
        found.append(data.removesuffix(_TAIL))
    return found


# -- what was heard


class Heard(NamedTuple):
    """A frame that came in; of a long payload its length and digest stand for it."""

    opcode: int
    fin: bool
    rsv: int
    masked: bool
    payload: bytes | str

    @property
    def is_control(self) -> bool:
        return self.opcode >= CLOSE


class _Place(NamedTuple):
    start: int
    payload: int
    end: int


def _places(data: bytes | bytearray, start: int) -> Iterator[_Place]:
    """Where the whole frames in `data` are; payloads are not touched."""
    while len(data) >= start + 2:
        second = data[start + 1]
        size, position = second & 0x7F, start + 2
        wide = {126: 2, 127: 8}.get(size, 0)
        if wide:
            size = int.from_bytes(data[position : position + wide], "big")
        position += wide + (4 if second & 0x80 else 0)
        if len(data) < position + size or len(data) < position:
            return
        yield _Place(start, position, position + size)
        start = position + size


def count(data: bytes | bytearray, start: int) -> int:
    """How many whole frames there are from `start` on."""
    return sum(1 for _ in _places(data, start))


def read(data: bytes | bytearray, start: int) -> tuple[tuple[Heard, ...], bytes | str]:
    """The whole frames from `start` on, and what is left: a frame that breaks off."""
    heard: list[Heard] = []
    for place in _places(data, start):
        first, masked = data[place.start], bool(data[place.start + 1] & 0x80)
        payload = bytes(data[place.payload : place.end])
        if masked:
            payload = mask(payload, bytes(data[place.payload - 4 : place.payload]))
        heard.append(Heard(first & 15, bool(first & 128), first >> 4 & 7, masked, short(payload)))
        start = place.end
    return tuple(heard), short(bytes(data[start:]))


def short(payload: bytes) -> bytes | str:
    """Itself, or its length and digest."""
    if len(payload) <= _SHOWN:
        return payload
    return f"{len(payload)} bytes, sha256 {hashlib.sha256(payload).hexdigest()[:16]}"


def close_code(heard: tuple[Heard, ...]) -> int:
    """What a browser would report: the close frame's code, 1005 if it has none, 1006 if there was
    no close frame (RFC 6455, 7.1.5)."""
    for frame in heard:
        if frame.opcode == CLOSE:
            payload = frame.payload
            if isinstance(payload, str):
                return 0
            return int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
    return 1006
