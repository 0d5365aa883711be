"""Signing in with a password, in a browser or for the CLI."""

from typing import Any

from services.auth import store
from services.auth.attempts import Attempts
from services.auth.fields import is_user_name
from services.auth.passwords import Hasher, is_hashable
from shared.database import Database
from shared.errors import Forbidden, Unauthenticated
from shared.logs import get_logger

logger = get_logger(__name__)

WRONG = "The user name or the password is wrong."


class SignIn:
    """Says who somebody is, given a name and a password."""

    def __init__(self, database: Database, hasher: Hasher, attempts: Attempts) -> None:
        self._database = database
        self._hasher = hasher
        self._attempts = attempts

    async def person(self, typed: str, password: str, address: str) -> Any:
        """The person's row. `address` is the client's.

        Raises `Unauthenticated` without saying which of the two was wrong, `TooManyAttempts`, or
        `Forbidden` to who knows the password of an account that is switched off.
        """
        name = typed.strip().lower()
        if not is_hashable(password):
            raise Unauthenticated(WRONG)
        await self._attempts.begin(name, address)
        row = await self._row(name)
        matches = await self._hasher.verify(row["password_hash"] if row else None, password)
        if row is None or not matches:
            # A name nobody has may be a password typed into the wrong field: keep it out of logs.
            shown = name if row else "(unknown)"
            logger.info("sign-in refused", extra={"user": shown, "address": address})
            raise Unauthenticated(WRONG)
        await self._attempts.succeeded(name, address)
        if not row["active"]:
            raise Forbidden("This account is switched off; ask an administrator of the platform.")
        await self._renew(row, password)
        logger.info("signed in", extra={"user": name, "address": address})
        return row

    async def _row(self, name: str) -> Any | None:
        return await store.person_signing_in(self._database, name) if is_user_name(name) else None

    async def _renew(self, row: Any, password: str) -> None:
        """Hash the password anew if it was hashed with weaker parameters than today's."""
        if self._hasher.is_outdated(row["password_hash"]):
            hashed = await self._hasher.hash(password)
            await store.renew_hash(self._database, row["name"], row["password_hash"], hashed)
