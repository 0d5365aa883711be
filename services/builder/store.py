"""The builder's SQL.

A build goes queued -> running -> succeeded | failed | cancelled. A running one whose builder died
goes back to queued. `attempt` fences: it grows with every claim, and what a worker writes counts
only while its attempt is the current one.

Every change that somebody waits for notifies `CHANNEL`; the payload is the build's id where a
running build is to be ended, else empty.
"""

from dataclasses import dataclass
from typing import Any

import asyncpg

from shared.database import Database
from shared.events.catalogue import AppPushed

CHANNEL = "builder_builds"
STALE = "10 seconds"
"""A running build whose heartbeat is older than this has lost its builder."""
MOST_ATTEMPTS = 3
LISTED = 100


@dataclass(frozen=True)
class Build:
    """A claimed build: what the worker needs to know of its row."""

    id: str
    attempt: int
    app: str
    deploy_id: str
    source: str
    commit: str
    author: str
    message: str
    pusher: str
    traceparent: str | None

    @property
    def name(self) -> str:
        """Unlike that of any other attempt: temporary folders are called so."""
        return f"{self.id}.{self.attempt}"


_CLAIMED = "id, attempt, app, deploy_id, source, commit, author, message, pusher, traceparent"


async def queue(tx: Any, build_id: str, pushed: AppPushed, traceparent: str | None) -> None:
    await tx.execute(
        "insert into builds (id, app, deploy_id, source, size, commit, branch, author, message,"
        " pusher, traceparent) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        " on conflict (deploy_id) do nothing",
        build_id, pushed.app, pushed.deploy_id, pushed.source, pushed.size, pushed.commit,
        pushed.branch, pushed.author, pushed.message, pushed.pusher, traceparent,
    )  # fmt: skip
    await _notify(tx)


async def supersede(tx: Any, app: str, reason: str) -> list[asyncpg.Record]:
    """Give up the queued builds of an app; those that were given up: id, deploy_id."""
    return await tx.fetch(
        "update builds set state = 'cancelled', reason = $2, finished_at = now()"
        " where app = $1 and state = 'queued' returning id, deploy_id",
        app,
        reason,
    )


async def cancel(tx: Any, deploy_id: str, reason: str) -> str | None:
    """Give up the build of a deploy, unless it has ended; a running one is told to end."""
    build_id = await tx.fetchval(
        "update builds set state = 'cancelled', reason = $2, finished_at = now()"
        " where deploy_id = $1 and state in ('queued', 'running') returning id",
        deploy_id,
        reason,
    )
    if build_id:
        await _notify(tx, build_id)
    return build_id


async def forget(tx: Any, app: str) -> None:
    """Delete all that is known of an app; what runs for it is told to end."""
    rows = await tx.fetch("delete from builds where app = $1 returning id, state", app)
    for row in rows:
        if row["state"] == "running":
            await _notify(tx, row["id"])


async def claim(tx: Any, worker: str) -> Build | None:
    """Take the oldest queued build whose app has none running.

    The index `one_running_build` decides between two builders that pick builds of the same app.
    """
    try:
        async with tx.transaction():
            row = await tx.fetchrow(
                "update builds set state = 'running', attempt = attempt + 1, worker = $1,"
                " heartbeat_at = now(), started_at = coalesce(started_at, now())"
                " where id = (select id from builds waiting where state = 'queued'"
                "  and not exists (select from builds other"
                "   where other.app = waiting.app and other.state = 'running')"
                "  order by position limit 1 for update skip locked)"
                f" returning {_CLAIMED}",
                worker,
            )
    except asyncpg.UniqueViolationError:
        return None
    return Build(**dict(row)) if row else None


async def beat(database: Database, build: Build) -> bool:
    """Say that the build is being worked on; False when it is not ours any more."""
    return bool(
        await database.fetchval(
            "update builds set heartbeat_at = now()"
            " where id = $1 and attempt = $2 and state = 'running' returning true",
            build.id,
            build.attempt,
        )
    )


async def succeed(tx: Any, build: Build, image: str, kind: str) -> bool:
    """False when the build is not ours any more."""
    return await _finish(tx, build, "succeeded", image=image, kind=kind)


