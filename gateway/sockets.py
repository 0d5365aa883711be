"""Listening sockets: made once, shared by those who accept from them, kept over restarts."""

import os
import socket
from collections.abc import Iterable

BACKLOG = 2048
KEEPALIVE_SECONDS = 60


def listening_socket(bind: str, port: int) -> socket.socket:
    """A socket that others may share (SO_REUSEPORT) and that notices clients that are gone; it has
    its address and does not listen yet. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((bind, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def enough(bind: str, port: int, count: int, found: Iterable[socket.socket]) -> list[socket.socket]:
    """At least `count` listening sockets of an address: first those of `found` that have it.

    Connections wait in the queue of one socket each, so none that is found is left out, even when
    there are more than asked for. Each counts once, in however many hands it was found.
    """
    fresh = listening_socket(bind, port)
    address = fresh.getsockname()
    kept = {os.fstat(one.fileno()).st_ino: one for one in found if one.getsockname() == address}
    listening = list(kept.values())
    while len(listening) < count:
        fresh.listen(BACKLOG)
        listening.append(fresh)
        fresh = listening_socket(bind, port)
    fresh.close()
    return listening
