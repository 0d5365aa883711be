"""The access log: one JSON object a line for every request, written in batches beside the traffic.

A request leaves its line behind, already formed: forming thousands of them at once in a thread
would keep the traffic waiting for the interpreter. If the disk cannot follow, lines are dropped and
counted, never waited for. Several workers append to one file: each batch is one write of whole
lines.
"""

import asyncio
import fcntl
import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import orjson

from gateway.beside import beside
from shared.logs import get_logger

logger = get_logger(__name__)

FLUSH_SECONDS = 0.25
LAST_FLUSH_SECONDS = 2.0
MOST_WAITING = 32_768
LARGEST_BYTES = 64 * 1024 * 1024
KEPT = 3
LONGEST_PATH = 1024


_FORM = b'{"time":"%b",%b,"path":%b,"received":%d,"sent":%d,"seconds":%.6f,"trace":"%b",%b}\n'
_UNTRACED = _FORM.replace(b'"trace":"%b"', b'"trace":null%b')


# What repeats from request to request is formed once: this is half of what a line costs.


def whence(
    client: str,
    user: str = "",
    app: str = "",
    service: str = "",
    target: str = "",
    method: str = "",
) -> bytes:
    """Who asked, in which way, for what: the part of a line that is the same for many requests."""
    members = {
        "client": client,
        "user": user or None,
        "app": app or None,
        "service": service or None,
        "target": target or None,
        "method": method,
    }
    return orjson.dumps(members)[1:-1]


@lru_cache(maxsize=8)
def _moment(milliseconds: int) -> bytes:
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z".encode()


@lru_cache(maxsize=1024)
def _outcome(minor: int, status: int, how: str, worker: str) -> bytes:
    members = {
        "protocol": f"HTTP/1.{minor}",
        "status": status or None,
        "how": how,
        "worker": worker,
    }
    return orjson.dumps(members)[1:-1]


class AccessLog:
    """Takes entries from the traffic; `keep` is the duty that writes them to `path`.

    "-" is the standard output. A file is begun anew when it has grown to `largest` bytes, and also
    when somebody has moved it away. `lost` counts the lines that could not be written.
    """

    def __init__(self, path: str, worker: str, largest: int = LARGEST_BYTES) -> None:
        self._path = path
        self._worker = worker
        self._largest = largest
        self._waiting: list[bytes] = []
        self._dropped = 0
        self._failed = False
        self.lost = 0

    def note(
        self,
        at: float,
        whence: bytes,
        path: bytes,
        minor: int,
        status: int,
        received: int,
        sent: int,
        seconds: float,
        trace: bytes,
        how: str,
    ) -> None:
        """Take what is known of a request when it ends, as a line of JSON.

        `whence` is what the function of that name gives. `path` has no query, which may hold
        secrets. `how`: "done", "refused" (the gateway answered), "client_gone", "client_broke",
        "target_broke", "idle", "retired" or "revoked".
        """
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        line = (_FORM if trace else _UNTRACED) % (
            _moment(int(at * 1000)),
            whence,
            orjson.dumps(path[:LONGEST_PATH].decode("latin-1")),
            received,
            sent,
            seconds,
            trace[3:35],
            _outcome(minor, status, how, self._worker),
        )
        self._waiting.append(line)

    async def keep(self) -> None:
        """Write what there is, a few times a second, for ever; and the rest when told to end."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_FLUSH_SECONDS):
                    await self.flush()

    async def flush(self) -> None:
        """Write what is waiting now."""
        waiting, self._waiting = self._waiting, []
        if self._dropped:
            logger.warning("access log lines dropped", extra={"lines": self._dropped})
            self.lost += self._dropped
            self._dropped = 0
        if waiting:
            await beside(self._write, waiting)

    def _write(self, lines: list[bytes]) -> None:
        try:
            if self._path == "-":
                write_out(lines, sys.stdout.fileno())
            else:
                append(Path(self._path), b"".join(lines), self._largest)
            self._failed = False
        except OSError as error:
            self.lost += len(lines)
            if not self._failed:
                logger.error("cannot write the access log", extra={"cause": repr(error)})
            self._failed = True


def write_out(lines: Iterable[bytes], descriptor: int) -> None:
    """Write lines to a descriptor that others write to as well. What is written to a pipe at once
    stays together only up to PIPE_BUF bytes (pipe(7))."""
    is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    for piece in _pieces(lines, select.PIPE_BUF) if is_pipe else (b"".join(lines),):
        _write_all(descriptor, piece)


def _pieces(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    piece = b""
    for one in lines:
        if piece and len(piece) + len(one) > most:
            yield piece
            piece = b""
        piece += one
    yield piece


def append(path: Path, text: bytes, largest: int, kept: int = KEPT) -> None:
    """Append whole lines, after making room if the file would grow beyond `largest` bytes.

    Opened for each batch: a file that was moved away is begun anew without being told.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with _alone(path) as descriptor:
            size = os.fstat(descriptor).st_size
            if not size or size + len(text) <= largest:
                _write_all(descriptor, b"" if _ends_well(descriptor, size) else b"\n")
                _write_all(descriptor, text)
                return
            _make_room(path, kept)


@contextmanager
def _alone(path: Path) -> Iterator[int]:
    """The file that is at `path` now, with no other worker writing to it or moving it away."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _ends_well(descriptor: int, size: int) -> bool:
    """Not with half a line, as a full disk or a killed worker leaves it."""
    return not size or os.pread(descriptor, 1, size - 1) == b"\n"


def _make_room(path: Path, kept: int) -> None:
    for number in range(kept - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))


def _write_all(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]
