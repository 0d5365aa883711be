"""What came of each request: counted for the metrics, written to the access log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.accesslog import AccessLog
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
        return self.traffic.of(route.app) if route else self.traffic.of("")

    def finished(self, exchange: Exchange, status: int, seconds: float, how: str) -> None:
        """A request that went on is answered, or never will be."""

    def replied(self, request: Request, arrival: Arrival, reply: Reply) -> None:
        """The gateway answered by itself."""

    def bad_request(self, peer: str, error: BadHead) -> None:
        """What came was no request to pass on."""