async def fail(tx: Any, build: Build, reason: str) -> bool:
    """False when the build is not ours any more."""
    return await _finish(tx, build, "failed", reason=reason)


async def hand_back(database: Database, build: Build) -> None:
    """Let another builder take the build, because this one stops."""
    async with database.transaction() as tx:
        await tx.execute(
            "update builds set state = case when exists (select from builds newer"
            "  where newer.app = builds.app and newer.state = 'queued')"
            "  then 'cancelled' else 'queued' end"
            " where id = $1 and attempt = $2 and state = 'running'",
            build.id,
            build.attempt,
        )
        await _notify(tx)


async def abandoned(tx: Any) -> list[asyncpg.Record]:
    """Lock the running builds whose builder died: id, attempt, app, deploy_id, rescues, newer."""
    return await tx.fetch(
        "select id, attempt, app, deploy_id, rescues, exists (select from builds newer"
        "  where newer.app = builds.app and newer.state = 'queued') as newer"
        f" from builds where state = 'running' and heartbeat_at < now() - interval '{STALE}'"
        " for update skip locked"
    )


async def requeue(tx: Any, build_id: str) -> None:
    await tx.execute(
        "update builds set state = 'queued', worker = null, rescues = rescues + 1 where id = $1",
        build_id,
    )
    await _notify(tx)


async def end(tx: Any, build_id: str, state: str, reason: str) -> None:
    await tx.execute(
        "update builds set state = $2, reason = $3, finished_at = now() where id = $1",
        build_id,
        state,
        reason,
    )


async def alive(database: Database) -> set[str]:
    """Names of the attempts that somebody may be working on: "<id>.<attempt>"."""
    rows = await database.fetch(
        "select id || '.' || attempt as name from builds where state = 'running'"
        f" and heartbeat_at >= now() - interval '{STALE}'"
    )
    return {row["name"] for row in rows}


async def write_log(database: Database, build: Build, first: int, lines: list[str]) -> None:
    """Add lines, numbered from `first` on."""
    await database.execute(
        "insert into build_log (build_id, attempt, number, line)"
        " select $1, $2, $3 + place - 1, line"
        " from unnest($4::text[]) with ordinality as given (line, place)"
        " where exists (select from builds where id = $1) on conflict do nothing",
        build.id,
        build.attempt,
        first,
        lines,
    )


async def builds_of(database: Database, app: str) -> list[asyncpg.Record]:
    """The latest builds of an app, newest first."""
    return await database.fetch(
        "select id, deploy_id, state, reason, image, kind, commit, branch, author, message, pusher,"
        " source, size, attempt, queued_at, started_at, finished_at"
        " from builds where app = $1 order by position desc limit $2",
        app,
        LISTED,
    )


async def state_of(database: Database, app: str, build_id: str) -> str | None:
    return await database.fetchval(
        "select state from builds where app = $1 and id = $2", app, build_id
    )


async def log_of(
    database: Database, build_id: str, attempt: int, number: int, limit: int = 1000
) -> list[asyncpg.Record]:
    """Lines after (`attempt`, `number`): attempt, number, line."""
    return await database.fetch(
        "select attempt, number, line from build_log"
        " where build_id = $1 and (attempt, number) > ($2, $3)"
        " order by attempt, number limit $4",
        build_id,
        attempt,
        number,
        limit,
    )


async def _finish(
    tx: Any,
    build: Build,
    state: str,
    reason: str | None = None,
    image: str | None = None,
    kind: str | None = None,
) -> bool:
    finished = await tx.fetchval(
        "update builds set state = $3, reason = $4, image = $5, kind = $6, finished_at = now()"
        " where id = $1 and attempt = $2 and state = 'running' returning true",
        build.id,
        build.attempt,
        state,
        reason,
        image,
        kind,
    )
    # The app's next build may have waited for this one.
    await _notify(tx)
    return bool(finished)


async def _notify(tx: Any, payload: str = "") -> None:
    await tx.execute("select pg_notify($1, $2)", CHANNEL, payload)
