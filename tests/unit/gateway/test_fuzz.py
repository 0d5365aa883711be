"""Mutated text, in random pieces, through the readers and the whole path: read once, by everybody.

Beside `test_divergence`, which counts requests and their sizes: here headers, bodies and answers
are compared as they are, split anywhere, and no step may take long. Seeded; `MOORAGE_FUZZ_ROUNDS`
runs more, `MOORAGE_FUZZ_SEED` others.
"""

import asyncio
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple, TypeVar

import h11
import pytest

from gateway.bodies import Body, ChunkedBody, LengthBody
from gateway.client import ClientConnection
from gateway.fields import BadHead
from gateway.gate import Gate
from gateway.requests import Request, RequestReader
from gateway.responses import ResponseReader
from tests.unit.gateway import test_divergence as divergence
from tests.unit.gateway.test_divergence import App, Understood, Wire, mutated, pieces

ROUNDS = int(os.environ.get("MOORAGE_FUZZ_ROUNDS", "1500"))
SEEDS = [divergence.SEED, divergence.SEED + 1]
SLOWEST = 2.0
"""Seconds of processor time that one step may take: all but the endless are far below."""

gate = divergence.gate

REQUESTS = (
    *divergence.REQUESTS,
    b"POST /a/b?c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nA: b\r\na: c\r\n\r\n"
    b"a;q=1\r\n0123456789\r\n00003\r\n\r\n\r\r\n0;last\r\nX: y\r\nZ: z\r\n\r\n",
    b"PATCH /a/ HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nCookie: moorage_session=2; c=3\r\n"
    b"Authorization: Bearer mrg_x\r\nContent-Type: a/b\r\nContent-Length: 37\r\n\r\n"
    b"GET /a/inside HTTP/1.1\r\nHost: h\r\n\r\n12",
    b"GET /a/ HTTP/1.1\r\nHost: h\r\nConnection: x-b , close,\r\nX-B: c\r\nX-D:\td \r\n\r\n",
)
BODIES = (
    b"5\r\nhello\r\n0\r\n\r\nnext",
    b"5;x=y\r\nhello\r\n1 \t;z\r\n!\r\n00\r\nA: b\r\nC: d\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"1\r\n\r\r\n2\r\n\r\n\r\n0a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
    b"4000\r\n" + b"x" * 0x4000 + b"\r\n000\r\n\r\n",
)
# What is not for an app, or is said anew in another form (RFC 9110, 7.6.1, and the documentation).
NOT_FOR_APPS = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer"
    b" upgrade forwarded script-name x-original-url x-real-ip x-rewrite-url expect content-length"
    b" transfer-encoding traceparent tracestate cookie authorization".split()
)
ADDED = frozenset((b"forwarded", b"x-real-ip", b"traceparent"))
Headers = list[tuple[bytes, bytes]]
Result = TypeVar("Result")


