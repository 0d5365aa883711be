"""Handshakes: what is asked for, what is chosen, what is refused (RFC 6455, 4)."""

from typing import Any

from tests.integration.gateway.conformance.conversation import Close, End, Reset
from tests.integration.gateway.websockets.case import (
    BYE,
    KEY,
    Case,
    Hears,
    Script,
    handshake,
    plain,
    refused,
    say,
    scripted,
    switching,
    talk,
)
from tests.integration.gateway.websockets.frames import binary, close, ping, text
from tests.integration.gateway.websockets.framing import filler

ECHO = (say(text("Hello")), Hears(1))
GREETING: Script = (Hears(1), say(close()))
BACK: Script = (say(text("welcome")), Hears(1), End())


def _asked(name: str, *lines: str, **more: Any) -> Case:
    """Lines of the client's head to the echo server, which agrees and echoes."""
    return talk(f"handshake: {name}", *ECHO, head=handshake(*lines, **more))


def _refused(status: int, name: str, *lines: str, **more: Any) -> Case:
    """The echo server answers with this status instead."""
    return refused(f"handshake: {name}", status, handshake(*lines, **more))


def _client_heads() -> list[Case]:
    protocol, version = "Sec-WebSocket-Protocol", "Sec-WebSocket-Version"
    return [
        _asked("as usual"),
        _asked("a query", path="/a/?x=1&y=%2F"),
        _asked("a longer path", path="/a/b/c%20d"),
        _asked("further headers", "X-App-One: 1", "X-App-Two: 2", "User-Agent: t", "Accept: */*"),
        _asked("fifty headers", *[f"X-App-{number}: {number}" for number in range(50)]),
        _asked("a header of 4 KiB", f"X-App-Long: {'x' * 4096}"),
        _asked("a cookie", "Cookie: a=1; b=2"),
        _asked("an origin", "Origin: http://h"),
        _asked("another origin", "Origin: https://elsewhere.example"),
        _asked("no origin that can be named", "Origin: null"),
        _asked("capital letters", "CONNECTION: UPGRADE", "UPGRADE: WEBSOCKET"),
        _asked("keep-alive beside upgrade", "Connection: keep-alive, Upgrade"),
        _asked("close beside upgrade", "Connection: Upgrade, close"),
        _asked("no space behind the colon", f"Sec-WebSocket-Key:{KEY}"),
        _asked("space around the key", f"Sec-WebSocket-Key: \t {KEY} \t"),
        _asked("content of no length", "Content-Length: 0"),
        _asked("protocol that is chosen", f"{protocol}: chat"),
        _asked("protocols of which the second is chosen", f"{protocol}: soap, superchat"),
        _asked("protocols in two lines", f"{protocol}: soap", f"{protocol}: chat"),
        _asked("protocol that nobody speaks", f"{protocol}: soap"),
        _refused(400, "protocol that is garbled", f"{protocol}: ch at, @"),
        _refused(400, "protocol without a name", f"{protocol}: "),
        *[
            _refused(400, f"version {number}", f"{version}: {number}")
            for number in (0, 7, 8, 14, 99)
        ],
        _refused(400, "version given twice", f"{version}: 13", f"{version}: 8"),
        _refused(400, "version that is no number", f"{version}: thirteen"),
        _refused(400, "no version", without=(version,)),
        _refused(400, "no key", without=("Sec-WebSocket-Key",)),
        _refused(400, "empty key", "Sec-WebSocket-Key: "),
        _refused(400, "short key", "Sec-WebSocket-Key: c2hvcnQ="),
        _refused(400, "key that is no base64", "Sec-WebSocket-Key: !!!!"),
        _refused(400, "two keys", f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Key: {KEY}"),
        _refused(426, "no Upgrade", without=("Upgrade",)),
        _refused(426, "no Connection", without=("Connection",)),
        _refused(426, "Connection without upgrade", "Connection: keep-alive"),
        _refused(426, "upgrade to something else", "Upgrade: h2c"),
        _refused(426, "upgrade to one of two", "Upgrade: websocket, h2c"),
        _refused(426, "upgrade to a version", "Upgrade: websocket/13"),
        _refused(405, "method OPTIONS", method="OPTIONS"),
        _refused(405, "method POST", "Content-Length: 0", method="POST"),
        # -- where the gateway says something else
        _refused(505, "HTTP/1.0", version="1.0"),
        _refused(0, "HTTP/2.0", version="2.0"),
        _asked("no Host", without=("Host",)),
        _asked("two Hosts", "Host: h", "Host: h"),
        _refused(0, "content", "Content-Length: 5", body=b"12345"),
        _refused(0, "chunked content", "Transfer-Encoding: chunked"),
        _refused(0, "folded header", "X-App-Long: one\r\n two"),
        _asked("target of another host", path="http://elsewhere/a/"),
    ]


def _timing() -> list[Case]:
    hello, long = text("Hello"), binary(filler("", 300_000))
    usual = talk("", Hears(1))
    late = scripted("", (), (Hears(1), say(text("welcome")), End()))
    return [
        usual.renamed("handshake: one octet at a time", chop=1, client=(*ECHO, BYE)),
        usual.renamed("handshake: in pieces of 20", chop=20, client=(*ECHO, BYE)),
        usual.renamed("handshake: frame right behind the head", early=(hello,)),
        usual.renamed("handshake: head and frame, one octet at a time", chop=1, early=(hello,)),
        usual.renamed("handshake: half a frame behind the head", early=(hello,), early_bytes=4),
        usual.renamed("handshake: a byte behind the head", early=(hello,), early_bytes=1),
        usual.renamed("handshake: long frame behind the head", early=(long,)),
        usual.renamed("handshake: half of it behind the head", early=(long,), early_bytes=200_000),
        # The echo server would answer these before it has said 101.
        late.renamed("handshake: ping right behind the head", early=(ping(b"early"),)),
        late.renamed("handshake: close right behind the head", early=(close(),)),
        late.renamed("handshake: flawed frame behind the head", early=(text("x", rsv=7),)),
    ]


def _answered(
    name: str, answer: bytes, *, client: Script = GREETING, server: Script = BACK
) -> Case:
    return scripted(f"answer: {name}", client, server, answer)


def _server_heads() -> list[Case]:
    frames = text("welcome").encode(by_client=False)
    halves = frames[:3], frames[3:]
    big = binary(filler("", 300_000))
    return [
        _answered("as usual", switching()),
        _answered("protocol", switching("Sec-WebSocket-Protocol: chat")),
        _answered("protocol that nobody asked for", switching("Sec-WebSocket-Protocol: soap")),
        _answered("extension", switching("Sec-WebSocket-Extensions: permessage-deflate")),
        _answered("extensions in two lines", switching(*["Sec-WebSocket-Extensions: x"] * 2)),
        _answered("wrong accept", switching("Sec-WebSocket-Accept: bm9uc2Vuc2U=")),
        _answered("no accept", switching(without=("Sec-WebSocket-Accept",))),
        _answered("capital letters", switching("UPGRADE: WebSocket", "CONNECTION: upgrade")),
        _answered("further headers", switching("X-App: 1", "Server: s")),
        _answered("version beside it", switching("Sec-WebSocket-Version: 13")),
        _answered("frame behind the head", switching() + frames, server=BACK[1:]),
        _answered("half a frame behind it", switching() + halves[0], server=(halves[1], *BACK[1:])),
        _answered("long frame", switching(), server=(say(big), *BACK[1:])),
        _answered("the end behind it", switching() + frames, client=(), server=(End(),)),
        _answered("a reset behind it", switching(), client=(), server=(Reset(),)),
        _answered(
            "flawed frame behind it", switching() + b"\xf3\x85abc", client=(), server=(End(),)
        ),
        # -- refusals, after which the connection is HTTP's again
        *[_says_no(status) for status in ("400 Bad Request", "403 Forbidden", "404 Not Found")],
        _says_no("401 Unauthorized", "WWW-Authenticate: Basic realm=x"),
        _says_no("426 Upgrade Required", "Sec-WebSocket-Version: 13, 8", "Upgrade: websocket"),
        _says_no("302 Found", "Location: /a/elsewhere"),
        _says_no("500 Internal Server Error"),
        _says_no("503 Service Unavailable", "Retry-After: 1"),
        _says_no("200 OK"),
        # -- where the gateway says something else
        _answered("no Upgrade", switching(without=("Upgrade",))),
        _answered("no Connection", switching(without=("Connection",))),
        _answered("another protocol", switching("Upgrade: h2c")),
        _answered("nothing but the end", b"", client=(), server=(End(),)),
        _answered("nothing but a reset", b"", client=(), server=(Reset(),)),
        _answered("half a head", switching()[:-10], client=(), server=(Close(),)),
        _answered("no HTTP", b"SSH-2.0-x\r\n\r\n", client=(), server=(Close(),)),
    ]


def _says_no(status: str, *lines: str) -> Case:
    answer = plain(status, *lines, body=b"No.")
    return _answered(f"refusal {status[:3]}", answer, client=(), server=())


CASES = [*_client_heads(), *_timing(), *_server_heads()]
