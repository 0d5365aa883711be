"""People: who exists, what they may do on the platform, and how they come and go."""

from typing import Any

from services.auth import store
from services.auth.access import announce
from services.auth.fields import check_email, check_groups, check_line, check_user_name
from services.auth.passwords import Hasher, check_password
from shared.database import Database
from shared.errors import Conflict, Invalid, NotFound
from shared.logs import get_logger

logger = get_logger(__name__)

ROLES = ("admin", "developer", "viewer")


class People:
    """Changes of people; every one that takes something away works at once."""

    def __init__(self, database: Database, hasher: Hasher) -> None:
        self._database = database
        self._hasher = hasher

    async def list_all(self) -> list[dict[str, Any]]:
        return [described(row) for row in await store.people(self._database)]

    async def add(self, wanted: dict[str, Any], password: str) -> dict[str, Any]:
        """A new person {name, email, display_name, role, groups}. Raises `Conflict` if taken."""
        row = checked(wanted)
        hashed = await self._hasher.hash(check_password(password, row["name"]))
        async with self._database.transaction() as tx:
            if not await store.add_person(tx, row, hashed):
                raise Conflict(f"There is a user '{row['name']}' already; choose another name.")
            return described(await store.person(tx, row["name"]))

    async def change(
        self, name: str, changes: dict[str, Any], password: str | None
    ) -> dict[str, Any]:
        """Change fields of a person, and the password if one is given.

        Deactivation ends sessions and tokens for good: they do not come back with the person.
        """
        hashed = None
        if password is not None:
            hashed = await self._hasher.hash(check_password(password, name))
        async with self._database.transaction() as tx:
            await store.lock_people(tx)
            before = await self._existing(tx, name)
            row = checked({**_fields(before), **changes})
            if not (row["active"] and row["role"] == "admin"):
                await self._keep_an_admin(tx, before)
            await store.set_person(tx, row)
            if not row["active"]:
                await store.end_sessions(tx, name)
                await store.delete_tokens_of(tx, name)
            if hashed:
                await store.set_password(tx, name, hashed)
            return described(await store.person(tx, name))

    async def set_password(self, name: str, password: str) -> None:
        await self.change(name, {}, password)

    async def delete(self, name: str) -> None:
        """Delete a person with their tokens and grants. Raises `Conflict` if they own apps."""
        async with self._database.transaction() as tx:
            await store.lock_people(tx)
            await self._keep_an_admin(tx, await self._existing(tx, name))
            if owned := await store.apps_owned_by(tx, name):
                raise Conflict(
                    f"'{name}' owns {_few(owned)}; give each another owner, or delete it, first."
                )
            for app in await store.delete_grants_of(tx, name):
                await announce(tx, app)
            await store.delete_person(tx, name)
        logger.info("user deleted", extra={"user": name})

    async def _existing(self, tx: Any, name: str) -> Any:
        row = await store.lock_person(tx, check_user_name(name))
        if row is None:
            raise NotFound(f"There is no user '{name}'; 'moorage users' lists those there are.")
        return row

    async def _keep_an_admin(self, tx: Any, row: Any) -> None:
        """Refuse to take away the last administrator: nobody could ever make another."""
        if row["role"] != "admin" or not row["active"]:
            return
        if not await store.other_active_admins(tx, row["name"]):
            raise Conflict(
                f"'{row['name']}' is the only administrator; make somebody else one first."
            )


def checked(wanted: dict[str, Any]) -> dict[str, Any]:
    """The fields of a person as they are stored, or `Invalid`."""
    if wanted["role"] not in ROLES:
        raise Invalid(f"A user's role is one of {', '.join(ROLES)}.")
    return {
        "name": check_user_name(wanted["name"]),
        "email": check_email(wanted["email"].strip()),
        "display_name": check_line(wanted["display_name"], "A person's name"),
        "role": wanted["role"],
        "groups": check_groups(wanted["groups"]),
        "active": wanted.get("active", True),
    }


def described(row: Any) -> dict[str, Any]:
    """What is shown of a person."""
    return {
        "user": row["name"],
        "email": row["email"],
        "name": row["display_name"],
        "role": row["role"],
        "groups": list(row["groups"]),
        "active": row["active"],
        "created": row["created_at"].isoformat(),
    }


def _fields(row: Any) -> dict[str, Any]:
    names = ("name", "email", "display_name", "role", "active")
    return {name: row[name] for name in names} | {"groups": list(row["groups"])}


def _few(apps: list[str], limit: int = 5) -> str:
    shown = ", ".join(f"'{app}'" for app in apps[:limit])
    return shown if len(apps) <= limit else f"{shown} and {len(apps) - limit} more apps"
