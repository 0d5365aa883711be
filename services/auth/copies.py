"""Keeps the buckets equal to the tables.

A notification names what changed: it is written at once, so that whoever is shut out is out. A
clock compares the rest, which heals a bucket that was lost, restored or written by a process that
had lost its lease, and drops what has expired. One process at a time does this; the others stand
by.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from services.auth import access, store
from services.auth.keys import Keys
from shared.bus import Bucket, Bus
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

PARALLEL = 16
RETRY_SECONDS = 0.5

Documents = dict[str, dict[str, Any]]
Read = Callable[[Iterable[str] | None], Awaitable[Documents]]
"""read(keys): the documents of these keys that exist, or (None) all there are."""


@dataclass(frozen=True)
class Copy:
    """One bucket and what it is a copy of."""

    bucket: Bucket
    read: Read


def copies(database: Database, bus: Bus, keys: Keys) -> list[Copy]:
    """All buckets of this service."""

    async def people(names: Iterable[str] | None) -> Documents:
        return {row["name"]: person_document(row) for row in await store.people(database, names)}

    async def tokens(digests: Iterable[str] | None) -> Documents:
        rows = await store.valid_tokens(database, digests)
        return {row["digest"]: token_document(row) for row in rows}

    async def rules(apps: Iterable[str] | None) -> Documents:
        return {row["app"]: access.described(row) for row in await store.rules(database, apps)}

    async def signing_keys(kids: Iterable[str] | None) -> Documents:
        return {row["kid"]: key_document(row) for row in await store.keys(database, kids)}

    async def gateway_keys(_: Iterable[str] | None) -> Documents:
        return {"identity": await keys.private("identity")}

    async def ended_sessions(sids: Iterable[str] | None) -> Documents:
        rows = await store.ended_sessions(database, sids)
        return {row["sid"]: {"ends": row["ends"]} for row in rows}

    sources: list[tuple[str, Read]] = [
        # Keys that verify come before the key that signs.
        ("signing-keys", signing_keys),
        ("gateway-keys", gateway_keys),
        ("people", people),
        ("tokens", tokens),
        ("access", rules),
        ("ended-sessions", ended_sessions),
    ]
    return [Copy(bus.bucket(name), read) for name, read in sources]


def person_document(row: Any) -> dict[str, Any]:
    return {
        "user": row["name"],
        "email": row["email"],
        "name": row["display_name"],
        "role": row["role"],
        "groups": list(row["groups"]),
        "active": row["active"],
        "sessions_valid_from": row["sessions_valid_from"],
    }


def token_document(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "user": row["owner"],
        "scopes": list(row["scopes"]),
        "expires": row["expires"],
    }


def key_document(row: Any) -> dict[str, Any]:
    return {
        "kid": row["kid"],
        "use": row["use"],
        "jwk": row["public_jwk"],
        "not_after": row["not_after"],
    }


class Copies:
    """Writes the buckets. `follow` is the duty; `repair` makes buckets that are missing."""

    def __init__(
        self,
        database: Database,
        parts: Sequence[Copy],
        repair: Callable[[], Awaitable[None]],
        clock: float,
    ) -> None:
        self._database = database
        self._copies = {copy.bucket.name: copy for copy in parts}
        self._repair = repair
        self._clock = clock
        self._woken: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._due = asyncio.Event()
        self._writing = asyncio.Lock()
        self._slots = asyncio.Semaphore(PARALLEL)

    async def follow(self) -> None:
        """Run for ever, writing only while the lease is ours."""
        await self._database.listen(store.CHANNEL, self._hear)
        while True:
            async with self._database.lease("copies") as lost:
                await self._lead(lost)

    def compare_soon(self) -> None:
        """Do not wait for the clock: something may have been missed."""
        self._due.set()

    def _hear(self, payload: str) -> None:
        name, _, key = payload.partition(":")
        if name in self._copies:
            self._woken.add((name, key))
            self._wake.set()
        else:
            self.compare_soon()

    async def _lead(self, lost: asyncio.Event) -> None:
        tasks = [
            asyncio.create_task(work)
            for work in (self._write_woken(), self._compare_for_ever(), lost.wait())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
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

    async def _write(self, copy: Copy, keys: set[str]) -> None:
        """Write these keys as the tables have them now.

        Reading and writing under one lock keeps an older row from overtaking a newer one.
        """
        if not keys:
            return
        async with self._writing:
            documents = await copy.read(keys)
            await asyncio.gather(*(self._put(copy.bucket, key, documents.get(key)) for key in keys))

    async def _put(self, bucket: Bucket, key: str, document: dict[str, Any] | None) -> None:
        async with self._slots:
            if document is None:
                await bucket.delete(key)
            else:
                await bucket.put(key, document)
