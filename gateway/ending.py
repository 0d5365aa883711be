"""How a worker takes leave of its clients without cutting anything that would end by itself."""

import asyncio
import fcntl
import struct
import termios
from typing import TYPE_CHECKING, NamedTuple

from gateway.gate import Gate

if TYPE_CHECKING:
    from gateway.client import ClientConnection

POLL_SECONDS = 0.05
IDLE_SECONDS = 1.0
"""How long a connection without a request is kept: what a client has sent already arrives in this
time, and is answered with `Connection: close`."""


class Patience(NamedTuple):
    """Seconds: `streams` until WebSockets and event streams are ended, `requests` until the rest
    is cut off, `idle` until connections without a request are closed."""

    streams: float
    requests: float
    idle: float = IDLE_SECONDS


async def take_leave(gate: Gate, patience: Patience, handshakes: "set[object]") -> None:
    """Return when no client is left. To be called when nothing new is accepted any more;
    `handshakes` are connections that are not clients yet."""
    loop = asyncio.get_running_loop()
    gate.stopping = True
    began = loop.time()
    told = False
    while gate.clients or handshakes:
        waited = loop.time() - began
        if waited > patience.requests:
            break
        if waited > patience.idle:
            _close_idle(gate)
        if waited >= patience.streams and not told:
            told = True
            for client in tuple(gate.clients):
                client.stop()
        await asyncio.sleep(POLL_SECONDS)
    for client in tuple(gate.clients):
        client.abort()


def _close_idle(gate: Gate) -> None:
    for client in tuple(gate.clients):
        if client.work is None and not _has_unread(client):
            client.stop()


def _has_unread(client: "ClientConnection") -> bool:
    """Has the client sent something that was not read yet?"""
    sock = client.transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    waiting = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0\0\0\0")
    return struct.unpack("i", waiting)[0] > 0
