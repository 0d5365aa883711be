"""Instances and service processes as the data path sees them: their connections and their load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.upstream import TargetConnection

MAX_IDLE_SECONDS = 3.0  # uvicorn closes its side after 5
CAUTIOUS_IDLE_SECONDS = 1.0  # gunicorn after 2
MAX_IDLE_CONNECTIONS = 256


class Stream(Protocol):
    """Something that would go on for ever if nobody ended it: a WebSocket, an event stream."""

    def retire(self) -> None: ...


class Pool:
    """Connections to one instance. `load` counts requests and WebSockets under way."""

    __slots__ = ("address", "idle", "key", "load", "on_idle", "streams")

    def __init__(self, key: str, address: str) -> None:
        self.key = key
        self.address = address
        self.idle: list[TargetConnection] = []
        self.load = 0
        self.streams: set[Stream] = set()
        self.on_idle: Callable[[], None] | None = None

    def take(self, now: float, cautious: bool) -> TargetConnection | None:
        """The connection used last, if one is fresh enough; the older ones are closed.

        `cautious` is for requests that must not be sent twice.
        """
        oldest = now - (CAUTIOUS_IDLE_SECONDS if cautious else MAX_IDLE_SECONDS)
        while self.idle:
            connection = self.idle.pop()
            if connection.is_open:
                if connection.idle_since >= oldest:
                    return connection
                connection.close()
        return None

    def give_back(self, connection: TargetConnection) -> None:
        if self.on_idle is not None or len(self.idle) >= MAX_IDLE_CONNECTIONS:
            connection.close()
        else:
            self.idle.append(connection)

    def forget(self, connection: TargetConnection) -> None:
        """A connection that closed while it was idle."""
        if connection in self.idle:
            self.idle.remove(connection)

    def drop_older_than(self, oldest: float) -> None:
        for connection in [idle for idle in self.idle if idle.idle_since < oldest]:
            self.idle.remove(connection)
            connection.close()

    def begin(self) -> None:
        self.load += 1

    def end(self) -> None:
        self.load -= 1
        if self.load == 0 and self.on_idle is not None:
            self.on_idle()


class Pools:
    """All pools, by instance (or process of a service)."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._turn = 0

    def of(self, key: str, address: str) -> Pool:
        pool = self._pools.get(key)
        if pool is None or pool.address != address:
            if pool is not None:
                pool.drop_older_than(float("inf"))
            pool = self._pools[key] = Pool(key, address)
        return pool

    def find(self, key: str) -> Pool | None:
        return self._pools.get(key)

    def least_loaded(self, pools: Iterable[Pool]) -> Pool | None:
        """The pool with the least under way; equals take turns."""
        candidates = list(pools)
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        self._turn += 1
        turn = self._turn % len(candidates)
        return min(candidates[turn:] + candidates[:turn], key=lambda pool: pool.load)

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long, and forget pools with nothing in them."""
        for key, pool in list(self._pools.items()):
            pool.drop_older_than(now - MAX_IDLE_SECONDS)
            if not pool.idle and not pool.load and pool.on_idle is None:
                del self._pools[key]

    async def keep_swept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            self.sweep(loop.time())
