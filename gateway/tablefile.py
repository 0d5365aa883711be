"""The table on disk, so that a gateway that starts without NATS serves what it last knew."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from gateway.beside import beside
from gateway.table import Table
from shared.logs import get_logger

logger = get_logger(__name__)

DEBOUNCE_SECONDS = 0.2
AT_ONCE = 500
"""Entries that are put into form between two looks at the traffic; some 0.5 ms."""
BUCKETS = (
    "routes",
    "access",
    "people",
    "tokens",
    "ended-sessions",
    "signing-keys",
    "targets",
)


def dump(table: Table) -> Iterator[bytes]:
    """The whole table as JSON, bucket -> key -> document, in pieces of at most `AT_ONCE` entries.

    The table may change between two pieces; then it is written again soon after.
    """
    begin = b"{"
    for bucket, entries in _entries(table):
        yield begin + orjson.dumps(bucket) + b":{"
        begin, between = b"},", b""
        for start in range(0, len(entries), AT_ONCE):
            piece = orjson.dumps(dict(entries[start : start + AT_ONCE]), default=list)
            yield between + piece[1:-1]
            between = b","
    yield b"}}"


def _entries(table: Table) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Each bucket with what is in it now."""
    yield "routes", [(route.app, route) for route in table.routes.values()]
    yield "access", list(table.access.items())
    yield "people", list(table.people.items())
    yield "tokens", list(table.tokens.items())
    yield "ended-sessions", [(sid, {"ends": ends}) for sid, ends in table.ended.items()]
    yield "signing-keys", list(table.keys.items())
    known = table.services.values()
    yield "targets", [item for processes in known for item in processes.items()]


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
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is complete and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


class TableFile:
    """Writes the table a moment after it changed, at most once in that time."""

    def __init__(self, path: Path, content: Callable[[], Iterable[bytes]]) -> None:
        self._path = path
        self._content = content
        self._changed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

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
        """Write it now. Nobody waits for all of it: traffic goes on between two pieces."""
        async with self._one_at_a_time:
            pieces: list[bytes] = []
            for piece in self._content():
                pieces.append(piece)
                await asyncio.sleep(0)
            try:
                await beside(_write, self._path, pieces)
            except OSError as error:
                logger.error("cannot write the table", extra={"cause": repr(error)})
                self._changed.set()
                await asyncio.sleep(1)


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with replacing(path) as file:
        file.writelines(pieces)
