"""Where a body ends: one small reader for each way HTTP/1.1 frames one.

`feed(data)` returns what goes on to the other side and what follows the body: None while it lasts,
the bytes after its end (often none) once it is complete. BadHead says that the framing is broken.
"""

import re
from typing import Protocol

from gateway.fields import BadHead, split

Piece = bytes | memoryview
"""What was read, or a part of it that was not worth a copy."""

LARGE = 16 * 1024
"""From so many bytes on, a copy costs more than keeping two pieces."""

MAX_CHUNK_LINE = 1024
MAX_TRAILERS = 16 * 1024

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")


class Body(Protocol):
    """A body that is under way."""

    def feed(self, data: Piece) -> tuple[Piece, Piece | None]: ...


class LengthBody:
    """Content-Length: so many bytes."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    def feed(self, data: Piece) -> tuple[Piece, Piece | None]:
        size = len(data)
        if size < self.left:
            self.left -= size
            return data, None
        left, self.left = self.left, 0
        return (data, b"") if size == left else (data[:left], data[left:])


class UnboundedBody:
    """A response that ends with its connection."""

    __slots__ = ()

    def feed(self, data: Piece) -> tuple[Piece, Piece | None]:
        return data, None


class ChunkedBody:
    """Chunked coding (RFC 9112, 7.1), checked and passed on chunk by chunk as it came.

    Chunk extensions and trailers are read and left out: no app needs them, and parsers disagree
    about them. With `plain` the chunks' contents alone go on (for HTTP/1.0 clients).
    """

    __slots__ = ("_left", "_line", "_plain", "_trailers", "between")

    def __init__(self, plain: bool = False) -> None:
        self._plain = plain
        self._left = 0  # of the chunk under way, its closing CRLF included
        self._line = b""  # a size line or trailer that has not ended yet
        self._trailers: bytes | None = None
        self.between = True

    def feed(self, data: Piece) -> tuple[Piece, Piece | None]:
        """As `Body.feed`; `between` then tells whether the last chunk passed on is complete."""
        data = bytes(data)
        out: list[bytes] = []
        position = 0
        while position < len(data):
            if self._left:
                position = self._pass_chunk(data, position, out)
                continue
            end = data.find(b"\n", position)
            if end < 0:
                self._keep(data[position:])
                break
            line, self._line = self._line + data[position : end + 1], b""
            position = end + 1
            if self._on_line(line, out):
                return b"".join(out), data[position:]
        self.between = not self._left
        return b"".join(out), None

    def _pass_chunk(self, data: bytes, start: int, out: list[bytes]) -> int:
        end = min(len(data), start + self._left)
        content = end - start
        before, self._left = self._left, self._left - content
        # The last two bytes must be CRLF, wherever the reads happen to split them.
        if self._left < 2:
            tail = data[max(start, start + before - 2) : end]
            if tail != b"\r\n"[2 - min(2, before) : 2 - self._left]:
                raise BadHead("A chunk does not end where its size says.")
            content = max(0, before - 2)
        out.append(data[start : start + content] if self._plain else data[start:end])
        return end

    def _keep(self, rest: bytes) -> None:
        self._line += rest
        if len(self._line) > MAX_CHUNK_LINE:
            raise BadHead("A chunk's size line is too long.")

    def _on_line(self, line: bytes, out: list[bytes]) -> bool:
        """A size line or a trailer; True when the body is complete."""
        if line[-2:-1] != b"\r" or len(line) > MAX_CHUNK_LINE:
            raise BadHead("A chunk's size line is too long or ends without CRLF.")
        if self._trailers is not None:
            return self._on_trailer(line, out)
        size = _SIZE.fullmatch(line, 0, len(line) - 2)
        if size is None:
            raise BadHead("A chunk's size is not a number.")
        length = int(size[1], 16)
        if length == 0:
            self._trailers = b"\r\n"
            return False
        self._left = length + 2
        if not self._plain:
            out.append(b"%x\r\n" % length)
        return False

    def _on_trailer(self, line: bytes, out: list[bytes]) -> bool:
        assert self._trailers is not None
        if line != b"\r\n":
            self._trailers += line
            if len(self._trailers) > MAX_TRAILERS:
                raise BadHead("The trailers are too long.")
            return False
        split(self._trailers)
        if not self._plain:
            out.append(b"0\r\n\r\n")
        return True
