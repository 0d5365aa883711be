"""API tokens: shown once, known by their hash."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.auth import store
from services.auth.fields import check_line
from shared.database import Database
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.identity import Caller
from shared.names import new_id

PREFIX = "mrg_"
SECRET_BYTES = 32
SCOPES = ("open", "read", "write", "all")
MAX_DAYS = 3650
MAX_TOKENS = 1000

_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def new_text() -> str:
    """The text of a new token: a prefix that scanners recognise, and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def is_token(text: str) -> bool:
    return _FORM.fullmatch(text) is not None


def digest(text: str) -> str:
    """What is stored of a token. So much randomness needs no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """Known scopes in order, each once; "all" stands for itself alone."""
    wanted = set(scopes)
    if not wanted or wanted - set(SCOPES):
        raise Invalid(f"Give a token one or more of the scopes {', '.join(SCOPES)}.")
    return ["all"] if "all" in wanted else [scope for scope in SCOPES if scope in wanted]


def may_hand_on(held: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether a caller with the scopes `held` may make a token with `wanted`: never with more."""
    allowed = set(held)
    if "write" in allowed:
        allowed.add("read")
    return "all" in allowed or set(wanted) <= allowed


class Tokens:
    """Makes, lists and revokes tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_by(
        self, caller: Caller, name: str, scopes: list[str], days: int | None
    ) -> dict[str, Any]:
        """A token of the caller's own, with no more scopes than they ask with."""
        wanted = check_scopes(scopes)
        if not may_hand_on(caller.scopes, wanted):
            raise Forbidden(
                "A token cannot make another that may do more than itself; sign in, or use a token "
                "with the scope 'all'."
            )
        return await self.create(caller.user, name, wanted, days)

    async def create(
        self, user: str, name: str, scopes: list[str], days: int | None
    ) -> dict[str, Any]:
        """A new token of `user` that lasts `days` (None: for ever); `token` is its text."""
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise Invalid(f"A token lasts between 1 and {MAX_DAYS} days, or for ever.")
        if not (line := check_line(name, "A token's name")):
            raise Invalid("Give the token a name, so that you know it again.")
        text = new_text()
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        async with self._database.transaction() as tx:
            await self._check_room(tx, user)
            row = await add_token(tx, user, text, line, check_scopes(scopes), expires)
        return {"token": text} | described(row)

    async def list_of(self, user: str) -> list[dict[str, Any]]:
        return [described(row) for row in await store.tokens_of(self._database, user)]

    async def revoke(self, caller: Caller, token_id: str) -> None:
        """End a token of the caller's own; an administrator may end anybody's."""
        owner = None if caller.is_admin else caller.user
        if not await store.delete_token(self._database, token_id, owner):
            raise NotFound("You have no token with this id; 'moorage tokens' lists those you have.")

    async def _check_room(self, tx: Any, user: str) -> None:
        person = await store.person(tx, user)
        if person is None or not person["active"]:
            raise NotFound(f"There is no user '{user}' any more, or the account is switched off.")
        if await store.count_tokens(tx, user) >= MAX_TOKENS:
            raise Conflict(f"You have {MAX_TOKENS} tokens; revoke some that you need no more.")


async def add_token(
    tx: Any, user: str, text: str, name: str, scopes: list[str], expires: datetime | None
) -> Any:
    """Store what is kept of a token; its row."""
    row = {
        "id": new_id(),
        "digest": digest(text),
        "owner": user,
        "name": name,
        "scopes": scopes,
        "last_four": text[-4:],
        "expires_at": expires,
    }
    return await store.add_token(tx, row)


def described(row: Any) -> dict[str, Any]:
    """What is shown of a token; times in ISO 8601."""
    return {
        "id": row["id"],
        "name": row["name"],
        "scopes": list(row["scopes"]),
        "last_four": row["last_four"],
        "created": row["created_at"].isoformat(),
        "expires": row["expires_at"].isoformat() if row["expires_at"] else None,
    }
