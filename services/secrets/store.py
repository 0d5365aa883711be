"""The SQL of the secrets service: names, versions and dates, never a value."""

from typing import Any

CHANNEL = "secrets_unfinished"
"""Notified when an app was deleted and its document waits to be removed."""


async def add_app(tx: Any, app: str) -> None:
    await tx.execute("insert into apps (app) values ($1) on conflict do nothing", app)


async def knows(db: Any, app: str) -> bool:
    return bool(await db.fetchval("select true from apps where app = $1", app))


async def remove_app(tx: Any, app: str) -> None:
    """Forget the app here, and note that the store still has its document."""
    for table in ("apps", "versions", "intents"):
        await tx.execute(f"delete from {table} where app = $1", app)
    await tx.execute("insert into removals (app) values ($1) on conflict do nothing", app)
    await tx.execute("select pg_notify($1, $2)", CHANNEL, app)


async def removals(db: Any) -> list[str]:
    return [row["app"] for row in await db.fetch("select app from removals order by asked_at")]


async def awaits_removal(db: Any, app: str) -> bool:
    return bool(await db.fetchval("select true from removals where app = $1", app))


async def take_removal(tx: Any, app: str) -> bool:
    """Delete the note within `tx`; False when another did it. Waits for whoever is doing it."""
    return bool(await tx.fetchval("delete from removals where app = $1 returning true", app))


async def note_orphan(tx: Any, app: str) -> None:
    """If the app was deleted while its document was written, note that it has to go again."""
    await tx.execute(
        "insert into removals (app) select $1 where not exists (select 1 from apps where app = $1)"
        " on conflict do nothing",
        app,
    )


async def version(db: Any, app: str) -> int:
    """The last version of the app's document that was announced; 0 for none."""
    return await db.fetchval("select coalesce(max(version), 0) from versions where app = $1", app)


async def begin(
    db: Any, intent: str, app: str, version: int, section: str, names: list[str], actor: str
) -> None:
    """Note that `version` is about to be written to the store."""
    await db.execute(
        "insert into intents (id, app, version, section, names, actor)"
        " values ($1, $2, $3, $4, $5, $6)",
        intent,
        app,
        version,
        section,
        names,
        actor,
    )


async def forget_intent(db: Any, intent: str) -> None:
    await db.execute("delete from intents where id = $1", intent)


async def complete(tx: Any, intent: str) -> Any:
    """Turn an intent into a version; the new row, or None when either was done by another."""
    return await tx.fetchrow(
        "with gone as (delete from intents where id = $1 returning *)"
        " insert into versions (app, version, section, names, actor)"
        " select app, version, section, names, actor from gone"
        " on conflict do nothing returning app, version, names, actor",
        intent,
    )


async def unfinished(db: Any, older_than: float) -> list[Any]:
    """Intents begun more than `older_than` seconds ago: {id, app, version}, oldest first."""
    return await db.fetch(
        "select id, app, version from intents"
        " where begun_at < now() - make_interval(secs => $1) order by begun_at, id",
        older_than,
    )


async def latest(db: Any) -> dict[str, int]:
    """Every known app and its last announced version."""
    rows = await db.fetch(
        "select apps.app, coalesce(max(version), 0) as version from apps"
        " left join versions on versions.app = apps.app group by apps.app"
    )
    return {row["app"]: row["version"] for row in rows}


async def adopt(tx: Any, app: str, version: int, names: list[str], actor: str) -> Any:
    """Note a version found in the store that no intent explains."""
    return await tx.fetchrow(
        "insert into versions (app, version, section, names, actor)"
        " select $1, $2, 'config', $3, $4 where exists (select 1 from apps where app = $1)"
        " and not exists (select 1 from intents where app = $1)"
        " on conflict do nothing returning app, version, names, actor",
        app,
        version,
        names,
        actor,
    )
