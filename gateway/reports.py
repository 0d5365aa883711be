"""What the gateway tells the scheduler: revisions it follows, instances it has drained.

Nothing waits for these to be sent. What could not be sent is sent when the bus is back; a drained
instance is told again and again for as long as its route lists it, since the listener may have
lost what was told before. Both facts may be told any number of times.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from shared.errors import Unavailable
from shared.events.catalogue import EventData, InstanceDrained, RouteApplied

REPEAT_SECONDS = 5.0

Publish = Callable[[EventData], Awaitable[None]]


class Reports:
    """Facts to be told, the newest of each kind: revisions, by what they are about."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._applied: dict[str, int] = {}
        self._drained: dict[tuple[str, str], int] = {}
        self._news = asyncio.Event()

    def applied(self, app: str, revision: int) -> None:
        """Traffic of `app` goes as `revision` says."""
        self._applied[app] = revision
        self._news.set()

    def drained(self, app: str, instance: str, revision: int) -> None:
        """Nothing is under way to `instance`, and nothing more will be sent there."""
        self._drained[app, instance] = revision
        self._news.set()

    def keep_only(self, app: str, retiring: Iterable[str]) -> None:
        """Stop repeating instances that the route does not list any more."""
        listed = set(retiring)
        for key in [key for key in self._drained if key[0] == app and key[1] not in listed]:
            del self._drained[key]

    def forget(self, app: str) -> None:
        self._applied.pop(app, None)
        self.keep_only(app, ())

    async def send(self, publish: Publish, repeat: float = REPEAT_SECONDS) -> None:
        """Tell everything through `publish`, at once when there is news and every few seconds."""
        while True:
            self._news.clear()
            try:
                await self._send_all(publish)
            except Unavailable:
                await asyncio.sleep(min(1.0, repeat))
                continue
            try:
                async with asyncio.timeout(repeat):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _send_all(self, publish: Publish) -> None:
        gateway = self._gateway
        for app, revision in list(self._applied.items()):
            await publish(RouteApplied(app=app, revision=revision, gateway=gateway))
            if self._applied.get(app) == revision:
                del self._applied[app]
        for (app, instance), revision in list(self._drained.items()):
            if (app, instance) in self._drained:
                await publish(
                    InstanceDrained(app=app, instance=instance, revision=revision, gateway=gateway)
                )
