"""The scheduler's SQL, one function a question. `tx` is a connection inside a transaction."""

from typing import Any

from shared.telemetry import current_traceparent

RESCUE_SECONDS = 10
"""A rollout whose worker has not been heard of for so long is taken over."""

FORGET_GATEWAY_SECONDS = 300
"""A gateway that vanished, and of which nobody says that it has ended, may still route by what it
knew; after this it is taken for gone."""
PRESENT_SECONDS = 20


async def lock_app(tx: Any, app: str) -> Any:
    return await tx.fetchrow("select * from apps where app = $1 for update", app)


async def ensure_app(tx: Any, app: str) -> None:
    """A row for the app. Its generations go on behind those of a deleted app by the same name,
    whose instances may still be stopping."""
    await tx.execute(
        "insert into apps (app, generation) values"
        " ($1, (select coalesce(max(generation), 0) from instances where app = $1))"
        " on conflict do nothing",
        app,
    )


async def revive_app(tx: Any, app: str) -> None:
    await tx.execute("delete from deleted_apps where app = $1", app)


async def is_deleted(tx: Any, app: str) -> bool:
    """Was the app deleted, and not created again since?"""
    return await tx.fetchval("select exists (select from deleted_apps where app = $1)", app)


async def set_announced(tx: Any, app: str, revision: int, content: dict[str, Any]) -> None:
    await tx.execute(
        "update apps set revision = $2, announced = $3 where app = $1", app, revision, content
    )


async def instances_of(tx: Any, app: str) -> list[Any]:
    return await tx.fetch("select * from instances where app = $1 order by instance", app)


# Releases


async def add_release(tx: Any, app: str, **columns: Any) -> int:
    """A new release of an app that is locked or new; its number."""
    await lock_app(tx, app)
    release = 1 + await tx.fetchval(
        "select coalesce(max(release), 0) from releases where app = $1", app
    )
    names = ["app", "release", *columns]
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    await tx.execute(
        f"insert into releases ({', '.join(names)}) values ({places})",
        app,
        release,
        *columns.values(),
    )
    return release


async def release(database: Any, app: str, number: int) -> Any:
    return await database.fetchrow(
        "select * from releases where app = $1 and release = $2", app, number
    )


async def releases(database: Any, app: str) -> list[Any]:
    return await database.fetch(
        "select * from releases where app = $1 order by release desc limit 200", app
    )


async def set_config_version(tx: Any, app: str, number: int, version: int) -> None:
    await tx.execute(
        "update releases set config_version = $3 where app = $1 and release = $2",
        app,
        number,
        version,
    )


async def needed_images(database: Any, kept: int) -> set[str]:
    """Images that may be started again: of what runs or is under way, and of the last `kept`
    releases of each app."""
    rows = await database.fetch(
        "select distinct image from releases r where state in ('pending', 'live')"
        " or exists (select from instances i where i.app = r.app and i.release = r.release)"
        " or release > (select max(release) from releases newest where newest.app = r.app) - $1",
        kept,
    )
    return {row["image"] for row in rows}


async def copy_release(tx: Any, app: str, number: int, reason: str, actor: str) -> int | None:
    """A new release of the same image; None when there is no such release."""
    old = await tx.fetchrow(
        "select * from releases where app = $1 and release = $2 and state <> 'failed'", app, number
    )
    if old is None:
        return None
    kept = ("image", "kind", "process_types", "build_id", "commit", "author", "message")
    return await add_release(
        tx, app, **{name: old[name] for name in kept}, reason=reason, actor=actor
    )


# Rollouts


async def add_rollout(tx: Any, app: str, kind: str, release: int, deploy_id: str | None) -> int:
    """Queue a rollout under a generation of its own; its id."""
    generation = await tx.fetchval(
        "update apps set generation = generation + 1 where app = $1 returning generation", app
    )
    return await tx.fetchval(
        "insert into rollouts (app, kind, release, deploy_id, generation, traceparent, cancelled)"
        " values ($1, $2, $3, $4, $5, $6,"
        " (select reason from cancelled_deploys where deploy_id = $4)) returning id",
        app,
        kind,
        release,
        deploy_id,
        generation,
        current_traceparent(),
    )


