"""The plain port beside TLS: everything goes on to https, but for the probes."""

from gateway.arrival import Arrival
from gateway.client import ClientConnection
from gateway.gate import Gate
from gateway.pages import Reply
from gateway.requests import Request


class RedirectingConnection(ClientConnection):
    """A client that is told to come back over TLS; a proxy that we trust may say that it has.

    `authority` is where TLS is reached (`host:port`), for requests that name no host; its port
    counts for all.
    """

    __slots__ = ("_authority",)

    def __init__(self, gate: Gate, authority: str) -> None:
        super().__init__(gate, "http")
        self._authority = authority

    def _own_answer(self, request: Request, arrival: Arrival) -> Reply | None:
        return super()._own_answer(request, arrival) or self._redirect(request, arrival)

    def _redirect(self, request: Request, arrival: Arrival) -> Reply | None:
        if arrival.scheme == "https":
            return None
        where = secure_url(request, arrival.host.decode("latin-1"), self._authority)
        # 308 keeps method and body (RFC 9110, 15.4.9), so a push to the old address works.
        return Reply(308, (("Location", where), ("Cache-Control", "no-store")), b"")


def secure_url(request: Request, host: str, authority: str) -> str:
    """The address of a request on the other port. IPv6 addresses keep their brackets."""
    own, _, port = authority.rpartition(":")
    named = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    suffix = "" if port == "443" else f":{port}"
    return f"https://{named or own}{suffix}{(request.path + request.query).decode('latin-1')}"
