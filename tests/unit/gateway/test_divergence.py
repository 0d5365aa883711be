"""Mutated requests and answers, in pieces: what goes on is what the gateway understood.

Seeded, so that a failure comes again. `MOORAGE_FUZZ_ROUNDS` runs more of them, `MOORAGE_FUZZ_SEED`
others. What the gateway sends is read by h11, which shares no code with it.
"""

import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h11
import pytest

from gateway.app import build
from gateway.client import ClientConnection
from gateway.exchange import Exchange
from gateway.gate import Gate, Limits
from gateway.settings import GatewaySettings
from gateway.upstream import TargetConnection

ROUNDS = int(os.environ.get("MOORAGE_FUZZ_ROUNDS", "2500"))
SEED = int(os.environ.get("MOORAGE_FUZZ_SEED", "1"))

REQUESTS = (
    b"GET /a/x?y=1 HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\nCookie: moorage_session=1; b=2\r\n\r\n",
    b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Moorage-User: eve\r\n\r\nhello",
    b"PUT /a/z HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: t\r\n\r\n",
    b"POST http://h/a/ HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, x-a\r\nX-A: b\r\n"
    b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    b"GET /a/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"DELETE /a/%20/;p HTTP/1.1\r\nHost: [::1]:8\r\nContent-Length: 0\r\n\r\n",
    b"HEAD /a/ HTTP/1.1\r\nHost: h\r\nForwarded: for=9.9.9.9\r\nX_Moorage_User: eve\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b; Path=/\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
)
WORDS = (
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\0", b",", b";", b"\x0b", b"\x85",
    b"\xff", b"%2f", b"..", b"//", b"\\", b"0", b"7", b"-", b"+", b"0x5", b"chunked", b"HTTP/1.0",
    b"Content-Length: 5\r\n", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: identity\r\n", b"Host: other\r\n", b"Connection: content-length\r\n",
    b"Connection: close\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"\r\n folded: x",
    b"GET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
)  # fmt: skip
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOPS = frozenset((b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"))


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += bytes(data)

    def writelines(self, pieces: Sequence[Any]) -> None:
        for piece in pieces:
            self.write(piece)

    def take(self) -> bytes:
        data, self.written = self.written, b""
        return data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, **_: Any) -> None: ...
    def write_eof(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Seen:
    """A request as h11 read it."""

    def __init__(self, request: h11.Request) -> None:
        self.line = request.method, request.target
        self.names = [name for name, _ in request.headers]
        self.size = 0


class App:
    """The target's end of one connection: reads with h11 and answers each request that is whole."""

    def __init__(self, gate: Gate, answer: bytes) -> None:
        self.wire = Wire()
        self._answer = answer
        self._reader = h11.Connection(h11.SERVER)
        self.seen: list[Seen] = []
        self._under_way: Seen | None = None
        pool = gate.pools.of("a.web.1", "127.0.0.1:9")
        self.connection = TargetConnection(pool, Limits())
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]
        self.connection.idle_since = float("inf")
        pool.give_back(self.connection)

    def work(self) -> None:
        """Read what has come. Raises RemoteProtocolError for what is no sound HTTP."""
        self._reader.receive_data(self.wire.take())
        while True:
            event = self._reader.next_event()
            if isinstance(event, h11.Request):
                self._under_way = Seen(event)
            elif isinstance(event, h11.Data):
                assert self._under_way is not None
                self._under_way.size += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert self._under_way is not None
                self.seen.append(self._under_way)
                self._give_answer()
            else:
                return

    def _give_answer(self) -> None:
        self._reader.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        self._reader.send(h11.EndOfMessage())
        if self._reader.our_state is h11.DONE:
            self._reader.start_next_cycle()
        if not self.wire.closed:
            self.connection.data_received(self._answer)


class Understood:
    """Every exchange that ended, with its outcome, as the ledger heard of it."""

    def __init__(self, gate: Gate) -> None:
        self.all: list[tuple[Exchange, int, str]] = []
        gate.ledger.finished = self._note  # type: ignore[method-assign]

    def _note(self, exchange: Exchange, status: int, seconds: float, how: str) -> None:
        self.all.append((exchange, status, how))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    settings = GatewaySettings(
        home=tmp_path,
        instance="g",
        port=1,
        nats_url="",
        nats_seed_file=tmp_path / "none",
        access_log="",
    )
    gateway = build(settings)
    gateway.news.heard("access", "a", {"app": "a", "mode": "public", "owner": "o", "grants": []})
    target = {"instance": "a.web.1", "address": "127.0.0.1:9"}
    route = {"app": "a", "revision": 1, "release": 1, "state": "running", "targets": [target]}
    route |= {"retiring": [], "prefix_mode": "keep", "sticky": False, "reason": ""}
    gateway.news.heard("routes", "a", route)
    return gateway.gate


def mutated(chance: random.Random, text: bytes) -> bytes:
    """A few bytes inserted, replaced, repeated or left out; sometimes nothing is changed."""
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        place = chance.randrange(len(text) + 1)
        length = chance.choice((0, 0, 1, 2, 8))
        word = chance.choice(WORDS) if chance.random() < 0.8 else chance.randbytes(1)
        if chance.random() < 0.2:
            word = text[place : place + chance.randrange(40)] * 2
        text = text[:place] + word + text[place + length :]
    return text


def pieces(chance: random.Random, text: bytes) -> Iterator[bytes]:
    while text:
        size = chance.choice((1, 2, 7, 64, 4096))
        yield text[:size]
        text = text[size:]


async def converse(gate: Gate, app: App, said: Sequence[bytes]) -> Wire:
    """Send pieces to the gateway, let the app answer what comes of them, end the connection."""
    client, wire = ClientConnection(gate), Wire()
    client.connection_made(wire)  # type: ignore[arg-type]
    for piece in said:
        if wire.closed:
            break
        client.data_received(piece)
        for _ in range(4):
            if app.wire.written:
                app.work()
            await asyncio.sleep(0)
    if not wire.closed:
        client.eof_received()
    client.connection_lost(None)
    return wire


async def test_what_goes_on_is_what_was_understood(gate: Gate) -> None:
    chance = random.Random(SEED)
    understood, whole = Understood(gate), 0
    for number in range(ROUNDS):
        text = b"".join(mutated(chance, chance.choice(REQUESTS)) for _ in range(2))
        app = App(gate, OK)
        understood.all.clear()
        wire = await converse(gate, app, list(pieces(chance, text)))
        app.connection.connection_lost(None)
        done = [one for one, status, how in understood.all if (status, how) == (200, "done")]
        where = (number, text)
        assert len(done) == len(app.seen), where
        assert wire.written.count(b"HTTP/1.1 200 OK\r\n") == len(done), where
        for exchange, seen in zip(done, app.seen, strict=True):
            request = exchange.request
            assert seen.line == (request.method, request.path + request.query), where
            # Of a chunked body the gateway counts the chunks' size lines as well.
            assert seen.size <= exchange.received, where
            assert request.fields.chunked or seen.size == exchange.received, where
            assert seen.names.count(b"host") == 1, where
            assert not (b"content-length" in seen.names and b"transfer-encoding" in seen.names)
            assert HOPS.isdisjoint(seen.names), where
            assert not any(name.startswith(b"x-moorage-") for name in seen.names), where
        whole += len(done)
    assert whole > ROUNDS / 4, "hardly anything was let through; is the test itself broken?"


async def test_a_broken_answer_never_looks_whole(gate: Gate) -> None:
    """h11 reads what the client gets: whole answers, or a connection that ends too early."""
    chance = random.Random(SEED)
    understood, whole = Understood(gate), 0
    for number in range(ROUNDS):
        text = mutated(chance, chance.choice(ANSWERS))
        app = App(gate, b"")
        understood.all.clear()
        client, wire = ClientConnection(gate), Wire()
        client.connection_made(wire)  # type: ignore[arg-type]
        client.data_received(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
        app.work()
        for piece in pieces(chance, text):
            if not app.wire.closed:
                app.connection.data_received(piece)
        app.connection.connection_lost(None)
        where = (number, text, wire.written)
        ended = [how for _, _, how in understood.all]
        assert len(ended) == 1, where
        complete = read_answer(wire.written, wire.closed)
        assert complete == (ended[0] in ("done", "refused")), where
        whole += ended == ["done"]
        client.connection_lost(None)
    assert whole > ROUNDS / 10


def read_answer(data: bytes, closed: bool) -> bool:
    """Is it one whole answer to a GET? Raises RemoteProtocolError for what is no sound HTTP."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    ended = False
    while True:
        event = reader.next_event()
        if isinstance(event, h11.EndOfMessage):
            assert not reader.trailing_data[0], "there is more behind the answer"
            return True
        if event is h11.NEED_DATA:
            if ended or not closed:
                return False
            ended = True
            try:
                reader.receive_data(b"")
                reader.next_event()
            except h11.RemoteProtocolError:
                return False
            return True
