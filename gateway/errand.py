"""A request that the gateway answers by itself and that takes a moment: `/-/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import pages
from gateway.gate import Gate
from gateway.pages import Reply
from gateway.requests import Request

if TYPE_CHECKING:
    from gateway.client import ClientConnection


class Errand:
    """Such a request under way; what follows it on the connection is kept."""

    __slots__ = ("_client", "_request")

    def __init__(self, client: ClientConnection, request: Request, rest: bytes) -> None:
        self._client = client
        self._request = request
        if rest:
            client.hold(rest)

    async def run(self, gate: Gate) -> None:
        """Find the answer and send it, if the client is still there."""
        html = self._request.fields.html
        reply: Reply | None = None
        try:
            reply = await gate.count() if gate.count else None
        finally:
            self._answer(reply or pages.no_service("gateway", html), gate)

    def _answer(self, reply: Reply, gate: Gate) -> None:
        if self._client.work is not self:
            return
        request = self._request
        keep = request.keeps_alive and not request.has_body and not gate.stopping
        self._client.send(reply, keep, request.method == b"HEAD")
        self._client.finished(keep, not request.has_body)

    def from_client(self, data: bytes) -> None:
        if not self._request.has_body:
            self._client.hold(data)

    def client_lost(self) -> None:
        """Nothing is held open elsewhere."""

    def client_full(self, full: bool) -> None:
        """One answer fits into the buffer."""

    def client_ended(self) -> None:
        """It may still be reading."""

    def tick(self, now: float) -> None:
        """It ends by itself: whom it asks, it asks with a deadline."""

    def recheck(self) -> None:
        """It is over before that matters."""

    def stop(self) -> None:
        """It is over soon."""
