"""The object store: sources travel through it, so that no two services need a shared folder."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats.js.errors
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.object_store import ObjectStore as NatsObjectStore

from shared.errors import NotFound, Unavailable
from shared.events.catalogue import OBJECT_STORE

if TYPE_CHECKING:
    from shared.bus.connection import Bus

CHUNK_BYTES = 512 * 1024


class ObjectStore:
    """Files by name, streamed both ways. All raise `Unavailable` while the bus is away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put(self, name: str, path: Path) -> None:
        """Store the file `path` as `name`, replacing what was there."""
        meta = ObjectMeta(name=name, options=ObjectMetaOptions(max_chunk_size=CHUNK_BYTES))
        with path.open("rb") as source:
            await self._try(self._store().put(name, source, meta=meta))

    async def get(self, name: str, path: Path) -> None:
        """Write the object to the file `path`, never holding it in memory. Raises `NotFound`."""
        with path.open("wb") as target:
            await self._try(self._store().get(name, writeinto=target))

    async def exists(self, name: str) -> bool:
        try:
            await self._try(self._store().get_info(name))
        except NotFound:
            return False
        return True

    async def delete(self, name: str) -> None:
        """Forget the object, if it is there."""
        try:
            await self._try(self._store().delete(name))
        except NotFound:
            return

    def _store(self) -> NatsObjectStore:
        return NatsObjectStore(name=OBJECT_STORE, stream=f"OBJ_{OBJECT_STORE}", js=self._bus.js)

    async def _try(self, operation: Awaitable[Any]) -> Any:
        from shared.bus.connection import NATS_AWAY

        try:
            return await operation
        except nats.js.errors.NotFoundError as error:
            raise NotFound("This object is not in the object store.") from error
        except (TimeoutError, *NATS_AWAY) as error:
            raise Unavailable("The object store does not answer; try again shortly.") from error
