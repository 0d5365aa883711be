"""One request on its way to a target, and its answer on the way back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway import answers, pages, sticky
from gateway.bodies import LARGE, Body, ChunkedBody, LengthBody, Piece, UnboundedBody
from gateway.fields import BadHead
from gateway.gate import Gate
from gateway.pages import Reply
from gateway.pools import Pool
from gateway.requests import Request
from gateway.responses import Response
from gateway.table import Route
from gateway.tracing import begin as begin_trace
from gateway.tunnel import Tunnel
from gateway.upstream import TargetConnection, Unrecognised, connect
from gateway.ways import Way

if TYPE_CHECKING:
    from gateway.client import ClientConnection

_CONNECTING = 1  # as in gateway.client, which imports this module
_TARGET_FULL = 2
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_NOBODY: frozenset[str] = frozenset()
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


class Exchange:
    """From a request's head to the last byte of its answer.

    Nothing is sent twice unless nothing of it reached an app: a refused connection leads to the
    next target; a pooled connection that turns out to be closed leads to a new one if the target's
    machine never acknowledged a byte of the request.
    """

    __slots__ = (
        "_active",
        "_answer",
        "_body",
        "_buffering",
        "_client",
        "_connection",
        "_gate",
        "_head",
        "_keep",
        "_largest",
        "_mark",
        "_pending",
        "_pool",
        "_refused",
        "_request_done",
        "_response",
        "_since",
        "_streams",
        "_whole",
        "began",
        "forward",
        "received",
        "request",
        "sent",
        "tally",
        "target",
        "trace",
        "way",
    )

    def __init__(
        self,
        gate: Gate,
        client: ClientConnection,
        request: Request,
        way: Way,
        now: float,
    ) -> None:
        self._gate = gate
        self._client = client
        self.request = request
        self.way = way
        self.forward = way.forward
        self.tally = tally = way.tally
        tally.under_way += 1
        # `time.monotonic`, not the loop's clock, which moves in milliseconds.
        self.began = self._since = now
        self.sent = self.received = self._mark = 0
        self.target = ""
        self._buffering = self._active = self._streams = self._keep = False
        self._pending: Sequence[Piece] = ()
        self._whole = False
        self._head = b""
        self._refused: frozenset[str] = _NOBODY
        self._pool: Pool | None = None
        self._connection: TargetConnection | None = None
        self._response: Response | None = None
        self._answer: Body | None = None
        self._body: Body | None = None
        self._largest: int | None = None
        self._request_done = True
        self.trace = request.fields.trace or begin_trace()

    def _expect_body(self) -> None:
        request = self.request
        self._request_done = False
        self._body = ChunkedBody() if request.fields.chunked else LengthBody(request.length or 0)
        route = self.forward.route
        if route is not None:
            self._largest = self._gate.turnstile.body_bytes(route.limits)

    @property
    def _over(self) -> bool:
        return self._client.work is not self

    @property
    def name(self) -> str:
        route = self.forward.route
        return self.forward.service if route is None else route.app

    @property
    def status(self) -> int:
        return 0 if self._response is None else self._response.status

    def start(self, rest: Piece) -> None:
        """Begin. A small body is waited for, so that a client that dawdles does not keep an app's
        only thread; a large one is passed on as it comes."""
        request = self.request
        length = request.length or 0
        if not request.has_body:
            if rest:
                self._client.hold(rest)
        elif length and len(rest) == length and not request.fields.expects:
            # All there, as with most uploads: no body has to be followed.
            self.received = length
            self._pending = (rest,)
        else:
            self._start_with_part(rest, length)
            return
        self._dispatch(fresh=False)

    def _start_with_part(self, rest: Piece, length: int) -> None:
        self._expect_body()
        if rest:
            self.from_client(rest)
        if self._over:
            return
        small = length <= self._gate.limits.held and not self.request.fields.expects
        if self._request_done or not length or not small:
            self._dispatch(fresh=False)
        else:
            # The app does not have it yet: it does not count against what the app may have.
            self._buffering = True
            self.tally.under_way -= 1

    # -- towards the target

    def _dispatch(self, fresh: bool) -> None:
        """Find a target and a connection to it; `fresh` if it must be a new one."""
        pool = self._choose()
        if pool is None:
            self._give_up()
            return
        self._pool = pool
        self.target = pool.key
        pool.load += 1
        careful = self._body is not None and not self._request_done
        connection = None if fresh else pool.take(self.began, careful)
        if connection is None:
            self._client.pause(_CONNECTING)
            self._gate.spawn(self._connect(pool))
        else:
            self._attach(connection, pooled=True)

    def _choose(self) -> Pool | None:
        """The pool to use, from the table as it is now."""
        route, table = self.forward.route, self._gate.table
        if route is None:
            return self._choose_process()
        if table.version != self.way.version:
            route = table.routes.get(self.forward.prefix[1:-1])
            if route is None:
                return None
        targets = route.targets
        if len(targets) == 1 and not self._refused:
            only = targets[0]
            return self._gate.pools.of(only.instance, only.address, only.proof)
        return self._choose_target(route)

    def _choose_process(self) -> Pool | None:
        known = [
            process
            for process in self._gate.table.addresses(self.forward.service)
            if process.address not in self._refused
        ]
        live = [process for process in known if not process.gone] or known[:1]
        of = self._gate.pools.of
        return self._gate.pools.least_loaded(
            [of(f"{one.service}.{one.instance}", one.address) for one in live]
        )

    def _choose_target(self, route: Route) -> Pool | None:
        of = self._gate.pools.of
        pools = [
            of(one.instance, one.address, one.proof)
            for one in route.targets
            if one.address not in self._refused
        ]
        now = time.monotonic()
        # When all of them fail, one that fails is better than none.
        pools = [pool for pool in pools if pool.ejected_until <= now] or pools
        if route.sticky:
            wanted = self.request.fields.jar.value(self._gate.door.names.instance)
            for pool in pools:
                if wanted is not None and sticky.mark(pool.key) == wanted:
                    return pool
        return self._gate.pools.least_loaded(pools)

    async def _connect(self, pool: Pool) -> None:
        try:
            connection = await connect(pool, self._gate.limits)
        except (OSError, TimeoutError, Unrecognised):
            self._note_failure(pool)
            self._refuse(pool)
            return
        if self._over or self._pool is not pool:
            connection.close()
            return
        self._attach(connection, pooled=False)

    def _note_failure(self, pool: Pool) -> None:
        if pool.failed(time.monotonic()):
            self.tally.ejections += 1

    def _refuse(self, pool: Pool) -> None:
        if self._over or self._pool is not pool:
            return
        self._leave_pool()
        self._refused |= {pool.address}
        self._dispatch(fresh=False)

    def _attach(self, connection: TargetConnection, pooled: bool) -> None:
        self._connection = connection
        connection.receiver = self
        self._mark = connection.sent
        if self._pending:
            connection.write_all([self._request_head(), *self._pending])
        else:
            connection.write(self._request_head())
        # What was not sent whole cannot be sent again.
        self._whole = pooled and self._request_done
        if not self._whole:
            self._pending = ()
        if not pooled:
            self._client.resume(_CONNECTING)

    def _request_head(self) -> bytes:
        request, forward, fields = self.request, self.forward, self.request.fields
        path = request.path[forward.cut :] if forward.cut else request.path
        head = b"%b %b%b HTTP/1.1\r\n%b%b%btraceparent: %b\r\n" % (
            request.method,
            path,
            request.query,
            forward.fields,
            self.way.arrival.lines,
            forward.identity,
            self.trace,
        )
        if request.length is not None:
            head += b"Content-Length: %d\r\n" % request.length
        if fields.expects and request.awaits_continue:
            head += b"Expect: 100-continue\r\n"
        if forward.cut:
            head += b"X-Forwarded-Prefix: %b\r\n" % request.path[: forward.cut]
        if fields.websocket and request.upgrades:
            head += _UPGRADE
        return head + b"\r\n"

    def from_client(self, data: Piece) -> None:
        if self._request_done or self._body is None:
            self._client.hold(data)
            return
        self._active = True
        try:
            out, rest = self._body.feed(data)
        except BadHead as error:
            self._refuse_body(error)
            return
        self.received += len(out)
        if self._largest is not None and self.received > self._largest:
            self._too_large(self._largest)
            return
        if rest is not None:
            self._request_done = True
            if rest:
                self._client.hold(rest)
        if self._connection is None:
            self._pending = [*self._pending, out]
            if self._buffering and self._request_done:
                self._buffering = False
                self.tally.under_way += 1
                self._dispatch(fresh=False)
        else:
            self._connection.write(out)

    def _refuse_body(self, error: BadHead) -> None:
        """The body's framing is broken: the target must not take what it has for the whole."""
        self._drop_connection()
        self._close_books(error.status, "client_broke")
        self._client.work = None
        if self._response is None:
            self._client.refuse(error)
        else:
            self._client.abort()

    def _too_large(self, most: int) -> None:
        self._drop_connection()
        if self._response is None:
            self.tally.refused("body")
            self._end_with(pages.too_large(self.name, most, self.request.fields.html))
        else:
            self._break_off("refused")

    # -- back to the client

    def from_target(self, data: bytes) -> None:
        if self._answer is None:
            self._read_head(self._head + data if self._head else data)
            return
        self._active = True
        try:
            out, rest = self._answer.feed(data)
        except BadHead:
            self._break_off("target_broke")
            return
        if out:
            self.sent += len(out)
            self._client.transport.write(out)
        if rest is not None:
            self._complete(rest)

    def _read_head(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            if len(data) > self._gate.limits.head:
                self._fail()
            return
        self._head = b""
        try:
            response = self._gate.responses.read(data[: end + 2])
        except BadHead:
            self._fail()
            return
        rest: Piece = data[end + 4 :] if len(data) < LARGE else memoryview(data)[end + 4 :]
        if response.status >= 200:
            self._answer_with(response, rest)
        elif response.status == 101:
            self._upgrade(response, bytes(rest))
        else:
            self._pass_interim(response, bytes(rest))

    def _pass_interim(self, response: Response, rest: bytes) -> None:
        if self.request.minor == 1:
            self._client.write(answers.start(self.forward, response) + b"\r\n")
        if rest:
            self._read_head(rest)

    def _answer_with(self, response: Response, rest: Piece) -> None:
        client = self._client
        self._response = response
        if response.plain_length != len(rest) or self.request.method == b"HEAD":
            self._answer_in_parts(response, rest)
            return
        # All there, as with most answers: no body has to be followed.
        self._keep = keep = (
            self._request_done and self.request.keeps_alive and not self._gate.stopping
        )
        self.sent = response.plain_length
        route = self.forward.route
        head = b"%b%b%b%b\r\n" % (
            answers.start(self.forward, response),
            response.fields.length_line,
            client.secure_lines if route is None or not route.sticky else self._own_lines(),
            b"" if keep else b"Connection: close\r\n",
        )
        if len(rest) < LARGE:
            client.transport.write(head + rest)
        else:
            client.transport.writelines((head, rest))
        self._complete(b"")

    def _own_lines(self) -> bytes:
        """What the gateway adds to an answer's head."""
        route, lines = self.forward.route, self._client.secure_lines
        return lines + self._sticky_cookie() if route is not None and route.sticky else lines

    def _answer_in_parts(self, response: Response, rest: Piece) -> None:
        self._pending = ()
        frame, answer = answers.framing(self.request, response)
        self._keep = (
            self._request_done
            and self.request.keeps_alive
            and not self._gate.stopping
            and not isinstance(answer, UnboundedBody)
        )
        head = b"%b%b%b%b\r\n" % (
            answers.start(self.forward, response),
            frame,
            self._own_lines(),
            b"" if self._keep else b"Connection: close\r\n",
        )
        if answer is None:
            self._client.transport.write(head)
            # Some apps send the body that they have named, late: it must answer nobody else.
            self._complete(rest, reusable=not response.names_body)
            return
        self._answer = answer
        if response.fields.event_stream and self._pool is not None:
            self._pool.streams.add(self)
            self._count_stream()
        self._pass_first(head, answer, rest)

    def _pass_first(self, head: bytes, answer: Body, rest: Piece) -> None:
        if not rest:
            self._client.transport.write(head)
            return
        try:
            out, after = answer.feed(rest)
        except BadHead:
            self._response = None
            self._fail()
            return
        self.sent = len(out)
        self._client.transport.writelines((head, out))
        if after is not None:
            self._complete(after)

    def _sticky_cookie(self) -> bytes:
        route = self.forward.route
        if route is None or self._pool is None:
            return b""
        names = self._gate.door.names
        if sticky.mark(self._pool.key) == self.request.fields.jar.value(names.instance):
            return b""
        return sticky.cookie(names, self._pool.key, route.app, self._gate.secure)

    def _upgrade(self, response: Response, rest: bytes) -> None:
        if not self.request.upgrades or not response.fields.websocket:
            self._fail()
            return
        connection, pool = self._connection, self._pool
        assert connection is not None
        assert pool is not None
        self._response = response
        head = answers.start(self.forward, response)
        self._client.write(head + self._own_lines() + _UPGRADE + b"\r\n")
        pool.failures = 0
        connection.forget_probe()
        self._count_stream()
        Tunnel(self._gate, self._client, connection, pool, self).start(rest)

    def _count_stream(self) -> None:
        """From now on this is no request that ends soon."""
        self._streams = True
        self.tally.under_way -= 1
        self.tally.streams += 1

    # -- the end

    def _complete(self, rest: Piece, reusable: bool = True) -> None:
        """The answer is complete; bytes after it make the connection unusable."""
        connection, self._connection = self._connection, None
        assert connection is not None
        assert self._response is not None
        connection.receiver = None
        if connection.paused:
            connection.resume_reading()
        now = time.monotonic()
        pool = connection.pool
        pool.failures = 0
        reusable = reusable and not rest and self._response.keeps_alive and connection.is_open
        if reusable and self._request_done:
            connection.idle_since = now
            pool.give_back(connection)
        elif self._request_done:
            connection.close()
        else:  # it has answered before it had read everything
            connection.abort()
        self._close_books(self._response.status, "done", now)
        self._leave_pool()
        self._client.finished(self._keep, self._request_done)

    def end_stream(self, how: str) -> None:
        """The tunnel that this became has ended."""
        self._close_books(self.status, how)

    def _close_books(self, status: int, how: str, now: float | None = None) -> None:
        """Count and note the request, once."""
        tally = self.tally
        seconds = (now or time.monotonic()) - self.began
        if self._streams:
            tally.streams -= 1
            tally.stream_ended(status, self.sent, self.received)
        else:
            if not self._buffering:
                tally.under_way -= 1
            tally.answered(status, seconds, self.sent, self.received)
        self._gate.ledger.finished(self, status, seconds, how)

    def target_lost(self, failed: bool) -> None:
        connection, self._connection = self._connection, None
        if isinstance(self._answer, UnboundedBody) and not failed:
            self._close_books(self.status, "done")
            self._leave_pool()
            self._client.finished(False, self._request_done)
        elif self._response is not None:
            self._break_off("target_broke")
        elif self._may_resend(connection):
            self._leave_pool()
            self._dispatch(fresh=True)
        else:
            self._fail()

    def _may_resend(self, connection: TargetConnection | None) -> bool:
        """Is it certain that the app has seen nothing of the request?"""
        if not self._whole or self._head or connection is None:
            return False
        if self.forward.route is None and self.request.method in _IDEMPOTENT:
            return True  # the platform's own services may be asked twice
        return connection.nothing_arrived_since(self._mark)

    def _break_off(self, how: str) -> None:
        """The answer breaks off in the middle: the client must not take it for the whole."""
        self._drop_connection()
        self._close_books(self.status, how)
        self._client.work = None
        if isinstance(self._answer, UnboundedBody):
            self._client.abort()
        else:
            self._client.close()

    def _fail(self) -> None:
        if self._pool is not None:
            self._note_failure(self._pool)
        self._drop_connection()
        self.tally.refused("broken-answer")
        self._end_with(pages.broken_answer(self.name, self.request.fields.html))

    def _give_up(self) -> None:
        html = self.request.fields.html
        self.tally.refused("no-target")
        if self.forward.route is None:
            self._end_with(pages.no_service(self.forward.service, html))
            return
        route = self._gate.door.route(self.name)
        self._end_with(
            pages.unknown_app(self.name, html) if route is None else pages.no_target(route, html)
        )

    def _end_with(self, reply: Reply) -> None:
        keep = self.request.keeps_alive and self._request_done and not self._gate.stopping
        self._close_books(reply.status, "refused")
        self._client.send(reply, keep, self.request.method == b"HEAD")
        self._client.finished(keep, self._request_done)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.receiver = None
            connection.abort()
        self._leave_pool()

    def _leave_pool(self) -> None:
        pool = self._pool
        if pool is None:
            return
        self._pool = None
        if pool.streams:
            pool.streams.discard(self)
        pool.end()

    def client_lost(self) -> None:
        self._drop_connection()
        self._close_books(self.status, "client_gone")

    def client_ended(self) -> None:
        """Half-closed: a complete request is still answered, an incomplete one never will be."""
        if not self._request_done:
            self._drop_connection()
            self._close_books(self.status, "client_gone")
            self._client.work = None
            self._client.abort()

    def client_full(self, full: bool) -> None:
        if self._connection is not None:
            if full:
                self._connection.pause_reading()
            else:
                self._connection.resume_reading()

    def target_full(self, full: bool) -> None:
        if full:
            self._client.pause(_TARGET_FULL)
        else:
            self._client.resume(_TARGET_FULL)

    def retire(self) -> None:
        """End an event stream whose instance retires."""
        self._end_stream("retired")

    def _end_stream(self, how: str) -> None:
        """End the answer before its time, at a whole chunk if it is at one."""
        if isinstance(self._answer, ChunkedBody) and self._answer.between:
            self._client.write(b"0\r\n\r\n")
        self._drop_connection()
        self._close_books(self.status, how)
        self._client.work = None
        self._client.close()

    def stop(self) -> None:
        """The gateway stops: event streams end, everything else finishes."""
        if self._response is not None and self._response.fields.event_stream:
            self.retire()

    # -- what time and news bring

    def tick(self, now: float) -> None:
        """Called every second: end what has been silent for too long."""
        if self._buffering:
            # However busy the client is with it.
            if now - self.began > self._gate.limits.body_seconds:
                self._refuse_body(BadHead("The request's body took too long.", 408))
            return
        if self._active:
            self._active = False
            self._since = now
            return
        quiet = now - self._since
        if self._response is None:
            self._tick_unanswered(quiet)
        elif quiet > self.idle_seconds:
            self._break_off("idle")

    def _tick_unanswered(self, quiet: float) -> None:
        route = self.forward.route
        if route is None or self._connection is None:
            return
        most = self._gate.turnstile.answer_seconds(route.limits)
        if quiet > most:
            self._drop_connection()
            self.tally.refused("too-late")
            self._end_with(pages.too_late(self.name, most, self.request.fields.html))

    @property
    def idle_seconds(self) -> float:
        route = self.forward.route
        turnstile = self._gate.turnstile
        return turnstile.idle_seconds(None if route is None else route.limits)

    def recheck(self) -> None:
        """Access has changed: end what would not be let in any more."""
        route = self.forward.route
        if route is None or self._gate.door.still_admits(self.request, self.way.arrival, route.app):
            return
        if self._response is None:
            self._drop_connection()
            self._end_with(pages.forbidden(route.app, self.request.fields.html))
        else:
            self._end_stream("revoked")
