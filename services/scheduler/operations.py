"""What people ask of a running app: scale, restart, roll back, look at it, run something in it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from services.scheduler import store
from services.scheduler.engines.protocol import InstanceSpec
from services.scheduler.environment import environment_of
from services.scheduler.starting import Starter, limits_of
from shared.database import Database, outbox
from shared.errors import Conflict, Invalid, NotFound, Unavailable
from shared.events import new_event
from shared.events.catalogue import AppScaled
from shared.names import new_id

MOST_INSTANCES = 64


class Operations:
    """Every method raises `NotFound` for an app that there is not."""

    def __init__(self, database: Database, starter: Starter) -> None:
        self._database = database
        self._starter = starter

    async def releases(self, app: str) -> list[dict[str, Any]]:
        await self._app(app)
        return [_release(row) for row in await store.releases(self._database, app)]

    async def instances(self, app: str) -> list[dict[str, Any]]:
        """The app's instances with what they use; one that is starting has no figures yet."""
        await self._app(app)
        rows = await store.instances_of(self._database, app)
        # Those of a rollout that failed never counted; they are only being cleared away.
        rows = [row for row in rows if row["state"] != "stopping" or row["healthy_at"]]
        return list(await asyncio.gather(*(self._instance(row) for row in rows)))

    async def formation(self, app: str) -> dict[str, int]:
        return (await self._app(app))["formation"]

    async def scale(self, app: str, change: dict[str, int], actor: str) -> dict[str, int]:
        """Set how many instances the process types named in `change` shall have."""
        known = await self._process_types(app)
        for name, count in change.items():
            if known is not None and name not in known:
                raise Invalid(
                    f"'{app}' has no process type '{name}'; it has {', '.join(sorted(known))}."
                )
            if not 0 <= count <= MOST_INSTANCES:
                raise Invalid(f"Scale '{name}' to a number from 0 to {MOST_INSTANCES}.")
        async with self._database.transaction() as tx:
            row = await store.lock_app(tx, app)
            formation = {**row["formation"], **change}
            await tx.execute("update apps set formation = $2 where app = $1", app, formation)
            event = AppScaled(app=app, formation=formation, actor=actor)
            await outbox.record(tx, new_event("scheduler", event))
        return formation

    async def restart(self, app: str) -> dict[str, Any]:
        """Replace every instance by a new one of the same release, without downtime."""
        async with self._database.transaction() as tx:
            row = await self._live(tx, app)
            rollout = await store.add_rollout(tx, app, "restart", row["live_release"], None)
        return {"release": row["live_release"], "rollout": rollout}

    async def roll_back(self, app: str, number: int | None, actor: str) -> dict[str, Any]:
        """Release an earlier image again, with the config of now; no build is needed."""
        async with self._database.transaction() as tx:
            row = await self._live(tx, app)
            number = number or await self._previous(tx, app, row["live_release"])
            release = await store.copy_release(tx, app, number, f"rollback to v{number}", actor)
            if release is None:
                raise NotFound(
                    f"'{app}' has no release v{number} that was ever live; "
                    "list them with 'moorage releases'."
                )
            rollout = await store.add_rollout(tx, app, "rollback", release, None)
        return {"release": release, "rolled_back_to": number, "rollout": rollout}

    async def logs(
        self, app: str, process_type: str | None, lines: int, follow: bool
    ) -> AsyncIterator[str]:
        """Lines of the app's instances, each behind the instance's short name."""
        await self._app(app)
        rows = [
            row
            for row in await store.instances_of(self._database, app)
            if process_type in (None, row["process_type"])
        ]
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1000)

        async def pump(row: Any) -> None:
            try:
                async for line in self._starter.engine.logs(row["instance"], lines, follow):
                    await queue.put(f"{row['instance'].removeprefix(app + '.')} | {line}")
            finally:
                await queue.put(None)

        return _drain(queue, [asyncio.create_task(pump(row)) for row in rows])

    async def run(self, app: str, command: list[str]) -> AsyncIterator[str]:
        """Run a command once in the app's environment; its last line is "exit-status: N"."""
        if not command:
            raise Invalid("Say which command to run, for example: moorage run -- python -V")
        row = await self._live(self._database, app)
        release = await store.release(self._database, app, row["live_release"])
        manifest = await self._starter.engine.image(release["image"])
        config = await self._starter.reader.read(app, "run")
        one_off = {
            "instance": f"{app}.run.{new_id()[:8]}",
            "app": app,
            "release": row["live_release"],
            "port": None,
        }
        spec = InstanceSpec(
            instance=one_off["instance"],
            app=app,
            process_type="run",
            image=release["image"],
            command="",
            environment=environment_of(
                one_off,
                manifest.prefix_env,
                config.values,
                self._starter.settings.public_url,
                self._starter.engine.bind,
            ),
            port=None,
            limits=limits_of(self._starter.settings),
        )
        return self._starter.engine.execute(spec, command)

    async def _app(self, app: str) -> Any:
        row = await self._database.fetchrow("select * from apps where app = $1", app)
        if row is None:
            raise NotFound(f"There is no app '{app}'; list yours with 'moorage apps'.")
        return row

    async def _live(self, tx: Any, app: str) -> Any:
        row = await tx.fetchrow("select * from apps where app = $1", app)
        if row is None:
            raise NotFound(f"There is no app '{app}'; list yours with 'moorage apps'.")
        if row["live_release"] is None:
            raise Conflict(f"'{app}' has no release yet; push its code first.")
        return row

    async def _previous(self, tx: Any, app: str, live: int) -> int:
        found = await tx.fetchval(
            "select max(release) from releases where app = $1 and release < $2"
            " and state = 'retired' and image <> (select image from releases"
            "  where app = $1 and release = $2)",
            app,
            live,
        )
        if found is None:
            raise Conflict(f"'{app}' has no earlier release to go back to.")
        return found

    async def _process_types(self, app: str) -> dict[str, str] | None:
        row = await self._app(app)
        if row["live_release"] is None:
            return None
        release = await store.release(self._database, app, row["live_release"])
        return release["process_types"]

    async def _instance(self, row: Any) -> dict[str, Any]:
        shown = {
            "instance": row["instance"],
            "process_type": row["process_type"],
            "release": row["release"],
            "state": row["state"],
            "restarts": row["restarts"],
            "reason": row["reason"],
            "started_at": row["created_at"].isoformat(),
            "memory_bytes": None,
            "cpu_seconds": None,
        }
        if row["reference"] and row["state"] in ("healthy", "draining"):
            with contextlib.suppress(Unavailable):
                used = await self._starter.engine.stats(row["reference"])
                shown |= {"memory_bytes": used.memory_bytes, "cpu_seconds": used.cpu_seconds}
        return shown


def _release(row: Any) -> dict[str, Any]:
    names = ("release", "state", "reason", "commit", "author", "message", "actor", "image", "kind")
    shown = {name: row[name] for name in names}
    return {
        **shown,
        "config_version": row["config_version"],
        "created_at": row["created_at"].isoformat(),
    }


async def _drain(
    queue: "asyncio.Queue[str | None]", pumps: list["asyncio.Task[None]"]
) -> AsyncIterator[str]:
    left = len(pumps)
    try:
        while left:
            line = await queue.get()
            if line is None:
                left -= 1
            else:
                yield line
    finally:
        for pump in pumps:
            pump.cancel()
