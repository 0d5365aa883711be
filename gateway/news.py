"""What the buckets tell, taken into the table."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from gateway.drain import Drains
from gateway.gate import Ready
from gateway.ownkey import OwnKey
from gateway.table import Table
from gateway.tablefile import BUCKETS, TableFile, load, write_atomically
from shared.bus import Bus
from shared.logs import get_logger

logger = get_logger(__name__)

KEY_BUCKET = "gateway-keys"
KEY_NAME = "identity"


class News:
    """Takes one document after the other; none of them can stop it."""

    def __init__(
        self,
        table: Table,
        drains: Drains,
        file: TableFile,
        key: OwnKey,
        key_path: Path,
        ready: Ready,
        on_removed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._table = table
        self._drains = drains
        self._file = file
        self._key = key
        self._key_path = key_path
        self._ready = ready
        self._on_removed = on_removed
        self._told: set[str] = set()
        self._synced: set[str] = set()

    async def follow(self, bus: Bus) -> None:
        """Watch all buckets, for ever."""
        async with asyncio.TaskGroup() as group:
            for bucket in (*BUCKETS, KEY_BUCKET):
                group.create_task(self._follow(bus, bucket))

    async def _follow(self, bus: Bus, bucket: str) -> None:
        await bus.bucket(bucket).watch(
            lambda key, document: self.heard(bucket, key, document),
            lambda: self.synced(bucket),
        )

    def heard(self, bucket: str, key: str, document: dict[str, Any] | None) -> None:
        """One document, None for a deletion. What cannot be read changes nothing."""
        try:
            if bucket == KEY_BUCKET:
                self._take_key(key, document)
            elif document is None:
                self._delete(bucket, key)
            else:
                self._set(bucket, key, document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.error(
                "a document cannot be read; the one before it stays",
                extra={"bucket": bucket, "key": key, "cause": repr(error)},
            )

    def synced(self, bucket: str) -> None:
        """The bucket has told all it has."""
        self._synced.add(bucket)
        if self._synced.issuperset(BUCKETS):
            self._ready.table = True

    def _set(self, bucket: str, key: str, document: dict[str, Any]) -> None:
        changed = self._table.set(bucket, key, document)
        if changed:
            self._file.changed()
        if bucket == "routes":
            route = self._table.routes[key.encode()]
            # Told again after a reconnection: only what somebody waits for is reported again.
            if changed or route.retiring or key not in self._told:
                self._told.add(key)
                self._drains.apply(route)

    def _delete(self, bucket: str, key: str) -> None:
        self._table.delete(bucket, key)
        self._file.changed()
        if bucket == "routes":
            self._told.discard(key)
            self._drains.removed(key)
            self._on_removed(key)

    def _take_key(self, key: str, document: dict[str, Any] | None) -> None:
        if key != KEY_NAME or document is None:
            return
        self._key.use(document)
        self._table.generation += 1
        self._table.version += 1
        content = orjson.dumps(document)
        try:
            if not self._key_path.exists() or self._key_path.read_bytes() != content:
                write_atomically(self._key_path, content)
        except OSError as error:
            logger.error("cannot keep the identity key", extra={"cause": repr(error)})


def remember(table: Table, key: OwnKey, folder: Path) -> None:
    """Start with what was known when the gateway last ran."""
    load(table, table_path(folder))
    try:
        key.use(orjson.loads(key_path(folder).read_bytes()))
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.error("identity key on disk is unreadable", extra={"cause": repr(error)})


def table_path(folder: Path) -> Path:
    return folder / "table.json"


def key_path(folder: Path) -> Path:
    return folder / "identity-key.json"
