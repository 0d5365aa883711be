"""What all connections of one gateway process share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.arrival import Trusted
from gateway.door import Door
from gateway.ledger import Ledger
from gateway.pages import Reply
from gateway.pools import Pools
from gateway.requests import RequestReader
from gateway.responses import ResponseReader
from gateway.table import Table
from gateway.turnstile import Defaults, Turnstile

if TYPE_CHECKING:
    from gateway.client import ClientConnection

RECHECK_SECONDS = 30.0
"""How often what is under way is checked against the clock alone: sign-ins end, too."""


@dataclass(frozen=True)
class Limits:
    """Bytes and seconds."""

    head: int = 64 * 1024
    held: int = 64 * 1024
    """The largest body that is waited for, and the most that is kept of pipelined requests."""
    buffer: int = 256 * 1024
    """Unsent bytes towards one side before the other side is paused."""
    head_seconds: float = 30.0
    body_seconds: float = 60.0
    """For a body that is waited for."""
    stalled_seconds: float = 60.0
    """How long a client that has its buffer full may take nothing out of it."""
    idle_seconds: float = 75.0
    linger_seconds: float = 5.0
    closing_seconds: float = 60.0
    connect_seconds: float = 5.0


@dataclass
class Gate:
    """The parts of the data path; `scheme` is how people reach this gateway."""

    table: Table
    door: Door
    pools: Pools
    ready: "Ready"
    scheme: str = "http"
    trusted: Trusted = field(default_factory=Trusted)
    turnstile: Turnstile = field(default_factory=lambda: Turnstile(Defaults()))
    ledger: Ledger = field(default_factory=Ledger)
    limits: Limits = field(default_factory=Limits)
    requests: RequestReader = field(default_factory=RequestReader)
    responses: ResponseReader = field(default_factory=ResponseReader)
    clients: "set[ClientConnection]" = field(default_factory=lambda: set())
    stopping: bool = False
    count: Callable[[], Awaitable[Reply]] | None = None
    """Makes the answer to `/-/metrics`, for all workers of this gateway."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=lambda: set())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    async def keep_deadlines(self) -> None:
        """Once a second, for ever: end what takes too long, and what access has been taken from."""
        loop = asyncio.get_running_loop()
        generation, rechecked = self.table.generation, loop.time()
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            for client in tuple(self.clients):
                client.tick(now)
            if self.table.generation != generation or now - rechecked > RECHECK_SECONDS:
                generation, rechecked = self.table.generation, now
                for client in tuple(self.clients):
                    client.recheck()

    async def stop(self, seconds: float) -> None:
        """Let what is under way finish, for so many seconds; WebSockets are closed at once."""
        self.stopping = True
        for client in tuple(self.clients):
            client.stop()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.clients and loop.time() < end:
            await asyncio.sleep(0.02)
        for client in tuple(self.clients):
            client.abort()


@dataclass
class Ready:
    """Whether this gateway knows where to send anything: from the disk or from the bus."""

    table: bool = False
