"""A client's connection: heads are read here, bodies are handed to what is under way."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import suppress
from typing import Protocol, cast

from gateway import pages
from gateway.arrival import Arrival, arrive
from gateway.bodies import LARGE, Piece
from gateway.errand import Errand
from gateway.exchange import Exchange
from gateway.fields import BadHead
from gateway.gate import Gate
from gateway.pages import Reply
from gateway.platform import GATEWAY
from gateway.requests import Request
from gateway.ways import Way, remember

NEVER = float("inf")
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: closing sends a reset, and drops what is unsent

# Why a client is not read from at the moment; reasons add up.
CONNECTING = 1
TARGET_FULL = 2
HELD_FULL = 4


class Work(Protocol):
    """A request or a tunnel that is under way on a client's connection."""

    def from_client(self, data: bytes) -> None: ...
    def client_lost(self) -> None: ...
    def client_full(self, full: bool) -> None: ...
    def client_ended(self) -> None: ...
    def tick(self, now: float) -> None: ...
    def recheck(self) -> None: ...
    def stop(self) -> None: ...


class ClientConnection(asyncio.Protocol):
    """One connection; one request after the other, answered in order."""

    __slots__ = (
        "_buffer",
        "_ended",
        "_from",
        "_full",
        "_lingering",
        "_paused",
        "_peer",
        "_scheme",
        "_unsent",
        "_unsent_since",
        "deadline",
        "gate",
        "loop",
        "secure_lines",
        "transport",
        "work",
    )

    def __init__(self, gate: Gate, scheme: str = "", secure_lines: bytes = b"") -> None:
        self.gate = gate
        self.loop = asyncio.get_running_loop()
        self.work: Work | None = None
        self.deadline = NEVER
        self.secure_lines = secure_lines
        """Header lines for every answer, such as Strict-Transport-Security."""
        self._scheme = scheme or gate.scheme
        self._peer = "unknown"
        self._from = ""
        self._unsent = 0
        self._unsent_since = 0.0
        self._buffer = b""
        self._lingering = False
        self._ended = False
        self._full = False
        self._paused = 0

    # -- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self.gate.limits.buffer)
        peer: tuple[str, int] | None = transport.get_extra_info("peername")
        if peer:
            self._peer = peer[0].removeprefix("::ffff:")
        self._from = f"{type(self).__name__} {self._scheme} {self._peer}"
        self.gate.clients.add(self)
        self.deadline = self.loop.time() + self.gate.limits.head_seconds

    def data_received(self, data: bytes) -> None:
        if self.work is not None:
            self.work.from_client(data)
        elif not self._lingering:
            self._read(self._buffer + data if self._buffer else data)

    def eof_received(self) -> bool:
        """A client that has ended its side may still be reading: what is under way goes on."""
        self._ended = True
        if self.work is None:
            return False
        self.work.client_ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.clients.discard(self)
        work, self.work = self.work, None
        if work is not None:
            work.client_lost()

    def pause_writing(self) -> None:
        self._full = True
        if self.work is not None:
            self.work.client_full(True)

    def resume_writing(self) -> None:
        self._full = False
        if self.work is not None:
            self.work.client_full(False)
        elif self._buffer and not self._lingering:
            self._go_on()

    # -- requests

    def _read(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > self.gate.limits.head:
            self._wait_for_head(data)
            return
        self._buffer = b""
        self.deadline = NEVER
        try:
            request = self.gate.requests.read(data[: end + 2])
        except BadHead as error:
            self.refuse(error)
            return
        body = request.length
        large = body is not None and body >= LARGE
        self._begin(request, memoryview(data)[end + 4 :] if large else data[end + 4 :])

    def _wait_for_head(self, data: bytes) -> None:
        if len(data) > self.gate.limits.head:
            self.refuse(BadHead("The request's head is too long.", 431))
            return
        if b"\n\n" in data or (data[:1] in b"\r\n" and data):
            self.refuse(BadHead("A header line ends with a bare LF, or an empty line leads."))
            return
        if self._ended:
            self.close()
            return
        if not self._buffer:
            self.deadline = self.loop.time() + self.gate.limits.head_seconds
        self._buffer = data

    def _begin(self, request: Request, rest: Piece) -> None:
        now = time.monotonic()
        way = request.fields.ways.get(self._from)
        if (
            way is None
            or request.method != way.method
            or now >= way.until
            or self.gate.table.version != way.version
            or not request.path.startswith(way.prefix)
        ):
            way = self._find_way(request, rest, now)
            if way is None:
                return
        if way.tally.under_way >= way.free and self._turned_away(request, rest, way):
            return
        exchange = Exchange(self.gate, self, request, way, now)
        self.work = exchange
        exchange.start(rest)

    def _find_way(self, request: Request, rest: Piece, now: float) -> Way | None:
        """Decide for this request, and for those like it; None if it is answered here."""
        fields = request.fields
        arrival = arrive(self._peer, self._scheme, fields.host, fields.hints, self.gate.trusted)
        outcome = self._own_answer(request, arrival) or self.gate.door.decide(request, arrival)
        if isinstance(outcome, Reply):
            self._turn_away(request, arrival, outcome, rest)
            return None
        if outcome.service == GATEWAY:
            self.work = Errand(self, request, rest)
            self.gate.spawn(self.work.run(self.gate))
            return None
        route = outcome.route
        way = Way(
            arrival=arrival,
            forward=outcome,
            tally=self.gate.ledger.tally(outcome),
            method=request.method,
            prefix=outcome.prefix,
            version=self.gate.table.version,
            until=now + outcome.until - time.time(),
            free=NEVER if route is None else self.gate.turnstile.free(route.limits),
        )
        if way.prefix:
            remember(fields.ways, self._from, way)
        return way

    def _turned_away(self, request: Request, rest: Piece, way: Way) -> bool:
        """Does the turnstile keep it out?"""
        route = way.forward.route
        assert route is not None
        fields, address = request.fields, way.arrival.address
        refusal = self.gate.turnstile.refusal(
            route, address, way.tally.under_way, request.length, fields.html
        )
        if refusal is None:
            return False
        way.tally.refused(refusal[0])
        self._turn_away(request, way.arrival, refusal[1], rest)
        return True

    def _turn_away(self, request: Request, arrival: Arrival, reply: Reply, rest: Piece) -> None:
        app = self.gate.door.app_of(request.path)
        self.gate.ledger.replied(request, arrival, app, reply)
        self._reply(request, reply, rest)

    def _own_answer(self, request: Request, arrival: Arrival) -> Reply | None:
        del arrival
        if request.path == b"/-/livez":
            return pages.state(200, "alive", True)
        if request.path == b"/-/readyz":
            ready = self.gate.ready.table and not self.gate.stopping
            return pages.state(200 if ready else 503, "ready", ready)
        return None

    def _reply(self, request: Request, reply: Reply, rest: Piece) -> None:
        """Answer without a target. A body that was sent with the request is not read."""
        keep = request.keeps_alive and not request.has_body and not self.gate.stopping
        self.send(reply, keep, request.method == b"HEAD")
        self._buffer = bytes(rest)
        if keep:
            self.next_request()
        else:
            self.linger()

    def refuse(self, error: BadHead) -> None:
        self.gate.ledger.bad_request(self._peer, error)
        self.send(pages.refused(error.status, error.detail), keep=False, head_only=False)
        self.linger()

    def send(self, reply: Reply, keep: bool, head_only: bool) -> None:
        """Write an answer of the gateway's own."""
        self.transport.write(reply.encode(not keep, head_only, self.secure_lines))

    # -- what the work under way calls

    def hold(self, data: Piece) -> None:
        """Keep what follows the request under way."""
        self._buffer += data
        if len(self._buffer) > self.gate.limits.held:
            self.pause(HELD_FULL)

    def held(self) -> bytes:
        """Hand over what was kept."""
        data, self._buffer = self._buffer, b""
        self.resume(HELD_FULL)
        return data

    def finished(self, keep: bool, request_done: bool) -> None:
        """The request under way is answered."""
        self.work = None
        if self._paused:
            self.resume(CONNECTING | TARGET_FULL)
        if keep and not self._buffer and not self._ended:
            self.deadline = self.loop.time() + self.gate.limits.idle_seconds
        elif keep:
            self.next_request()
        elif request_done and not self._buffer:
            self.close()
        else:
            self.linger()

    def next_request(self) -> None:
        """Go on with what the client has sent meanwhile, or wait for more."""
        if self._buffer:
            # Not at once: a client may have sent thousands of small requests.
            self.pause(HELD_FULL)
            self.loop.call_soon(self._go_on)
        elif self._ended or self.gate.stopping:
            self.close()
        else:
            self.deadline = self.loop.time() + self.gate.limits.idle_seconds

    def _go_on(self) -> None:
        if self._full or self.work is not None or self.transport.is_closing():
            return
        data = self.held()
        if data:
            self._read(data)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def pause(self, reason: int) -> None:
        if not self._paused and not self.transport.is_closing():
            self.transport.pause_reading()
        self._paused |= reason

    def resume(self, reason: int) -> None:
        if self._paused and not self._paused & ~reason and not self.transport.is_closing():
            self.transport.resume_reading()
        self._paused &= ~reason

    # -- ends

    def close(self) -> None:
        """Close when everything written is sent; a client that does not read it is cut off."""
        self.deadline = self.loop.time() + self.gate.limits.closing_seconds
        self.transport.close()

    def abort(self) -> None:
        """Break off with a reset: an answer without a length must not look like a whole one."""
        carrier = self.transport.get_extra_info("socket")
        if carrier is not None:
            with suppress(OSError):
                carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def linger(self) -> None:
        """Close, but read and drop what is on its way, so that the answer is not lost in a reset
        (RFC 9112, 9.6)."""
        if self._ended or self.transport.is_closing():
            self.close()
            return
        self._lingering = True
        self._buffer = b""
        self.resume(CONNECTING | TARGET_FULL | HELD_FULL)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.deadline = self.loop.time() + self.gate.limits.linger_seconds

    def tick(self, now: float) -> None:
        """Called every second."""
        if self._full and self._stalled(now):
            self.abort()
        elif self.work is not None and not self.transport.is_closing():
            self.work.tick(now)
        elif self.deadline < now:
            self.expire()

    def _stalled(self, now: float) -> bool:
        """Has the client taken nothing of a full buffer for too long?"""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
            return False
        return now - self._unsent_since > self.gate.limits.stalled_seconds

    def recheck(self) -> None:
        """Access has changed for somebody."""
        if self.work is not None:
            self.work.recheck()

    def expire(self) -> None:
        """The deadline has passed: a head that never came to its end, or idleness."""
        if self._lingering or self.transport.is_closing():
            self.transport.abort()
        elif self._buffer:
            self.refuse(BadHead("The request's head took too long.", 408))
        else:
            self.close()

    def stop(self) -> None:
        """The gateway stops: idle connections close, others when they have their answer."""
        if self.work is not None:
            self.work.stop()
        elif not self._buffer and not self._lingering:
            self.close()
