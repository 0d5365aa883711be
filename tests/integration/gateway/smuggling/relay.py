"""A wire between gateway and server that keeps what passes, and reads it as h11 and a pedant do."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

import h11

from tests.integration.gateway.conformance.conversation import Garbled, read_answers
from tests.integration.gateway.fleet import free_port

LONGEST_HEAD = 1 << 17
_HOPS = frozenset((b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"))
_SWITCH = {(b"connection", b"Upgrade"), (b"upgrade", b"websocket")}
_HEAD = re.compile(
    rb"[!-~]+ [!-~]+ HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n"
)


class Asked(NamedTuple):
    """A request: its target with the query, the bytes of its body."""

    method: str
    target: str
    size: int


class Sent(NamedTuple):
    """A request as it went to the server, and what came back; `whole` if it came to its end."""

    asked: Asked
    whole: bool
    status: int | None
    answer: Asked | None


class Wire:
    """One connection from the gateway to the server: the bytes in both directions."""

    def __init__(self) -> None:
        self.sent = b""
        self.returned = b""

    def read(self) -> list[Sent]:
        """The requests and their answers. Raises AssertionError for what one reader takes for
        something else than another, h11.RemoteProtocolError for what is no HTTP."""
        requests = read_requests(self.sent)
        methods = [asked.method for asked, _ in requests] or ["GET"]
        try:
            answers = [one for one in read_answers(self.returned, methods) if one.status >= 200]
        except Garbled as error:
            raise AssertionError(f"between answers there is none: {error}") from error
        assert len(answers) <= len(requests), f"more answers than requests: {self.returned!r:.500}"
        found: list[Sent] = []
        for place, (asked, whole) in enumerate(requests):
            if place >= len(answers) or not answers[place].ended:
                found.append(Sent(asked, whole, None, None))
                continue
            status, body = answers[place].status, answers[place].body
            said = Asked(*json.loads(body)) if status == 200 and body else None
            found.append(Sent(asked, whole, status, said))
        return found


def read_requests(data: bytes) -> list[tuple[Asked, bool]]:
    """Requests, and whether they came to their end (only the last may not)."""
    found: list[tuple[Asked, bool]] = []
    place = 0
    while place < len(data):
        end = data.find(b"\r\n\r\n", place) + 4
        if end < 4:
            raise AssertionError(f"half a head went on: {data[place:]!r:.500}")
        asked, whole, used = _read_request(data[place:], end - place)
        found.append((asked, whole))
        if not whole:
            break
        place += used
    return found


def _read_request(data: bytes, head: int) -> tuple[Asked, bool, int]:
    """One request by a fresh reader, whether it is whole, and how many bytes it took."""
    assert _HEAD.fullmatch(data, 0, head), f"a head that not all read alike: {data[:head]!r}"
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
    reader.receive_data(data)
    request = reader.next_event()
    assert isinstance(request, h11.Request), f"half a head for h11: {data[:head]!r}"
    _check_headers(request, data[:head])
    size = 0
    while isinstance(event := reader.next_event(), h11.Data):
        size += len(event.data)
    asked = Asked(request.method.decode(), target_of(request.target.decode("latin-1")), size)
    whole = isinstance(event, h11.EndOfMessage)
    return asked, whole, len(data) - len(reader.trailing_data[0])


def _check_headers(request: h11.Request, head: bytes) -> None:
    names = [name for name, _ in request.headers]
    assert names.count(b"host") == 1, f"not one Host: {head!r}"
    framing = names.count(b"content-length") + names.count(b"transfer-encoding")
    assert framing <= 1, f"more than one framing: {head!r}"
    hops = {(name, value) for name, value in request.headers if name in _HOPS}
    switches = hops == _SWITCH and request.method == b"GET" and not framing
    assert not hops or switches, f"{hops} went on: {head!r}"
    odd = [name for name in names if b"_" in name]
    assert not odd, f"{odd} went on: {head!r}"


def target_of(text: str) -> str:
    """Servers do not tell an empty query from none."""
    return text[:-1] if text.endswith("?") and text.count("?") == 1 else text


class _Side(asyncio.Protocol):
    """One end; what comes in goes out at the other."""

    def __init__(self, wire: Wire, way: str) -> None:
        self._wire = wire
        self._way = way
        self._early = b""
        self._other: _Side | None = None
        self.transport: asyncio.Transport
        self.lost = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def join(self, other: "_Side") -> None:
        self._other = other
        if self._early:
            other.transport.write(self._early)
        if self.lost:
            other.transport.abort()
        elif self._ended:
            other.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        setattr(self._wire, self._way, getattr(self._wire, self._way) + data)
        if self._other is None:
            self._early += data
        elif not self._other.lost:
            self._other.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self._other is not None and not self._other.lost:
            self._other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._other is not None and not self._other.lost:
            self._other.transport.abort() if exc else self._other.transport.close()


class Relay:
    """Listens at `address`; `wires` has each connection that came."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.address = ""
        self.wires: list[Wire] = []
        self._sides: list[_Side] = []
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Relay"]:
        loop, port = asyncio.get_running_loop(), free_port()
        listener = await loop.create_server(self._accept, "127.0.0.1", port)
        self.address = f"127.0.0.1:{port}"
        try:
            yield self
        finally:
            listener.close()
            for side in self._sides:
                if not side.lost:
                    side.transport.abort()
            await asyncio.gather(*self._under_way)

    def _accept(self) -> _Side:
        wire = Wire()
        self.wires.append(wire)
        near = _Side(wire, "sent")
        self._sides.append(near)
        task = asyncio.ensure_future(self._connect(wire, near))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return near

    async def _connect(self, wire: Wire, near: _Side) -> None:
        host, _, port = self._server.partition(":")
        loop = asyncio.get_running_loop()
        _, far = await loop.create_connection(lambda: _Side(wire, "returned"), host, int(port))
        self._sides.append(far)
        near.join(far)
        far.join(near)
