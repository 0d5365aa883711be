"""WebSocket frames, only as far as knowing where one ends (RFC 6455, 5.2)."""

import os
import struct

CLOSE = 8
# RFC 6455, 7.4.1, and IANA's registry of WebSocket close codes
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
SERVICE_RESTART = 1012


class FrameWalker:
    """Follows one direction of a WebSocket and knows whether it is between two frames.

    A control frame of ours may be put in only there.
    """

    __slots__ = ("_head", "_skip", "closed")

    def __init__(self) -> None:
        self._skip = 0  # bytes of the frame under way that are still to come
        self._head = b""  # a frame header that is not complete yet
        self.closed = False
        """A close frame has passed: nothing may follow it."""

    @property
    def between(self) -> bool:
        return not self._skip and not self._head

    def walk(self, data: bytes) -> None:
        """Follow `data`, all of which is passed on."""
        size = len(data)
        if self._skip >= size and not self._head:
            self._skip -= size
            return
        if self._skip or self._head or size < 2 or data[0] & 0x0F == CLOSE:
            self._follow(data, stop_between=False)
            return
        # One whole frame of less than 126 bytes, as most are, needs no more than this look at it.
        second = data[1]
        if size != (second - 0x80 + 6 if second & 0x80 else second + 2) or second & 0x7F > 125:
            self._follow(data, stop_between=False)

    def walk_to_boundary(self, data: bytes) -> int:
        """Follow `data` up to the first place between two frames; how many bytes that is."""
        return 0 if self.between else self._follow(data, stop_between=True)

    def _follow(self, data: bytes, stop_between: bool) -> int:
        known = len(self._head)
        if known:
            data, self._head = self._head + data, b""
        position, size = self._skip, len(data)
        self._skip = 0
        if position and stop_between and position <= size:
            return position - known
        while position < size:
            length = self._frame_length(data, position)
            if length == 0:
                self._head = data[position:]
                return size - known
            position += length
            if stop_between and position <= size:
                return position - known
        self._skip = position - size
        return size - known

    def _frame_length(self, data: bytes, start: int) -> int:
        """Length of the frame at `start`, header included; 0 if its header is not all there."""
        if len(data) < start + 2:
            return 0
        second = data[start + 1]
        length, head = second & 0x7F, 2 + (4 if second & 0x80 else 0)
        if length == 126:
            head += 2
        elif length == 127:
            head += 8
        if len(data) < start + head:
            return 0
        if length == 126:
            length = int.from_bytes(data[start + 2 : start + 4], "big")
        elif length == 127:
            length = int.from_bytes(data[start + 2 : start + 10], "big")
        if data[start] & 0x0F == CLOSE:
            self.closed = True
        return head + length


def close_frame(code: int, reason: str, masked: bool) -> bytes:
    """A close frame; frames towards a target are masked, frames towards a client are not."""
    payload = struct.pack("!H", code) + reason.encode()[:123]
    if not masked:
        return bytes((0x80 | CLOSE, len(payload))) + payload
    mask = os.urandom(4)
    hidden = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((0x80 | CLOSE, 0x80 | len(payload))) + mask + hidden
