"""What came of each request: counted for the metrics, written to the access log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.accesslog import AccessLog, whence
from gateway.traffic import AppTraffic, Traffic

if TYPE_CHECKING:
    from gateway.arrival import Arrival
    from gateway.door import Forward
    from gateway.exchange import Exchange
    from gateway.fields import BadHead
    from gateway.pages import Reply
    from gateway.requests import Request


class Ledger:
    """Counts always; writes the log if there is one."""

    def __init__(self, traffic: Traffic | None = None, log: AccessLog | None = None) -> None:
        self.traffic = traffic or Traffic()
        self.log = log

    def tally(self, forward: Forward) -> AppTraffic:
        """Where a request that goes on is counted."""
        route = forward.route
        if route is None:
            return self.traffic.of_service(forward.service)
        return self.traffic.of(route.app)

    def finished(self, exchange: Exchange, status: int, seconds: float, how: str) -> None:
        """A request that went on is answered, or never will be."""
        if self.log is None:
            return
        request, target = exchange.request, exchange.target
        logged = exchange.way.logged
        self.log.note(
            time.time(),
            logged.get(target) or logged.setdefault(target, _whence(exchange)),
            request.path,
            request.minor,
            status,
            exchange.received,
            exchange.sent,
            seconds,
            exchange.trace,
            how,
        )

    def replied(self, request: Request, arrival: Arrival, app: str, reply: Reply) -> None:
        """The gateway answered by itself; `app` is the one that it was for, if there is one."""
        self.traffic.replied(reply.status)
        self._note(
            client=arrival.address,
            app=app,
            method=request.method,
            path=request.path,
            minor=request.minor,
            status=reply.status,
            trace=request.fields.trace or b"",
        )

    def bad_request(self, peer: str, error: BadHead) -> None:
        """What came was no request to pass on."""
        self.traffic.bad_requests += 1
        self._note(client=peer, status=error.status)

    def _note(
        self,
        *,
        client: str,
        status: int,
        app: str = "",
        method: bytes = b"",
        path: bytes = b"",
        minor: int = 1,
        trace: bytes = b"",
    ) -> None:
        if self.log is None:
            return
        self.log.note(
            at=time.time(),
            whence=whence(client, app=app, method=method.decode("latin-1")),
            path=path,
            minor=minor,
            status=status,
            received=0,
            sent=0,
            seconds=0.0,
            trace=trace,
            how="refused",
        )


def _whence(exchange: Exchange) -> bytes:
    way = exchange.way
    forward = way.forward
    return whence(
        client=way.arrival.address,
        user=forward.user,
        app="" if forward.route is None else forward.route.app,
        service=forward.service,
        target=exchange.target,
        method=way.method.decode("latin-1"),
    )
