"""Key-value buckets: last known values that a reader may watch for ever.

A bucket is a JetStream stream with the subjects `$KV.<bucket>.<key>` (NATS ADR-8). A watch tells a
reader every value and every deletion; it never says that a key is gone because it hears nothing
of it, so a bucket that was lost empties no table.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import nats.js.errors
import orjson
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, ReplayPolicy

from shared.errors import Unavailable
from shared.logs import get_logger

if TYPE_CHECKING:
    from shared.bus.connection import Bus

logger = get_logger(__name__)

HEARTBEAT_SECONDS = 5.0
LISTING_SECONDS = 30.0
SILENCE_SECONDS = 12.0
"""A watch that hears neither a value nor a heartbeat for so long begins again."""

OnChange = Callable[[str, dict[str, Any] | None], None]


class Bucket:
    """One bucket, seen through this process's permissions."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self.name = name
        self._stream = f"KV_{name}"

    async def get(self, key: str) -> dict[str, Any] | None:
        """The value of `key`, None when there is none. Raises `Unavailable`."""
        try:
            message = await self._bus.js.get_msg(
                self._stream, subject=self._subject(key), direct=True
            )
        except nats.js.errors.NotFoundError:
            return None
        except _away() as error:
            raise _unavailable(self.name) from error
        return None if _is_marker(message.headers) else orjson.loads(message.data or b"null")

    async def put(self, key: str, value: dict[str, Any], ttl: float | None = None) -> None:
        """Set `key`; after `ttl` seconds it is deleted by itself. Raises `Unavailable`."""
        await self._publish(key, orjson.dumps(value), None, ttl)

    async def delete(self, key: str) -> None:
        """Delete `key`; watchers are told. Raises `Unavailable`."""
        await self._publish(key, b"", {"KV-Operation": "DEL"}, None)

    async def keys(self) -> list[str]:
        """All keys that have a value. Raises `Unavailable`."""
        return list(await self.items())

    async def items(self) -> dict[str, dict[str, Any]]:
        """All values by key. Raises `Unavailable`."""
        found: dict[str, dict[str, Any]] = {}

        def take(key: str, value: dict[str, Any] | None) -> None:
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value

        try:
            async with asyncio.timeout(LISTING_SECONDS):
                await self._follow(take, asyncio.Event(), once=True)
        except _away() as error:
            await self._bus.ensure_topology()
            raise _unavailable(self.name) from error
        return found

    async def watch(self, on_change: OnChange, on_synced: Callable[[], None] | None = None) -> None:
        """Tell every value there is, then every change, for ever.

        `on_change(key, value)` gets None for a deletion. `on_synced()` is called each time the
        watch has caught up after (re)connecting. A value may be told more than once.
        """
        while True:
            synced = asyncio.Event()
            waiter = asyncio.create_task(_when(synced, on_synced))
            try:
                await self._follow(on_change, synced)
            except (*_away(), Unavailable) as error:
                logger.info("watch begins again", extra={"bucket": self.name, "cause": repr(error)})
                with contextlib.suppress(Unavailable):
                    await self._bus.ensure_topology()
                await asyncio.sleep(0.25)
            finally:
                waiter.cancel()

    async def _follow(self, on_change: OnChange, synced: asyncio.Event, once: bool = False) -> None:
        """One life of a watch, on an ephemeral consumer of the last value of each key."""
        inbox = self._bus.client.new_inbox()
        heard: asyncio.Queue[Msg | None] = asyncio.Queue()

        async def hear(message: Msg) -> None:
            heard.put_nowait(message)

        self._bus.on_reconnect(restart := lambda: heard.put_nowait(None))
        subscription = await self._bus.client.subscribe(inbox, cb=hear)
        try:
            info = await self._bus.js.add_consumer(
                self._stream,
                ConsumerConfig(
                    deliver_subject=inbox,
                    deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                    filter_subject=f"$KV.{self.name}.>",
                    ack_policy=AckPolicy.NONE,
                    replay_policy=ReplayPolicy.INSTANT,
                    idle_heartbeat=HEARTBEAT_SECONDS,
                    flow_control=True,
                    inactive_threshold=30,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
            if not info.num_pending and not (info.delivered and info.delivered.consumer_seq):
                synced.set()
            await self._drink(heard, on_change, synced, once)
        finally:
            self._bus.off_reconnect(restart)
            with contextlib.suppress(*_away()):
                await subscription.unsubscribe()

    async def _drink(
        self,
        heard: asyncio.Queue[Msg | None],
        on_change: OnChange,
        synced: asyncio.Event,
        once: bool,
    ) -> None:
        expected = 1
        while not (once and synced.is_set()):
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await heard.get()
            if message is None:
                raise ConnectionResetError("the bus connection was lost and is back")
            if message.headers and message.headers.get("Status"):
                if message.reply:  # flow control: the server waits for this answer
                    await message.respond(b"")
                continue
            if message.metadata.sequence.consumer != expected:
                raise ConnectionResetError("a message of the watch was missed")
            expected += 1
            gone = _is_marker(message.headers)
            on_change(self._key(message.subject), None if gone else orjson.loads(message.data))
            if message.metadata.num_pending == 0:
                synced.set()

    async def _publish(
        self, key: str, payload: bytes, headers: dict[str, str] | None, ttl: float | None
    ) -> None:
        try:
            await self._bus.js.publish(self._subject(key), payload, headers=headers, msg_ttl=ttl)
        except nats.js.errors.NoStreamResponseError as error:
            await self._bus.ensure_topology()
            raise _unavailable(self.name) from error
        except _away() as error:
            raise _unavailable(self.name) from error

    def _subject(self, key: str) -> str:
        # Any text may be a key; the encoding keeps it one token of a NATS subject.
        return f"$KV.{self.name}.{base64.urlsafe_b64encode(key.encode()).decode()}"

    def _key(self, subject: str) -> str:
        return base64.urlsafe_b64decode(subject.rpartition(".")[2].encode()).decode()


def _is_marker(headers: dict[str, str] | None) -> bool:
    """True for a deletion, a purge, or the server's own note that a key expired."""
    return bool(headers) and ("KV-Operation" in headers or "Nats-Marker-Reason" in headers)


async def _when(event: asyncio.Event, callback: Callable[[], None] | None) -> None:
    await event.wait()
    if callback:
        callback()


def _away() -> tuple[type[BaseException], ...]:
    from shared.bus.connection import NATS_AWAY

    return NATS_AWAY


def _unavailable(name: str) -> Unavailable:
    return Unavailable(f"The platform's bus does not answer for '{name}'; try again shortly.")
