"""One process's connection to NATS, and everything that goes over it."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from shared.bus import calls, topology
from shared.bus.buckets import Bucket
from shared.bus.dead_letters import DeadLetters
from shared.bus.objects import ObjectStore
from shared.bus.server_check import check_server
from shared.database.outbox import subject_of
from shared.errors import Unavailable
from shared.events import Event
from shared.logs import get_logger
from shared.settings import Settings

logger = get_logger(__name__)

RECONNECT_SECONDS = 0.25
PUBLISH_TIMEOUT_SECONDS = 5.0


class Bus:
    """Events, buckets, objects, calls and progress, over one connection that heals by itself."""

    def __init__(self, name: str, replicas: int = 1) -> None:
        self.name = name
        self._replicas = replicas
        self._client = Client()
        self._js: JetStreamContext | None = None
        self._reconnected: set[Callable[[], None]] = set()

    @classmethod
    async def connect_forever(cls, settings: Settings, name: str) -> "Bus":
        """A connected bus, waiting for the server as long as it takes.

        Raises `UnsuitableServer` when it is too old or does not sync every write.
        """
        said = 0.0
        while True:
            bus = cls(name, settings.nats_replicas)
            try:
                await bus.connect(settings)
                return bus
            except NATS_AWAY as error:
                await bus.abandon()
                if time.monotonic() - said > 10:
                    said = time.monotonic()
                    logger.warning("waiting for NATS", extra={"cause": repr(error)})
                await asyncio.sleep(RECONNECT_SECONDS)

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def js(self) -> JetStreamContext:
        if self._js is None:
            raise Unavailable("The platform's bus is not connected yet; try again in a moment.")
        return self._js

    @property
    def client(self) -> Client:
        return self._client

    async def connect(self, settings: Settings) -> None:
        """Connect and make sure of the server, its settings and its streams."""
        seed = settings.nats_seed_file.read_text().strip()
        await self._client.connect(
            servers=settings.nats_url.split(","),
            tls=_tls(settings),
            nkeys_seed_str=seed,
            name=f"{self.name}/{settings.instance}",
            inbox_prefix=f"_INBOX_{self.name}",
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_SECONDS,  # pyright: ignore[reportArgumentType]
            connect_timeout=3,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
        )
        self._js = self._client.jetstream(timeout=PUBLISH_TIMEOUT_SECONDS)
        await check_server(self._client)
        await self._ensure_streams()

    async def close(self) -> None:
        """Send what is buffered and part."""
        if self._client.is_connected:
            await asyncio.wait_for(self._client.drain(), timeout=5)
        else:
            await self._client.close()

    async def abandon(self) -> None:
        """Part without sending anything, from a server that cannot be used yet."""
        # A client that never began to connect asserts that it did.
        with contextlib.suppress(*NATS_AWAY, AssertionError):
            await self._client.close()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnected.add(callback)

    def off_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnected.discard(callback)

    async def publish(self, event: Event) -> None:
        """Publish and wait until JetStream has stored it. Raises `Unavailable`.

        Only for who has no outbox: an event published here is lost if the process dies before.
        """
        await self.publish_raw(subject_of(event), event.to_bytes(), event.id)

    async def publish_raw(self, subject: str, payload: bytes, message_id: str) -> None:
        try:
            await self.js.publish(subject, payload, headers={"Nats-Msg-Id": message_id})
        except nats.js.errors.NoStreamResponseError as error:
            await self._ensure_streams()
            raise Unavailable("The event stream was missing and has been made again.") from error
        except NATS_AWAY as error:
            raise Unavailable("The platform's bus does not answer; try again shortly.") from error

    async def request(
        self, call: str, payload: dict[str, Any], timeout: float = 5.0
    ) -> dict[str, Any]:
        """Ask another service and wait. Raises the error that it answers, or `Unavailable`."""
        return await calls.ask(self._client, call, payload, timeout)

    async def answer(self, call: str, handler: calls.Answerer) -> None:
        """Answer `call` from now on, sharing the work with others of this service."""
        await calls.answer(self._client, call, self.name, handler)

    async def emit_progress(self, deploy_id: str, line: str) -> None:
        """Tell whoever waits for this deploy; lost when nobody does or the bus is away."""
        if self._client.is_connected:
            await self._client.publish(f"progress.{deploy_id}", line.encode())

    async def on_progress(
        self, deploy_id: str, callback: Callable[[str], None]
    ) -> Callable[[], Awaitable[None]]:
        """Call back with each line of a deploy; the coroutine function returned ends it.

        Raises `Unavailable` while the bus is away.
        """

        async def hear(message: Msg) -> None:
            callback(message.data.decode(errors="replace"))

        try:
            subscription = await self._client.subscribe(f"progress.{deploy_id}", cb=hear)
            # A flush alone is no barrier: it may overtake the buffered subscription.
            for _ in range(2):
                await self._client.flush()
        except NATS_AWAY as error:
            raise Unavailable("The platform's bus does not answer; try again shortly.") from error
        return subscription.unsubscribe

    def bucket(self, name: str) -> Bucket:
        return Bucket(self, name)

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore(self)

    @property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(self)

    async def events_created_at(self) -> str:
        """When the stream of events was made: tells a lost and re-made one from the one before."""
        try:
            info = await self.js.stream_info(topology.EVENTS)
        except nats.js.errors.NotFoundError:
            await self._ensure_streams()
            info = await self.js.stream_info(topology.EVENTS)
        return str(info.created)

    async def _ensure_streams(self) -> None:
        await topology.ensure_streams(self.js, self._replicas)

    async def ensure_topology(self) -> None:
        """Make again whatever stream is missing. Raises `Unavailable` while the bus is away."""
        try:
            await self._ensure_streams()
        except NATS_AWAY as error:
            raise Unavailable("The platform's bus does not answer; try again shortly.") from error

    async def _on_error(self, error: Exception) -> None:
        # A refused permission shows nowhere else: the call itself merely times out.
        away = isinstance(error, (OSError, nats.errors.Error))
        refused = "permissions violation" in str(error).lower()
        level = logging.ERROR if refused or not away else logging.DEBUG
        logger.log(level, "bus error", extra={"cause": repr(error)})

    async def _on_disconnected(self) -> None:
        logger.warning("bus disconnected")

    async def _on_reconnected(self) -> None:
        logger.info("bus reconnected")
        for callback in tuple(self._reconnected):
            callback()


NATS_AWAY = (nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError, OSError)
"""What the client raises when the server is away or refuses."""


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.nats_ca_file is None:
        return None
    return ssl.create_default_context(cafile=str(settings.nats_ca_file))