async def waits_for_config(tx: Any, app: str) -> bool:
    """Is there a rollout to new config that has not read it yet? (A deploy may fail: no such.)"""
    return await tx.fetchval(
        "select exists (select from rollouts"
        " where app = $1 and state = 'queued' and kind = 'config')",
        app,
    )


async def claim_rollout(database: Any, worker: str) -> Any:
    """The oldest rollout of an app that none is being worked on for, or one whose worker died."""
    async with database.transaction() as tx:
        rollout = await _claim(tx, worker)
        return await _of_what_is_live(tx, rollout) if rollout else None


async def _of_what_is_live(tx: Any, rollout: Any) -> Any:
    """Restarts and new config concern what is live now, not what was when they were asked for."""
    if rollout["kind"] == "config":
        await tx.execute(
            "update releases n set image = o.image, kind = o.kind,"
            " process_types = o.process_types, build_id = o.build_id, commit = o.commit,"
            " author = o.author, message = o.message"
            " from apps a join releases o on o.app = a.app and o.release = a.live_release"
            " where a.app = $1 and n.app = $1 and n.release = $2 and n.state = 'pending'",
            rollout["app"],
            rollout["release"],
        )
    if rollout["kind"] != "restart":
        return rollout
    return await tx.fetchrow(
        "update rollouts r set release = coalesce(a.live_release, r.release)"
        " from apps a where a.app = r.app and r.id = $1 returning r.*",
        rollout["id"],
    )


async def _claim(tx: Any, worker: str) -> Any:
    return await tx.fetchrow(
        f"""
        update rollouts set claimed_by = $1, heartbeat = now(), attempt = attempt + 1,
               state = case when state = 'queued' then 'running' else state end
        where id = (
            select id from rollouts r
            where state in ('running', 'activated')
                  and heartbeat < now() - interval '{RESCUE_SECONDS} seconds'
               or state = 'queued' and not exists (
                      select from rollouts o where o.app = r.app and o.id < r.id
                      and o.state in ('queued', 'running', 'activated'))
            order by id limit 1 for update skip locked)
        returning *
        """,
        worker,
    )


async def beat(database: Any, rollout: Any) -> bool:
    """Say that we still work on it; False when somebody else has taken it over."""
    done = await database.execute(
        "update rollouts set heartbeat = now() where id = $1 and attempt = $2"
        " and state in ('running', 'activated')",
        rollout["id"],
        rollout["attempt"],
    )
    return done.endswith(" 1")


async def lock_rollout(tx: Any, rollout: Any) -> Any:
    """The rollout's row, locked, if it is still ours; else None."""
    return await tx.fetchrow(
        "select * from rollouts where id = $1 and attempt = $2"
        " and state in ('running', 'activated') for update",
        rollout["id"],
        rollout["attempt"],
    )


async def cancelled(database: Any, rollout: Any) -> str | None:
    return await database.fetchval("select cancelled from rollouts where id = $1", rollout["id"])


async def cancel_deploy(tx: Any, deploy_id: str, reason: str) -> None:
    """Give a deploy up, also one whose rollout is not there yet."""
    await tx.execute(
        "insert into cancelled_deploys (deploy_id, reason) values ($1, $2) on conflict do nothing",
        deploy_id,
        reason,
    )
    await tx.execute("delete from cancelled_deploys where at < now() - interval '1 day'")
    await tx.execute(
        "update rollouts set cancelled = $2"
        " where deploy_id = $1 and state in ('queued', 'running')",
        deploy_id,
        reason,
    )


async def finish_rollout(tx: Any, rollout: Any, state: str, reason: str | None = None) -> None:
    await tx.execute(
        "update rollouts set state = $2, reason = $3, finished_at = now() where id = $1",
        rollout["id"],
        state,
        reason,
    )


