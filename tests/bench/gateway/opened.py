"""An open load: requests arrive when they arrive, whether the one before was answered or not."""

import gc
import random
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

CONNECTIONS = 64
_BODY = 1024


class Answered(NamedTuple):
    """When a request arrived, by the monotonic clock, and how long until its answer's last byte.

    Not from when a connection was free to send it: who stalls pays for all that arrive meanwhile.
    """

    arrived: float
    took: float


def answers(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int
) -> list[Answered]:
    """Put `rate` requests a second on a proxy; arrivals are Poisson's, the same for one seed.

    Raises AssertionError for an answer that is not a 200 with 1 KB.
    """
    client, due = _Client(port, requests), arrivals(rate, seconds, seed)
    gc.collect()
    gc.disable()  # its pauses would count as the proxy's
    try:
        return client.run(due)
    finally:
        gc.enable()
        client.close()


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    source = random.Random(seed)
    found, at = [], 0.0
    while (at := at + source.expovariate(rate)) < seconds:
        found.append(at)
    return found


class _Client:
    """select(2), because its timeouts are microseconds where those of epoll are milliseconds."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._sockets = [_connect(port) for _ in range(CONNECTIONS)]
        self._free = deque(self._sockets)
        self._busy: dict[socket.socket, float] = {}
        self._parts: dict[socket.socket, bytes] = {}
        self._answered: list[Answered] = []

    def run(self, due: Sequence[float]) -> list[Answered]:
        began, sent, waiting = time.perf_counter(), 0, deque[float]()
        while sent < len(due) or self._busy:
            now = time.perf_counter() - began
            while sent < len(due) and due[sent] <= now:
                waiting.append(due[sent])
                sent += 1
            while waiting and self._free:
                self._send(waiting.popleft())
            pause = max(0.0, due[sent] - now) if sent < len(due) else 1.0
            ready, _, _ = select.select(self._busy, (), (), pause)
            for sock in ready:
                self._receive(sock, began)
        return self._answered

    def _send(self, arrival: float) -> None:
        sock = self._free.popleft()
        self._busy[sock] = arrival
        sock.send(self._requests[len(self._answered) % len(self._requests)])

    def _receive(self, sock: socket.socket, began: float) -> None:
        data = self._parts.pop(sock, b"") + sock.recv(65_536)
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _BODY:
            assert data, "the proxy closed a connection"
            self._parts[sock] = data
            return
        arrived = began + self._busy.pop(sock)
        self._answered.append(Answered(arrived, time.perf_counter() - arrived))
        assert data.startswith(b"HTTP/1.1 200 "), data[:200]
        self._free.append(sock)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def _connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
