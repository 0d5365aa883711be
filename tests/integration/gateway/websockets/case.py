"""What a case of the WebSocket run is, and short words to write one with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.integration.gateway.conformance.conversation import Close, End, Left, Reset
from tests.integration.gateway.websockets.frames import Frame, close, text

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Say(NamedTuple):
    """Send these frames in one write, or in pieces of `chop` bytes, read one by one by who is
    quick."""

    frames: tuple[Frame, ...]
    chop: int = 0


class Hears(NamedTuple):
    """Wait until so many frames have come in all, or the connection has ended."""

    frames: int


Step = bytes | Say | Hears | End | Close | Reset | Left
Script = tuple[Step, ...]


@dataclass(frozen=True)
class Case:
    """A conversation after the handshake. Without a script of its own the server is a real one,
    which echoes messages; `early` is what the client sends right behind its head."""

    name: str
    client: Script = ()
    server: Script | None = None
    head: bytes = b""
    answer: bytes = b""
    """The head with which a server that follows a script answers."""
    early: tuple[Frame, ...] = ()
    early_bytes: int | None = None
    """So many bytes of `early` come with the head, the rest behind it."""
    chop: int = 0
    """The head comes in pieces of so many bytes."""
    status: int = 101
    code: int | None = None
    """How the conversation ends without the gateway, as a browser reports it; None: any way."""

    def renamed(self, name: str, **more: Any) -> Case:
        return replace(self, name=name, **more)


def say(*frames: Frame, chop: int = 0) -> Say:
    return Say(frames, chop)


def one_by_one(*frames: Frame) -> tuple[Say, ...]:
    """Each in a write of its own."""
    return tuple(Say((frame,)) for frame in frames)


BYE = say(close())
HELLO = (say(text("Hello")), Hears(1))
"""A message that is echoed before anything goes wrong."""


def talk(name: str, *steps: Step, head: bytes = b"", code: int = 1000) -> Case:
    """The client says all this and then closes in good order. What is still to be answered must be
    waited for: the server owes nothing after the close frame."""
    return Case(name, (*steps, BYE), head=head or handshake(), code=code)


def broken(name: str, *steps: Step, head: bytes = b"", code: int = 1002) -> Case:
    """The client does what makes the server end the connection, mostly a violation."""
    return Case(name, steps, head=head or handshake(), code=code)


def refused(name: str, status: int, head: bytes) -> Case:
    """There will be no WebSocket; 0: the server closes without a word."""
    return Case(name, head=head, status=status)


def scripted(name: str, client: Script, server: Script, answer: bytes | None = None) -> Case:
    """A server that follows a script. It keeps its connection until the client has ended it,
    unless the script ends it."""
    answer = switching() if answer is None else answer
    whole = answer.startswith(b"HTTP/1.1 ") and b"\r\n\r\n" in answer
    status = int(answer.split(b" ")[1]) if whole else 0
    return Case(name, client, server, handshake(), answer, status=status)


# -- heads


def handshake(
    *lines: str,
    method: str = "GET",
    path: str = "/a/",
    version: str = "1.1",
    without: tuple[str, ...] = (),
    body: bytes = b"",
) -> bytes:
    """A client's opening head (RFC 6455, 4.1); `lines` replace those of the same name."""
    usual = (
        "Host: h",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
    )
    replaced = {_name(line) for line in lines} | {name.lower() for name in without}
    kept = [line for line in usual if _name(line) not in replaced]
    return _head(f"{method} {path} HTTP/{version}", *kept, *lines) + body


def switching(*lines: str, without: tuple[str, ...] = ()) -> bytes:
    """A server's answer to it (RFC 6455, 4.2.2)."""
    usual = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    )
    replaced = {_name(line) for line in lines} | {name.lower() for name in without}
    kept = [line for line in usual if _name(line) not in replaced]
    return _head("HTTP/1.1 101 Switching Protocols", *kept, *lines)


def plain(status: str, *lines: str, body: bytes = b"") -> bytes:
    """A server's refusal."""
    return _head(f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines) + body


def _head(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _name(line: str) -> str:
    return line.partition(":")[0].lower()
