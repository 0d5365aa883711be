"""Which buckets of this service are copies of which tables, and how a row reads there."""

from collections.abc import Iterable
from typing import Any

from services.auth import access, store
from services.auth.keys import Keys
from shared.bus import Bus
from shared.bus.copies import Copy, Documents, Read
from shared.database import Database


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