class Message(NamedTuple):
    """A request as h11 reads it."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes


def in_time(step: Callable[..., Result], *given: Any) -> Result:
    """Take a step; AssertionError if it takes too much of the processor."""
    began = time.thread_time()
    try:
        return step(*given)
    finally:
        took = time.thread_time() - began
        assert took < SLOWEST, f"{took:.3f} s for {given!r:.500}"


def read_messages(text: bytes) -> list[Message]:
    """The whole requests in it, as far as h11 takes them for requests."""
    found: list[Message] = []
    while text:
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(text)
        try:
            request, body = reader.next_event(), b""
            if not isinstance(request, h11.Request):
                return found
            while isinstance(event := reader.next_event(), h11.Data):
                body += event.data
        except h11.RemoteProtocolError:
            return found
        if not isinstance(event, h11.EndOfMessage):
            return found
        found.append(Message(request.method, request.target, list(request.headers), body))
        text = reader.trailing_data[0]
    return found


def read_client(text: bytes) -> Iterator[Message]:
    """The whole requests that a client has sent: heads by h11, bodies by the grammar, for h11 takes
    trailers for headers."""
    while (end := text.find(b"\r\n\r\n")) >= 0:
        try:
            line, headers = read_headers(text[: end + 2])
        except h11.RemoteProtocolError:
            return
        named, rest = dict(headers), text[end + 4 :]
        if b"transfer-encoding" in named:
            ended = decoded(rest)
        else:
            size = int(named.get(b"content-length", 0))
            ended = (rest[:size], rest[size:]) if size <= len(rest) else None
        if ended is None:
            return
        body, text = ended
        yield Message(*line, headers, body)


def for_app(headers: Headers) -> Headers:
    """The headers that an app must get as the client has sent them, in order."""
    options = b",".join(value for name, value in headers if name == b"connection").lower()
    named = {option.strip(b" \t") for option in options.split(b",")}
    return [
        (name, value)
        for name, value in headers
        if name not in NOT_FOR_APPS
        and name not in named
        and b"_" not in name
        and not name.startswith((b"x-forwarded-", b"x-moorage-"))
    ]


def heads(chance: random.Random) -> Iterator[bytes]:
    """Mutated heads, without the empty line that ends them."""
    while True:
        text = mutated(chance, chance.choice(REQUESTS))
        end = text.find(b"\r\n\r\n")
        if end >= 0:
            yield text[: end + 2]


def read_head(reader: RequestReader, head: bytes) -> Request | None:
    try:
        return in_time(reader.read, head)
    except BadHead:
        return None


def said(request: Request) -> tuple[Any, ...]:
    fields = request.fields
    return (
        *(request.method, request.path, request.query, request.minor, request.length),
        *(fields.host, fields.chunked, fields.close, fields.expects, fields.websocket),
        *(fields.for_app, fields.for_auth, fields.token, request.keeps_alive),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_is_read_as_h11_reads_it(seed: int) -> None:
    """And what was remembered from other heads changes nothing about it."""
    chance, old, taken = random.Random(seed), RequestReader(), 0
    for _, head in zip(range(ROUNDS), heads(chance), strict=False):
        request, fresh = read_head(old, head), read_head(RequestReader(), head)
        assert (request is None) == (fresh is None), head
        if request is None or fresh is None:
            continue
        taken += 1
        assert said(request) == said(fresh), head
        theirs = read_headers(head)
        line = b"%b %b%b HTTP/1.1\r\n" % (request.method, request.path, request.query)
        forwarded = read_headers(line + request.fields.for_app)
        assert forwarded[0] == (request.method, request.path + request.query), head
        assert theirs[0][0] == request.method, head
        assert theirs[0][1] == request.path + request.query or b"://" in theirs[0][1], head
        host = [] if dict(theirs[1]).get(b"host") else [(b"host", b"localhost")]
        kept = [pair for pair in theirs[1] if pair != (b"host", b"")]
        assert for_app(forwarded[1]) == host + for_app(kept), head
        lengths = {int(value) for name, value in theirs[1] if name == b"content-length"}
        assert lengths == (set() if request.length is None else {request.length}), head
        coded = any(name == b"transfer-encoding" for name, _ in theirs[1])
        assert coded == request.fields.chunked, head
    assert taken > ROUNDS / 4, "hardly anything was taken; is the test itself broken?"


def read_headers(head: bytes) -> tuple[tuple[bytes, bytes], Headers]:
    """Method, target and headers by h11; RemoteProtocolError if it refuses what we have taken."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(head + b"\r\n")
    request = reader.next_event()
    assert isinstance(request, h11.Request), head
    return (request.method, request.target), list(request.headers)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_answers_head_is_read_or_refused(seed: int) -> None:
    chance, old, taken = random.Random(seed), ResponseReader(), 0
    for _ in range(ROUNDS):
        text = mutated(chance, chance.choice(divergence.ANSWERS))
        head = text[: text.find(b"\r\n\r\n") + 2]
        try:
            response = in_time(old.read, head)
        except BadHead:
            continue
        taken += 1
        fresh = ResponseReader().read(head)
        assert (response.status, response.reason) == (fresh.status, fresh.reason), head
        assert astuple(response.fields) == astuple(fresh.fields), head
    assert taken > ROUNDS / 4, "hardly anything was taken; is the test itself broken?"


class Fed(NamedTuple):
    """What came out of a body's reader; `rest` is None if it has not ended."""

    out: bytes
    rest: bytes | None
    refused: bool


def feed(body: Body, parts: Sequence[bytes]) -> Fed:
    out = b""
    for number, part in enumerate(parts):
        try:
            piece, rest = in_time(body.feed, part)
        except BadHead:
            return Fed(out, None, True)
        out += bytes(piece)
        if rest is not None:
            return Fed(out, bytes(rest) + b"".join(parts[number + 1 :]), False)
    return Fed(out, None, False)


_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})(?:[ \t]*;[^\r\n\x00-\x08\x0b-\x1f\x7f]*)?\r\n")
_TRAILERS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\x00-\x08\x0b-\x1f\x7f]*\r\n)*\r\n")