async def activate(tx: Any, rollout: Any) -> None:
    """Make the rollout's generation the live one; what was live before drains or stops."""
    app, generation = rollout["app"], rollout["generation"]
    await tx.execute(
        "update apps set live_release = $2, live_generation = $3 where app = $1",
        app,
        rollout["release"],
        generation,
    )
    await tx.execute(
        "update releases set state = case when release = $2 then 'live' else 'retired' end"
        " where app = $1 and (release = $2 or state = 'live')",
        app,
        rollout["release"],
    )
    await tx.execute(
        "update instances set state = case when process_type = 'web' and state = 'healthy'"
        " then 'draining' else 'stopping' end"
        " where app = $1 and generation < $2 and state in ('starting', 'healthy', 'crashed')",
        app,
        generation,
    )
    await tx.execute("update rollouts set state = 'activated' where id = $1", rollout["id"])


async def fail_release(tx: Any, app: str, number: int) -> None:
    await tx.execute(
        "update releases set state = 'failed'"
        " where app = $1 and release = $2 and state = 'pending'",
        app,
        number,
    )


# Instances


async def next_port(tx: Any) -> int:
    """A port that no instance has; taken in turn."""
    while True:
        port = await tx.fetchval("select nextval('ports')")
        if not await tx.fetchval("select exists (select from instances where port = $1)", port):
            return port


async def add_instance(
    tx: Any, rollout_or_app: Any, release: int, process_type: str, generation: int, number: int
) -> None:
    """A row for an instance that is to be started; it counts from 1 within its generation."""
    app = rollout_or_app["app"]
    port = await next_port(tx) if process_type == "web" else None
    await tx.execute(
        "insert into instances (instance, app, release, process_type, generation, state, port)"
        " values ($1, $2, $3, $4, $5, 'starting', $6) on conflict do nothing",
        f"{app}.{process_type}.{generation}-{number}",
        app,
        release,
        process_type,
        generation,
        port,
    )


async def generation_instances(database: Any, app: str, generation: int) -> list[Any]:
    return await database.fetch(
        "select * from instances where app = $1 and generation = $2 order by instance",
        app,
        generation,
    )


async def change_port(database: Any, instance: str) -> int:
    async with database.transaction() as tx:
        port = await next_port(tx)
        await tx.execute("update instances set port = $2 where instance = $1", instance, port)
        return port


async def set_reference(database: Any, instance: str, reference: dict[str, Any]) -> None:
    await database.execute(
        "update instances set reference = $2 where instance = $1", instance, reference
    )


async def mark_healthy(tx: Any, instance: str) -> bool:
    """True when the instance was starting and now counts."""
    done = await tx.execute(
        "update instances set state = 'healthy', healthy_at = now(), reason = ''"
        " where instance = $1 and state = 'starting'",
        instance,
    )
    return done.endswith(" 1")


async def mark_starting(tx: Any, instance: str) -> bool:
    done = await tx.execute(
        "update instances set state = 'starting', restarts = restarts + 1"
        " where instance = $1 and state = 'crashed'",
        instance,
    )
    return done.endswith(" 1")


async def mark_crashed(
    tx: Any, instance: str, reason: str, delay: float, restarts: int | None = None
) -> bool:
    """True when it was running or starting; it is started again after `delay` seconds."""
    done = await tx.execute(
        "update instances set state = 'crashed', reason = $2, reference = null,"
        " start_after = now() + make_interval(secs => $3), restarts = coalesce($4, restarts)"
        " where instance = $1 and state in ('starting', 'healthy')",
        instance,
        reason,
        delay,
        restarts,
    )
    return done.endswith(" 1")


async def stop_generation(tx: Any, app: str, generation: int) -> None:
    await tx.execute(
        "update instances set state = 'stopping' where app = $1 and generation = $2"
        " and state <> 'stopping'",
        app,
        generation,
    )


