"""The access log: one JSON object a line for every request, written in batches beside the traffic.

A request only leaves a tuple behind. If the disk cannot follow, lines are dropped and counted,
never waited for. Several workers append to one file: each batch is one write of whole lines.
"""

import asyncio
import fcntl
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.logs import get_logger

logger = get_logger(__name__)

FLUSH_SECONDS = 0.25
MOST_WAITING = 50_000
LARGEST_BYTES = 64 * 1024 * 1024
KEPT = 3
LONGEST_PATH = 1024


class Entry(NamedTuple):
    """What is known of a request when it ends. `path` has no query, which may hold secrets.

    `how`: "done", "refused" (the gateway answered), "client_gone", "client_broke",
    "target_broke", "idle", "retired" or "revoked".
    """

    at: float
    client: str
    user: str
    app: str
    service: str
    target: str
    method: bytes
    path: bytes
    minor: int
    status: int
    received: int
    sent: int
    seconds: float
    trace: bytes
    how: str


def line(entry: Entry, worker: str) -> bytes:
    """The entry as a line of JSON, its end included."""
    members: dict[str, Any] = {
        "time": f"{_second(int(entry.at))}.{int(entry.at * 1000) % 1000:03d}Z",
        "client": entry.client,
        "user": entry.user or None,
        "app": entry.app or None,
        "service": entry.service or None,
        "target": entry.target or None,
        "method": entry.method.decode("latin-1"),
        "path": entry.path[:LONGEST_PATH].decode("latin-1"),
        "protocol": f"HTTP/1.{entry.minor}",
        "status": entry.status or None,
        "received": entry.received,
        "sent": entry.sent,
        "seconds": round(entry.seconds, 6),
        "trace": entry.trace[3:35].decode("latin-1") or None,
        "how": entry.how,
        "worker": worker,
    }
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class AccessLog:
    """Takes entries from the traffic; `keep` is the duty that writes them to `path`.

    "-" is the standard output. A file is begun anew when it has grown to `largest` bytes, and also
    when somebody has moved it away.
    """

    def __init__(self, path: str, worker: str, largest: int = LARGEST_BYTES) -> None:
        self._path = path
        self._worker = worker
        self._largest = largest
        self._waiting: list[Entry] = []
        self._dropped = 0
        self._failed = False

    def note(self, entry: Entry) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(entry)
        else:
            self._dropped += 1

    async def keep(self) -> None:
        """Write what there is, a few times a second, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what is waiting now."""
        waiting, self._waiting = self._waiting, []
        if self._dropped:
            logger.warning("access log lines dropped", extra={"lines": self._dropped})
            self._dropped = 0
        if waiting:
            await asyncio.to_thread(self._write, waiting)

    def _write(self, entries: Iterable[Entry]) -> None:
        text = b"".join(line(entry, self._worker) for entry in entries)
        try:
            if self._path == "-":
                sys.stdout.buffer.write(text)
                sys.stdout.buffer.flush()
            else:
                append(Path(self._path), text, self._largest)
            self._failed = False
        except OSError as error:
            if not self._failed:
                logger.error("cannot write the access log", extra={"cause": repr(error)})
            self._failed = True


def append(path: Path, text: bytes, largest: int) -> None:
    """Append whole lines, after making room if the file has grown to `largest` bytes.

    Opened for each batch: a file that was moved away is begun anew without being told.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o640)
    try:
        if os.fstat(descriptor).st_size + len(text) > largest:
            make_room(path, descriptor)
            os.close(descriptor)
            descriptor = os.open(path, flags, 0o640)
        view = memoryview(text)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def make_room(path: Path, descriptor: int) -> None:
    """Move the file away, and the older ones further, unless another worker just did."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        current = path.stat()
    except FileNotFoundError:
        return
    if (current.st_dev, current.st_ino) != _identity(descriptor):
        return
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
