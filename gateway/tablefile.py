"""The table on disk, so that a gateway that starts without NATS serves what it last knew."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from gateway.table import Table
from shared.logs import get_logger

logger = get_logger(__name__)

DEBOUNCE_SECONDS = 0.2
BUCKETS = (
    "routes",
    "access",
    "people",
    "tokens",
    "ended-sessions",
    "signing-keys",
    "targets",
)


def dump(table: Table) -> bytes:
    """The whole table as JSON: bucket -> key -> document."""
    return orjson.dumps(
        {
            "routes": {key.decode(): route for key, route in table.routes.items()},
            "access": table.access,
            "people": table.people,
            "tokens": table.tokens,
            "ended-sessions": {sid: {"ends": ends} for sid, ends in table.ended.items()},
            "signing-keys": table.keys,
            "targets": {
                key: process
                for processes in table.services.values()
                for key, process in processes.items()
            },
        },
        default=list,
    )


def load(table: Table, path: Path) -> None:
    """Fill `table` from `path`; what cannot be read is left out and logged."""
    try:
        buckets: dict[str, dict[str, Any]] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        logger.error("table on disk is unreadable", extra={"path": path, "cause": repr(error)})
        return
    for bucket in BUCKETS:
        for key, document in buckets.get(bucket, {}).items():
            _take(table, bucket, key, document)


def _take(table: Table, bucket: str, key: str, document: Any) -> None:
    try:
        table.set(bucket, key, document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.error(
            "entry of the table on disk is unreadable",
            extra={"bucket": bucket, "key": key, "cause": repr(error)},
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path`, readable by the owner alone, so that a crash leaves the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


class TableFile:
    """Writes the table a moment after it changed, at most once in that time."""

    def __init__(self, path: Path, content: Callable[[], bytes]) -> None:
        self._path = path
        self._content = content
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def keep(self) -> None:
        """Write whenever something changed, for ever; a full disk is logged and tried again."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(DEBOUNCE_SECONDS)
            self._changed.clear()
            await self.write()

    async def write(self) -> None:
        content = self._content()
        try:
            await asyncio.to_thread(write_atomically, self._path, content)
        except OSError as error:
            logger.error("cannot write the table", extra={"cause": repr(error)})
            self._changed.set()
            await asyncio.sleep(1)