async def retire_instance(tx: Any, instance: str, state: str) -> None:
    await tx.execute("update instances set state = $2 where instance = $1", instance, state)


async def note_drain_revision(tx: Any, app: str, revision: int) -> None:
    await tx.execute(
        "update instances set drain_revision = $2"
        " where app = $1 and state = 'draining' and drain_revision is null",
        app,
        revision,
    )


async def note_drained(tx: Any, instance: str, gateway: str, revision: int) -> None:
    await tx.execute(
        "update instances set drained_by = drained_by || to_jsonb($2::text)"
        " where instance = $1 and state = 'draining' and drain_revision <= $3"
        " and not drained_by ? $2",
        instance,
        gateway,
        revision,
    )


async def forget_instance(tx: Any, instance: str) -> None:
    await tx.execute("delete from instances where instance = $1", instance)


async def all_instances(database: Any) -> list[Any]:
    return await database.fetch("select * from instances order by app, instance")


async def live_apps(database: Any) -> list[Any]:
    return await database.fetch("select * from apps where live_release is not null")


async def orphaned(database: Any) -> list[Any]:
    """Instances that belong to no live generation and to no rollout that is under way."""
    return await database.fetch(
        """
        select i.* from instances i left join apps a using (app)
        where i.state in ('starting', 'healthy', 'crashed')
          and (a.app is null or i.generation <> a.live_generation)
          and not exists (
              select from rollouts r where r.app = i.app and r.generation = i.generation
              and r.state in ('queued', 'running', 'activated'))
        """
    )


async def drained(database: Any, sure: bool) -> list[Any]:
    """Draining instances that no gateway we have to reckon with sends anything to any more.

    `sure`: the bus was heard for so long that a gateway unseen all the while is gone. Unless we
    are, silence may be ours, and every gateway that was ever seen counts.
    """
    return await database.fetch(
        f"""
        select i.* from instances i
        where i.state = 'draining' and i.drain_revision is not null
          and exists (select from gateways)
          and not exists (
              select from gateways g
              where (not $1 or g.seen_at > now() - interval '{FORGET_GATEWAY_SECONDS} seconds')
                and not i.drained_by ? g.gateway)
        """,
        sure,
    )


# Gateways


async def gateway_seen(database: Any, gateway: str) -> None:
    await database.execute(
        "insert into gateways (gateway) values ($1)"
        " on conflict (gateway) do update set seen_at = now()",
        gateway,
    )


async def forget_gateways(database: Any, gateways: list[str]) -> None:
    """Reckon no more with gateways that have ended for good."""
    async with database.transaction() as tx:
        for table in ("gateways", "applied"):
            await tx.execute(f"delete from {table} where gateway = any($1)", gateways)


async def note_applied(tx: Any, app: str, gateway: str, revision: int) -> None:
    await tx.execute(
        "insert into applied (app, gateway, revision) values ($1, $2, $3)"
        " on conflict (app, gateway) do update"
        " set revision = greatest(applied.revision, excluded.revision)",
        app,
        gateway,
        revision,
    )


async def behind(database: Any, app: str, revision: int) -> tuple[int, int]:
    """How many gateways are present, and how many of them do not route by `revision` yet."""
    row = await database.fetchrow(
        f"""
        select count(*) as present,
               count(*) filter (where coalesce(a.revision, 0) < $2) as behind
        from gateways g left join applied a on a.gateway = g.gateway and a.app = $1
        where g.seen_at > now() - interval '{PRESENT_SECONDS} seconds'
        """,
        app,
        revision,
    )
    return row["present"], row["behind"]


async def forget_app(tx: Any, app: str) -> None:
    """Remove all that is known of an app but its instances, which are yet to be stopped."""
    await tx.execute("insert into deleted_apps (app) values ($1) on conflict do nothing", app)
    await tx.execute("update instances set state = 'stopping' where app = $1", app)
    for table in ("applied", "rollouts", "releases", "apps"):
        await tx.execute(f"delete from {table} where app = $1", app)
