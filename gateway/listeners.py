"""Where clients come in: plain, over TLS, or plain only to be led to TLS."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from gateway.client import ClientConnection
from gateway.gate import Gate
from gateway.redirect import RedirectingConnection
from gateway.settings import GatewaySettings
from gateway.sockets import BACKLOG
from gateway.tls import Certificates

HANDSHAKE_SECONDS = 10.0
SHUTDOWN_SECONDS = 5.0
"""How long a client may take to answer our close_notify (RFC 8446, 6.1)."""


class SecureConnection(ClientConnection):
    """A client over TLS; it counts as one when its handshake is done."""

    __slots__ = ("_listeners",)

    def __init__(self, gate: Gate, listeners: "Listeners") -> None:
        super().__init__(gate, "https")
        self._listeners = listeners
        listeners.shaking_hands(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._listeners.shook_hands(self)
        self.secure_lines = self._listeners.lines_over(transport)
        super().connection_made(transport)


class Listeners:
    """Those of one worker."""

    def __init__(
        self, settings: GatewaySettings, gate: Gate, certificates: Certificates | None
    ) -> None:
        self._gate = gate
        self._certificates = certificates
        self._authority = settings.tls_authority
        seconds = settings.hsts_seconds
        self._hsts = f"Strict-Transport-Security: max-age={seconds}\r\n".encode()
        self._servers: list[asyncio.Server] = []
        self.handshakes: dict[object, asyncio.TimerHandle] = {}
        """Connections that are no clients yet, each until it is one or has had its time."""
        if not seconds:
            self._hsts = b""

    async def open(self, listening: Mapping[str, list[socket.socket]]) -> None:
        """Begin to accept from these sockets, by what is spoken there."""
        loop = asyncio.get_running_loop()
        for one in listening.get("http", ()):
            made = self._plain
            self._servers.append(await loop.create_server(made, sock=one, backlog=BACKLOG))
        for one in listening.get("https", ()):
            if self._certificates is None:
                raise ValueError("there is a socket for TLS and no certificate")
            server = await loop.create_server(
                lambda: SecureConnection(self._gate, self),
                sock=one,
                backlog=BACKLOG,
                ssl=self._certificates.front,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
            self._servers.append(server)

    def close(self) -> None:
        """Accept no more. What waits in the sockets' queues is for others who have them."""
        for server in self._servers:
            server.close()

    @property
    def ports(self) -> list[int]:
        return [one.getsockname()[1] for server in self._servers for one in server.sockets]

    @property
    def duties(self) -> list[Callable[[], Awaitable[None]]]:
        return [self._certificates.keep_fresh] if self._certificates else []

    def _plain(self) -> ClientConnection:
        if self._certificates is None:
            return ClientConnection(self._gate)
        return RedirectingConnection(self._gate, self._authority)

    def shaking_hands(self, connection: SecureConnection) -> None:
        timer = connection.loop.call_later(HANDSHAKE_SECONDS, self.handshakes.pop, connection, None)
        self.handshakes[connection] = timer

    def shook_hands(self, connection: SecureConnection) -> None:
        timer = self.handshakes.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def lines_over(self, transport: asyncio.BaseTransport) -> bytes:
        """What is added to answers: browsers shall insist on TLS, unless they could not."""
        context = transport.get_extra_info("ssl_object").context
        certificates = cast(Certificates, self._certificates)
        return self._hsts if certificates.vouched(context) else b""