def decoded(text: bytes) -> tuple[bytes, bytes] | None:
    """Contents and rest of a chunked body, by the grammar (RFC 9112, 7.1); None if it is none, or
    does not end here."""
    contents, place = b"", 0
    while size := _SIZE.match(text, place):
        length, place = int(size[1], 16), size.end()
        if length == 0:
            last = _TRAILERS.match(text, place)
            return (contents, text[last.end() :]) if last else None
        contents += text[place : place + length]
        place += length + 2
        if text[place - 2 : place] != b"\r\n":
            return None
    return None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chunked_body_is_the_same_however_it_is_split(seed: int) -> None:
    chance, ended, refused = random.Random(seed), 0, 0
    for _ in range(ROUNDS):
        text = mutated(chance, chance.choice(BODIES))
        whole, parts = feed(ChunkedBody(), [text]), feed(ChunkedBody(), list(pieces(chance, text)))
        assert (whole.rest, whole.refused) == (parts.rest, parts.refused), text
        expected = decoded(text)
        if whole.rest is None:
            assert expected is None, text
            refused += whole.refused
            continue
        ended += 1
        plain = feed(ChunkedBody(plain=True), list(pieces(chance, text)))
        assert expected == (plain.out, plain.rest), text
        assert parts == whole, text
        assert plain.rest == whole.rest, text
        # What goes on has one form only: neither extensions nor trailers, and nothing behind it.
        assert read_messages(CHUNKED_HEAD + whole.out)[0].body == plain.out, text
        assert decoded(whole.out) == (plain.out, b""), text
        assert b";" not in whole.out or b";" in plain.out, text
    assert ended > ROUNDS / 5
    assert refused > ROUNDS / 20


CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_body_of_a_length_takes_so_many_bytes(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        text = chance.randbytes(chance.choice((1, 9, 300)))
        length = chance.randint(1, len(text) + 3)
        parts = list(pieces(chance, text))
        rest = text[length:] if length <= len(text) else None
        assert feed(LengthBody(length), parts) == (text[:length], rest, False), (length, parts)
        views = [memoryview(part) for part in parts]
        assert feed(LengthBody(length), [bytes(view) for view in views])[0] == text[:length]


class Listener(App):
    """An app that also keeps every byte."""

    heard = b""

    def work(self) -> None:
        self.heard += self.wire.written
        super().work()


async def converse(gate: Gate, app: App, said: Sequence[bytes]) -> None:
    """Send pieces, let the app answer, and go on until nothing moves any more."""
    client, wire = ClientConnection(gate), Wire()
    client.connection_made(wire)  # type: ignore[arg-type]
    for piece in said:
        if not wire.closed:
            in_time(client.data_received, piece)
            await settle(app)
    await settle(app)
    client.connection_lost(None)


async def settle(app: App) -> None:
    """The gateway takes the next request in the loop's next turn."""
    quiet = 0
    while quiet < 3:
        quiet = 0 if app.wire.written else quiet + 1
        if app.wire.written:
            app.work()
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_app_gets_what_the_client_has_said(gate: Gate, seed: int) -> None:
    """Three requests in a row, one of them odd: h11 reads the client's text and the app's, and
    finds the same."""
    chance, passed = random.Random(seed), 0
    for _ in range(ROUNDS // 2):
        texts = [chance.choice(REQUESTS) for _ in range(3)]
        odd = chance.randrange(3)
        texts[odd] = mutated(chance, texts[odd])
        text = b"".join(texts)
        app = Listener(gate, divergence.OK)
        await converse(gate, app, list(pieces(chance, text)))
        app.connection.connection_lost(None)
        theirs = read_client(text)
        heard = read_messages(app.heard)
        assert len(heard) == len(app.seen), text
        passed += len(heard)
        for got in heard:
            for sent in theirs:  # those in between were answered by the gateway itself
                if is_passed_on(sent, got):
                    break
            else:
                pytest.fail(f"the app was asked {got}; it is not in {text!r}")
    assert passed > ROUNDS / 3, "hardly anything was let through; is the test itself broken?"


def is_passed_on(sent: Message, got: Message) -> bool:
    """Is this the request that the client sent, without what is not for apps?"""
    target = re.sub(rb"(?i)^https?://[^/?]*", b"", sent.target)
    kept = [(name, value) for name, value in for_app(sent.headers) if (name, value) != NO_HOST]
    ours = [pair for pair in for_app(got.headers) if pair[0] not in ADDED]
    if (b"host", b"localhost") in ours and b"host" not in dict(kept):
        kept.insert(0, (b"host", b"localhost"))
    same = (sent.method, target, sent.body) == (got.method, got.target, got.body)
    return same and sorted(kept) == sorted(ours)


NO_HOST = (b"host", b"")


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_client_gets_what_the_app_has_said(gate: Gate, seed: int) -> None:
    """Of every answer that is "done": status, contents and headers as h11 reads them."""
    chance, understood, whole = random.Random(seed), Understood(gate), 0
    for _ in range(ROUNDS):
        text = mutated(chance, chance.choice(divergence.ANSWERS))
        app, understood.all = App(gate, b""), []
        client, wire = ClientConnection(gate), Wire()
        client.connection_made(wire)  # type: ignore[arg-type]
        client.data_received(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
        app.work()
        for piece in pieces(chance, text):
            if not app.wire.closed:
                in_time(app.connection.data_received, piece)
        app.connection.connection_lost(None)
        client.connection_lost(None)
        assert len(understood.all) == 1, text
        if understood.all[0][2] != "done":
            continue
        whole += 1
        ours, theirs = read_reply(wire.written), read_app(text)
        assert ours[0] == theirs[0], (text, wire.written)
        assert ours[2] == theirs[2], (text, wire.written)
        given = [(name, canonical(name, value)) for name, value in theirs[1]]
        extra = [pair for pair in ours[1] if pair not in given and pair[0] not in RESPONSE_OWN]
        assert not extra, (text, wire.written)
    assert whole > ROUNDS / 10


RESPONSE_OWN = frozenset(
    (b"connection", b"set-cookie", b"content-security-policy", b"cross-origin-opener-policy")
)


def canonical(name: bytes, value: bytes) -> bytes:
    return b"%d" % int(value) if name == b"content-length" else value


Reply = tuple[int, Headers, bytes]
"""Status, headers and contents of the final answer to a GET."""


def read_app(text: bytes) -> Reply:
    """What an app has said: heads by h11, the body by the grammar, as in `read_client`."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    reader.send(h11.EndOfMessage())
    event: Any = None
    while not isinstance(event, h11.Response):
        end = text.index(b"\r\n\r\n") + 4
        reader.receive_data(text[:end])
        event, text = reader.next_event(), text[end:]
    named = dict(event.headers)
    if event.status_code in (204, 304):
        text = b""
    elif b"transfer-encoding" in named:
        ended = decoded(text)
        assert ended is not None, text
        text = ended[0]
    elif b"content-length" in named:
        text = text[: int(named[b"content-length"])]
    return event.status_code, list(event.headers), text


def read_reply(text: bytes) -> Reply:
    """What a client has got, all of it by h11."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(text)
    reader.receive_data(b"")
    response, body = None, b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        assert event is not h11.NEED_DATA, text
        if isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
    assert response is not None, text
    return response.status_code, list(response.headers), body


def test_the_longest_bodies_byte_by_byte_take_no_time() -> None:
    """What grows with the square of its length would be seen here."""
    chunked = b"1\r\nx\r\n" * 8000 + b"0\r\n" + (b"A: " + b"b" * 50 + b"\r\n") * 250 + b"\r\n"
    began = time.thread_time()
    fed = feed(ChunkedBody(), [chunked[place : place + 1] for place in range(len(chunked))])
    assert fed.rest == b""
    assert time.thread_time() - began < 10


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 60_000,
        b"GET / HTTP/1.1\r\nHost: h\r\nA:" + b" \t" * 30_000 + b"b",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"b " * 30_000 + b"c",
        b"GET / HTTP/1.1\r\nHost: " + b"h" * 60_000 + b"!",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: " + b"a,\t" * 20_000,
        b"GET / HTTP/1.1\r\nHost: h\r\nCookie: " + b"a=b;" * 15_000,
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"\r\n".join([b"A:" + b" " * 250] * 250),
        b"GET " + b"/%2e%2" * 9_000 + b" HTTP/1.1\r\nHost: h",
        b"GET /" + b"./" * 30_000 + b" HTTP/1.1\r\nHost: h",
        b"GET " + b"/" * 60_000 + b"# HTTP/1.1\r\nHost: h",
        b"GET http://" + b"h" * 60_000 + b" HTTP/1.1\r\nHost: h",
        b"G" * 60_000 + b" / HTTP/1.1\r\nHost: h",
    ],
    ids=lambda head: head[:24].decode() + "..." + head[-12:].decode(),
)
def test_a_long_head_is_read_or_refused_at_once(head: bytes) -> None:
    """Patterns that go back and forth over what they have read would be seen here."""
    read_head(RequestReader(), head + b"\r\n")


async def test_a_long_head_in_small_pieces_takes_no_time(gate: Gate) -> None:
    client, wire = ClientConnection(gate), Wire()
    client.connection_made(wire)  # type: ignore[arg-type]
    head = b"GET /a/ HTTP/1.1\r\nHost: h\r\nA: " + b"b" * (gate.limits.head + 1)
    began = time.thread_time()
    for place in range(0, len(head), 32):
        client.data_received(head[place : place + 32])
    assert time.thread_time() - began < 10
    assert wire.written.startswith(b"HTTP/1.1 431 ")
    client.connection_lost(None)
