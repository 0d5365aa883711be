"""Buckets that are copies of tables: what readers need without asking the database.

A notification names what changed: it is written at once, as the table has it then. A clock compares
the rest, which heals a bucket that was lost, restored or written by a process that had lost its
lease, and drops what is in no table any more. One process of a service at a time does this; the
others stand by.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shared.bus.buckets import Bucket
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

PARALLEL = 16
RETRY_SECONDS = 0.5

Documents = dict[str, dict[str, Any]]
Read = Callable[[Iterable[str] | None], Awaitable[Documents]]
"""read(keys): the documents of these keys that exist, or (None) all there are.

They must survive JSON unchanged: bucket and table are compared by them.
"""


@dataclass(frozen=True)
class Copy:
    """One bucket and what it is a copy of."""

    bucket: Bucket
    read: Read


class Copies:
    """Writes a service's buckets. `follow` is the duty.

    `channel` is where the database tells of changes, each as "<bucket>:<key>"; anything else said
    there asks for a comparison. `repair` makes buckets that are missing. `clock` is in seconds.
    """

    def __init__(
        self,
        database: Database,
        channel: str,
        parts: Sequence[Copy],
        repair: Callable[[], Awaitable[None]],
        clock: float,
    ) -> None:
        self._database = database
        self._channel = channel
        self._copies = {copy.bucket.name: copy for copy in parts}
        self._repair = repair
        self._clock = clock
        self._leading = False
        self._woken: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._due = asyncio.Event()
        self._writing = asyncio.Lock()
        self._slots = asyncio.Semaphore(PARALLEL)

    async def follow(self) -> None:
        """Run for ever, writing only while the lease is ours."""
        await self._database.listen(self._channel, self._hear)
        while True:
            async with self._database.lease("copies") as lost:
                await self._lead(lost)

    def compare_soon(self) -> None:
        """Do not wait for the clock: something may have been missed."""
        self._due.set()

    async def compare(self) -> None:
        """Put right what is missing, different or left over in each bucket."""
        for copy in self._copies.values():
            wanted = await copy.read(None)
            held = await copy.bucket.items()
            wrong = {key for key in wanted.keys() | held.keys() if wanted.get(key) != held.get(key)}
            if wrong:
                extra = {"bucket": copy.bucket.name, "keys": len(wrong)}
                logger.info("bucket put right", extra=extra)
                await self._write(copy, wrong)

    def _hear(self, payload: str) -> None:
        name, _, key = payload.partition(":")
        if name not in self._copies:
            self.compare_soon()
        elif self._leading:  # whoever leads next begins by comparing everything
            self._woken.add((name, key))
            self._wake.set()

    async def _lead(self, lost: asyncio.Event) -> None:
        self._leading = True
        tasks = [
            asyncio.create_task(work)
            for work in (self._write_woken(), self._compare_for_ever(), lost.wait())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._leading = False
            self._woken.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_woken(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            woken, self._woken = self._woken, set()
            try:
                for name, copy in self._copies.items():
                    await self._write(copy, {key for bucket, key in woken if bucket == name})
            except Unavailable as error:
                logger.warning("buckets not written", extra={"cause": error.detail})
                self._woken |= woken
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _compare_for_ever(self) -> None:
        while True:
            self._due.clear()
            wait = self._clock
            try:
                await self.compare()
            except Unavailable as error:
                logger.warning("buckets not compared", extra={"cause": error.detail})
                wait = RETRY_SECONDS
                with suppress(Unavailable):
                    await self._repair()
            # Not `wait_for`: in Python 3.11 it swallows a cancellation that meets the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._due.wait()

    async def _write(self, copy: Copy, keys: set[str]) -> None:
        """Write these keys as the tables have them now.

        Reading and writing under one lock keeps an older row from overtaking a newer one.
        """
        if not keys:
            return
        async with self._writing:
            documents = await copy.read(keys)
            try:
                async with asyncio.TaskGroup() as group:
                    for key in keys:
                        group.create_task(self._put(copy.bucket, key, documents.get(key)))
            except ExceptionGroup as failed:
                # By now the others have ended too: none of them can overtake a second attempt.
                raise failed.exceptions[0] from failed

    async def _put(self, bucket: Bucket, key: str, document: dict[str, Any] | None) -> None:
        async with self._slots:
            if document is None:
                await bucket.delete(key)
            else:
                await bucket.put(key, document)
