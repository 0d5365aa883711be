"""Instances and service processes as the data path sees them: their connections and their load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.upstream import TargetConnection

MAX_IDLE_SECONDS = 3.0  # uvicorn closes its side after 5
CAUTIOUS_IDLE_SECONDS = 1.0  # gunicorn after 2
MAX_IDLE_CONNECTIONS = 256

FAILURES_TO_EJECT = 3
EJECTION_SECONDS = 2.0
MAX_EJECTION_SECONDS = 60.0


class Stream(Protocol):
    """Something that would go on for ever if nobody ended it: a WebSocket, an event stream."""

    def retire(self) -> None: ...


class Pool:
    """Connections to one instance. `load` counts requests and WebSockets under way.

    `failures` counts refused connections and broken answers since the last good answer; with the
    third, and every one after it, the instance is passed over until `ejected_until`.
    """

    __slots__ = (
        "address",
        "ejected_until",
        "failures",
        "idle",
        "key",
        "load",
        "on_idle",
        "proof",
        "streams",
    )

    def __init__(self, key: str, address: str, proof: str = "") -> None:
        self.key = key
        self.address = address
        self.proof = proof
        self.failures = 0
        self.ejected_until = 0.0
        self.idle: list[TargetConnection] = []
        self.load = 0
        self.streams: set[Stream] = set()
        self.on_idle: Callable[[], None] | None = None

    def take(self, now: float, careful: bool) -> TargetConnection | None:
        """The connection used last, if one is fresh enough; the older ones are closed.

        `careful` is for requests that cannot be sent again from their beginning.
        """
        oldest = now - (CAUTIOUS_IDLE_SECONDS if careful else MAX_IDLE_SECONDS)
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

    def failed(self, now: float) -> bool:
        """It did not answer as it should: pass it over for a while if that happens again. True
        when it is passed over from now on, and was not before."""
        self.failures += 1
        beyond = self.failures - FAILURES_TO_EJECT
        before = self.ejected_until
        if beyond >= 0:
            pause = min(MAX_EJECTION_SECONDS, EJECTION_SECONDS * 2 ** min(beyond, 10))
            self.ejected_until = now + pause
        return beyond >= 0 and before <= now

    def end(self) -> None:
        self.load -= 1
        if self.load == 0 and self.on_idle is not None:
            self.on_idle()


class Pools:
    """All pools, by instance (or process of a service)."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._turn = 0

    def of(self, key: str, address: str, proof: str = "") -> Pool:
        pool = self._pools.get(key)
        if pool is None or pool.address != address or pool.proof != proof:
            if pool is not None:
                pool.drop_older_than(float("inf"))
            pool = self._pools[key] = Pool(key, address, proof)
        return pool

    def find(self, key: str) -> Pool | None:
        return self._pools.get(key)

    def least_loaded(self, candidates: list[Pool]) -> Pool | None:
        """The pool with the least under way; equals take turns."""
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        self._turn += 1
        turn = self._turn % len(candidates)
        return min(candidates[turn:] + candidates[:turn], key=lambda pool: pool.load)

    def ejected(self, now: float) -> int:
        """How many instances are passed over at the moment."""
        return sum(pool.ejected_until > now for pool in self._pools.values())

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long, and forget pools with nothing in them."""
        for key, pool in list(self._pools.items()):
            pool.drop_older_than(now - MAX_IDLE_SECONDS)
            failing = pool.failures and pool.ejected_until > now - MAX_EJECTION_SECONDS
            if not pool.idle and not pool.load and pool.on_idle is None and not failing:
                del self._pools[key]

    async def keep_swept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            self.sweep(loop.time())
