"""What a held push waits for: lines of progress, and word that its row has changed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from services.git_ingest.store import CHANNEL
from shared.bus import Bus
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

MOST_LINES = 500
POLL_SECONDS = 1.0


class News:
    """The news of one push. Keeps the newest lines only, when the pusher reads too slowly."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._event = asyncio.Event()
        self.changed = True
        """True when the push's row is to be read again."""

    def tell(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) > MOST_LINES:
            self._lines.popleft()
            self._dropped += 1
        self._event.set()

    def wake(self) -> None:
        self.changed = True
        self._event.set()

    def take(self) -> list[str]:
        """The lines since the last call."""
        lines = [f"({self._dropped} lines left out)"] if self._dropped else []
        lines.extend(self._lines)
        self._lines.clear()
        self._dropped = 0
        return lines

    async def wait(self, seconds: float = POLL_SECONDS) -> None:
        """Return on any news, or after `seconds` so that a lost notification costs no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        if not self._event.is_set():
            self.changed = True
        self._event.clear()


class NewsDesk:
    """Hands out the news of each push that this process holds."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._open: dict[str, News] = {}

    async def listen(self) -> None:
        """Hear of changes that other processes make."""
        await self._database.listen(CHANNEL, self._hear)

    def wake_all(self) -> None:
        for news in self._open.values():
            news.wake()

    @asynccontextmanager
    async def of(self, deploy_id: str) -> AsyncIterator[News]:
        """The news of one push from now on. Raises `Unavailable` while the bus is away."""
        news = News()
        try:
            unsubscribe = await self._bus.on_progress(deploy_id, news.tell)
        except Exception as error:
            raise Unavailable(
                "The platform's message bus does not answer; push again in a minute."
            ) from error
        self._open[deploy_id] = news
        try:
            yield news
        finally:
            del self._open[deploy_id]
            with suppress(Exception):  # a bus that is away has forgotten the subscription
                await unsubscribe()

    def _hear(self, deploy_id: str) -> None:
        """An id wakes its holder; "" wakes all: an older push ended, or notices may be lost."""
        if not deploy_id:
            self.wake_all()
        elif news := self._open.get(deploy_id):
            news.wake()
