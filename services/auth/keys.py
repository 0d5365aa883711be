"""Signing keys: Ed25519 pairs that replace each other by themselves.

Two uses: "session" keys sign the cookie, here; the "identity" key signs who is asking, in the
gateway, which gets it through a bucket that it alone may read. A new key is published a while
before it signs, so that whoever verifies knows it by then; an old one stays until nothing that it
signed can still be valid.
"""

import asyncio
from typing import Any

from services.auth import store
from services.auth.sealing import Seal
from shared.database import Database
from shared.errors import Unauthenticated, Unavailable
from shared.identity import KeyRing, Signer, new_key, public_part
from shared.logs import get_logger

logger = get_logger(__name__)

LEAD_SECONDS = 120.0
"""A new key is known to verifiers for so long before it signs."""
SLACK_SECONDS = 300.0
"""Longer than a sign-in takes between reading the key and signing with it."""
IDENTITY_KEEP_SECONDS = 24 * 3600.0
"""Identities live for a minute, but a gateway cut off from the bus signs on with the key it has."""
CLOCK_SECONDS = 60.0


class Keys:
    """The table of keys; private halves are open only in here."""

    def __init__(
        self, database: Database, seal: Seal, max_age: float, session_seconds: float
    ) -> None:
        self._database = database
        self._seal = seal
        self._max_age = max_age
        self._keep = {
            "session": session_seconds + SLACK_SECONDS,
            "identity": IDENTITY_KEEP_SECONDS,
        }

    async def ensure(self) -> None:
        """Make what keys are missing or too old, and drop those that nothing needs any more.

        Raises `RuntimeError` when the key file is not the one the keys were sealed with.
        """
        async with self._database.transaction() as tx:
            await store.lock_keys(tx)
            for use in self._keep:
                await self._ensure(tx, use)
            await store.delete_spent_keys(tx)

    async def rotate(self, use: str, lead: float = LEAD_SECONDS) -> None:
        """Make the next key of a use now; it signs `lead` seconds from now."""
        async with self._database.transaction() as tx:
            await store.lock_keys(tx)
            await self._add(tx, use, lead)

    async def keep_fresh(self) -> None:
        """The duty: look at the ages for ever; one process at a time does it."""
        while True:
            async with self._database.lease("keys") as lost:
                while not lost.is_set():
                    await self._look()
                    await asyncio.sleep(min(CLOCK_SECONDS, self._max_age / 2))

    async def signer(self) -> Signer:
        """What signs a session cookie now. Raises `Unavailable` when there is no key yet."""
        return Signer(await self.private("session"))

    async def private(self, use: str) -> dict[str, Any]:
        """The private JWK that signs now."""
        row = await store.current_key(self._database, use)
        if row is None:
            raise Unavailable("The platform has no signing key yet; try again in a moment.")
        return self._seal.open(row["kid"], row["sealed"])

    async def session_claims(self, cookie: str) -> dict[str, Any] | None:
        """The claims of a session cookie that we signed and that has not expired, else None."""
        ring = KeyRing("session")
        for row in await store.keys(self._database):
            ring.change(row["kid"], {"use": row["use"], "jwk": row["public_jwk"]})
        try:
            return ring.verify(cookie)
        except Unauthenticated:
            return None

    async def published(self) -> dict[str, Any]:
        """The keys that apps verify identities with, as a JWK Set (RFC 7517)."""
        rows = await store.keys(self._database)
        return {"keys": [row["public_jwk"] for row in rows if row["use"] == "identity"]}

    async def _look(self) -> None:
        try:
            await self.ensure()
        except Unavailable as error:
            logger.warning("keys not looked at", extra={"cause": error.detail})

    async def _ensure(self, tx: Any, use: str) -> None:
        current = await store.current_key(tx, use)
        if current is None:
            await self._add(tx, use, lead=0.0)
            return
        self._seal.open(current["kid"], current["sealed"])
        age = await store.newest_key_age(tx, use)
        if age is not None and age >= self._max_age:
            await self._add(tx, use, LEAD_SECONDS)

    async def _add(self, tx: Any, use: str, lead: float) -> None:
        jwk = new_key()
        public = public_part(jwk)
        await store.add_key(tx, use, public, self._seal.close(jwk), lead, self._keep[use])
        logger.info("signing key made", extra={"use": use, "kid": jwk["kid"]})
