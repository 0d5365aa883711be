"""Who may open and change an app: a mode, an owner and grants."""

from collections.abc import Sequence
from typing import Any, cast

from services.auth import store
from services.auth.fields import check_group, check_user_name
from shared.database import Database, outbox
from shared.errors import Invalid, NotFound
from shared.events import new_event
from shared.events.catalogue import AccessChanged, Grant
from shared.names import check_app_name

MAX_GRANTS = 2000


class Access:
    """Reads and replaces the rule of an app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, app: str) -> dict[str, Any]:
        """{app, mode, owner, grants: [{kind, name, role}]}. Raises `NotFound`."""
        return described(_existing(app, await store.rule(self._database, check_app_name(app))))

    async def replace(
        self, app: str, mode: str, grants: Sequence[Grant], owner: str | None
    ) -> dict[str, Any]:
        """Put a whole new rule in place; without `owner` the app keeps the one it has."""
        wanted = checked(grants)
        async with self._database.transaction() as tx:
            await store.lock_people(tx)
            before = _existing(app, await store.lock_rule(tx, check_app_name(app)))
            await self._check_known(tx, wanted, owner, before)
            await store.set_rule(tx, app, owner or before["owner"], mode, wanted)
            after = described(await store.rule(tx, app))
            if after != described(before):
                await announce(tx, app)
        return after

    async def _check_known(
        self, tx: Any, grants: list[dict[str, str]], owner: str | None, before: Any
    ) -> None:
        """Refuse users who do not exist: whoever took the name later would get in."""
        named = {grant["name"] for grant in grants if grant["kind"] == "user"}
        if owner is not None:
            named.add(check_user_name(owner))
        if missing := await store.missing_people(tx, named - {before["owner"]}):
            raise Invalid(f"There is no user '{missing[0]}'; add the person first.")


async def announce(tx: Any, app: str) -> None:
    """Tell the other services the rule as `tx` has it."""
    rule = described(await store.rule(tx, app))
    await outbox.record(tx, new_event("auth", AccessChanged.model_validate(rule)))


def checked(grants: Sequence[Grant]) -> list[dict[str, str]]:
    """Grants as they are stored, or `Invalid`."""
    if len(grants) > MAX_GRANTS:
        raise Invalid(f"An app can have at most {MAX_GRANTS} grants; grant access to groups.")
    rows = [{"kind": grant.kind, "name": _grantee(grant), "role": grant.role} for grant in grants]
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (who := (row["kind"], row["name"])) in seen:
            raise Invalid(
                f"The {row['kind']} '{row['name']}' is granted access twice; name it once."
            )
        seen.add(who)
    return rows


def described(row: Any) -> dict[str, Any]:
    """A rule as the API, the event and the bucket have it."""
    return {
        "app": row["app"],
        "mode": row["mode"],
        "owner": row["owner"],
        "grants": cast(list[dict[str, str]], row["grants"]),
    }


def _grantee(grant: Grant) -> str:
    return check_user_name(grant.name) if grant.kind == "user" else check_group(grant.name)


def _existing(app: str, row: Any | None) -> Any:
    if row is None:
        raise NotFound(f"There is no app called '{app}'; check the name.")
    return row
