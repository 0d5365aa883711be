"""One request on its way to a target, and its answer on the way back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gateway import pages
from gateway.bodies import Body, ChunkedBody, LengthBody, UnboundedBody
from gateway.door import Forward
from gateway.fields import BadHead
from gateway.gate import Gate
from gateway.pages import Reply
from gateway.pools import Pool
from gateway.requests import STICKY_COOKIE, Request
from gateway.responses import Response
from gateway.table import Route
from gateway.tunnel import Tunnel
from gateway.upstream import TargetConnection, connect

if TYPE_CHECKING:
    from gateway.client import ClientConnection

_CONNECTING = 1  # as in gateway.client, which imports this module
_TARGET_FULL = 2
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class Exchange:
    """From a request's head to the last byte of its answer.

    Nothing is sent twice unless nothing of it reached an app: a refused connection leads to the
    next target; a pooled connection that turns out to be closed leads to a new one, for requests
    that are safe and have no body.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_client",
        "_connection",
        "_forward",
        "_gate",
        "_head",
        "_keep",
        "_pending",
        "_pool",
        "_refused",
        "_request",
        "_request_done",
        "_response",
        "_retry",
    )

    def __init__(
        self, gate: Gate, client: ClientConnection, request: Request, forward: Forward
    ) -> None:
        self._gate = gate
        self._client = client
        self._request = request
        self._forward = forward
        fields = request.fields
        self._body: Body | None = None
        if fields.chunked:
            self._body = ChunkedBody()
        elif fields.length:
            self._body = LengthBody(fields.length)
        self._request_done = self._body is None
        self._pending = b""
        self._refused: set[str] | None = None
        self._retry = False
        self._pool: Pool | None = None
        self._connection: TargetConnection | None = None
        self._head = b""
        self._response: Response | None = None
        self._answer: Body | None = None
        self._keep = False

    @property
    def _over(self) -> bool:
        return self._client.work is not self

    def start(self, rest: bytes) -> None:
        if rest:
            self.from_client(rest)
        if not self._over:
            self._dispatch(fresh=False)

    # -- towards the target

    def _dispatch(self, fresh: bool) -> None:
        pool = self._choose()
        if pool is None:
            self._give_up()
            return
        self._pool = pool
        pool.begin()
        cautious = self._request.method not in _IDEMPOTENT or self._body is not None
        connection = None if fresh else pool.take(self._client.loop.time(), cautious)
        if connection is None:
            self._client.pause(_CONNECTING)
            self._gate.spawn(self._connect(pool))
        else:
            self._attach(connection, retry=not cautious)

    def _choose(self) -> Pool | None:
        """The pool to use, from the table as it is now."""
        refused = self._refused or ()
        if self._forward.app:
            route = self._gate.door.route(self._forward.app)
            return None if route is None else self._choose_target(route, refused)
        known = [
            process
            for process in self._gate.table.addresses(self._forward.service)
            if process.address not in refused
        ]
        live = [process for process in known if not process.gone] or known[:1]
        of = self._gate.pools.of
        return self._gate.pools.least_loaded(
            of(f"{one.service}.{one.instance}", one.address) for one in live
        )

    def _choose_target(self, route: Route, refused: set[str] | tuple[()]) -> Pool | None:
        of = self._gate.pools.of
        targets = [target for target in route.targets if target.address not in refused]
        if route.sticky and self._request.fields.sticky is not None:
            for target in targets:
                if sticky_value(target.instance) == self._request.fields.sticky:
                    return of(target.instance, target.address)
        return self._gate.pools.least_loaded(of(one.instance, one.address) for one in targets)

    async def _connect(self, pool: Pool) -> None:
        limits = self._gate.limits
        try:
            connection = await connect(pool, limits.connect_seconds, limits.buffer)
        except (OSError, TimeoutError):
            self._refuse(pool)
            return
        if self._over or self._pool is not pool:
            connection.close()
            return
        self._attach(connection, retry=False)

    def _refuse(self, pool: Pool) -> None:
        if self._over or self._pool is not pool:
            return
        self._leave_pool()
        self._refused = (self._refused or set()) | {pool.address}
        self._dispatch(fresh=False)

    def _attach(self, connection: TargetConnection, retry: bool) -> None:
        self._connection = connection
        self._retry = retry
        connection.receiver = self
        connection.transport.write(self._request_head() + self._pending)
        self._pending = b""
        self._client.resume(_CONNECTING)

    def _request_head(self) -> bytes:
        request, forward = self._request, self._forward
        lines = [
            request.method + b" " + forward.target + b" HTTP/1.1\r\n",
            forward.fields,
            self._client.forwarded,
            b"X-Forwarded-Host: " + request.fields.host + b"\r\n",
            forward.identity,
        ]
        if forward.prefix:
            lines.append(b"X-Forwarded-Prefix: " + forward.prefix + b"\r\n")
        if request.upgrades:
            lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def from_client(self, data: bytes) -> None:
        if self._request_done or self._body is None:
            self._client.hold(data)
            return
        try:
            out, rest = self._body.feed(data)
        except BadHead as error:
            self._refuse_body(error)
            return
        if rest is not None:
            self._request_done = True
            if rest:
                self._client.hold(rest)
        if self._connection is None:
            self._pending += out
        else:
            self._connection.transport.write(out)

    def _refuse_body(self, error: BadHead) -> None:
        """The body's framing is broken: the target must not take what it has for the whole."""
        self._drop_connection()
        self._client.work = None
        if self._response is None:
            self._client.refuse(error)
        else:
            self._client.abort()

    # -- back to the client

    def from_target(self, data: bytes) -> None:
        if self._answer is None:
            self._read_head(self._head + data if self._head else data)
            return
        try:
            out, rest = self._answer.feed(data)
        except BadHead:
            self._break_off()
            return
        if out:
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
        self._on_response(response, data[end + 4 :])

    def _on_response(self, response: Response, rest: bytes) -> None:
        if response.status == 101:
            self._upgrade(response, rest)
        elif response.status < 200:
            if self._request.minor == 1:
                self._client.write(self._status_line(response) + self._fields(response) + b"\r\n")
            if rest:
                self._read_head(rest)
        else:
            self._answer_with(response, rest)

    def _answer_with(self, response: Response, rest: bytes) -> None:
        fields = response.fields
        framing, answer = self._framing(response)
        self._response = response
        self._keep = (
            self._request.keeps_alive
            and self._request_done
            and not self._gate.stopping
            and not isinstance(answer, UnboundedBody)
        )
        head = self._status_line(response) + self._fields(response) + framing
        head += self._sticky_cookie()
        head += b"\r\n" if self._keep else b"Connection: close\r\n\r\n"
        if answer is None:
            self._client.write(head)
            self._complete(rest)
            return
        self._answer = answer
        if fields.event_stream and self._pool is not None:
            self._pool.streams.add(self)
        self._pass_first(head, answer, rest)

    def _pass_first(self, head: bytes, answer: Body, rest: bytes) -> None:
        try:
            out, after = answer.feed(rest) if rest else (b"", None)
        except BadHead:
            self._response = None
            self._fail()
            return
        self._client.transport.write(head + out)
        if after is not None:
            self._complete(after)

    def _framing(self, response: Response) -> tuple[bytes, Body | None]:
        """The header that frames the answer, and its body; None if it has none
        (RFC 9112, 6.3)."""
        fields, status = response.fields, response.status
        length = b"" if fields.length is None else b"Content-Length: %d\r\n" % fields.length
        if status == 204:
            return b"", None
        if self._request.method == b"HEAD" or status == 304:
            return length, None
        if fields.chunked:
            if self._request.minor == 0:
                return b"", ChunkedBody(plain=True)
            return b"Transfer-Encoding: chunked\r\n", ChunkedBody()
        if fields.length is None:
            return b"", UnboundedBody()
        return length, LengthBody(fields.length) if fields.length else None

    def _status_line(self, response: Response) -> bytes:
        return b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason)

    def _fields(self, response: Response) -> bytes:
        fields = response.fields
        return fields.from_app if self._forward.app else fields.from_platform

    def _sticky_cookie(self) -> bytes:
        if not self._forward.app or self._pool is None:
            return b""
        route = self._gate.door.route(self._forward.app)
        if route is None or not route.sticky:
            return b""
        value = sticky_value(self._pool.key)
        if value == self._request.fields.sticky:
            return b""
        secure = b"; Secure" if self._gate.scheme == "https" else b""
        return b"Set-Cookie: %b=%b; Path=/%b/; HttpOnly; SameSite=Lax%b\r\n" % (
            STICKY_COOKIE,
            value,
            self._forward.app.encode(),
            secure,
        )

    def _upgrade(self, response: Response, rest: bytes) -> None:
        if not self._request.upgrades or not response.fields.websocket:
            self._fail()
            return
        assert self._connection is not None
        assert self._pool is not None
        head = self._status_line(response) + self._fields(response) + self._sticky_cookie()
        self._client.write(head + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        tunnel = Tunnel(self._client, self._connection, self._pool)
        tunnel.start(rest)

    # -- the end

    def _complete(self, rest: bytes) -> None:
        """The answer is complete; bytes after it make the connection unusable."""
        connection, self._connection = self._connection, None
        assert connection is not None
        assert self._response is not None
        connection.receiver = None
        connection.resume_reading()
        reusable = not rest and self._request_done and self._response.keeps_alive
        if reusable and connection.is_open:
            connection.idle_since = self._client.loop.time()
            connection.pool.give_back(connection)
        else:
            connection.close()
        self._leave_pool()
        self._client.finished(self._keep, self._request_done)

    def target_lost(self, failed: bool) -> None:
        self._connection = None
        if isinstance(self._answer, UnboundedBody) and not failed:
            self._leave_pool()
            self._client.finished(False, self._request_done)
        elif self._response is not None:
            self._break_off()
        elif self._retry and not self._head:
            self._leave_pool()
            self._dispatch(fresh=True)
        else:
            self._fail()

    def _break_off(self) -> None:
        """The answer breaks off in the middle: the client must not take it for the whole."""
        self._drop_connection()
        self._client.work = None
        if isinstance(self._answer, UnboundedBody):
            self._client.abort()
        else:
            self._client.close()

    def _fail(self) -> None:
        name = self._forward.app or self._forward.service
        self._drop_connection()
        self._end_with(pages.broken_answer(name, self._request.fields.html))

    def _give_up(self) -> None:
        html = self._request.fields.html
        app = self._forward.app
        if not app:
            self._end_with(pages.no_service(self._forward.service, html))
            return
        route = self._gate.door.route(app)
        self._end_with(
            pages.unknown_app(app, html) if route is None else pages.no_target(route, html)
        )

    def _end_with(self, reply: Reply) -> None:
        keep = self._request.keeps_alive and self._request_done and not self._gate.stopping
        self._client.write(reply.encode(not keep, self._request.method == b"HEAD"))
        self._client.finished(keep, self._request_done)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.receiver = None
            connection.abort()
        self._leave_pool()

    def _leave_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.streams.discard(self)
            pool.end()

    def client_lost(self) -> None:
        self._drop_connection()

    def client_ended(self) -> None:
        """Half-closed: a complete request is still answered, an incomplete one never will be."""
        if not self._request_done:
            self._drop_connection()
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
        """End an event stream whose instance retires, at a whole chunk if it is at one."""
        if isinstance(self._answer, ChunkedBody) and self._answer.between:
            self._client.write(b"0\r\n\r\n")
        self._drop_connection()
        self._client.work = None
        self._client.close()

    def stop(self) -> None:
        """The gateway stops: event streams end, everything else finishes."""
        if self._response is not None and self._response.fields.event_stream:
            self.retire()


def sticky_value(instance: str) -> bytes:
    """What the sticky cookie says of an instance."""
    return hashlib.sha256(instance.encode()).hexdigest()[:16].encode()
