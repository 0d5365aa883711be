"""The reconciler: on a clock, what runs is compared with what shall run, and brought to agree.

One process does it at a time (it holds a lease). It never stops an instance for lack of news: only
rows that say so are acted on.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from services.scheduler import routing, store
from services.scheduler.gateways import Gateways
from services.scheduler.starting import NotHealthy, NotWanted, Starter
from shared.database import Database, outbox
from shared.errors import MoorageError, Unavailable
from shared.events import new_event
from shared.events.catalogue import InstanceCrashed, InstanceStarted, InstanceStopped
from shared.logs import get_logger

logger = get_logger(__name__)

CLOCK_SECONDS = 2.0
RETRY_SECONDS = 0.5
HOUSEKEEPING_SECONDS = 30.0
DISCARD_SECONDS = 600.0
LONGEST_BACKOFF_SECONDS = 60.0
ONE_OFF = ".run."
"""One-off runs have no row; they end with whoever asked for them."""
STEADY_SECONDS = 60.0
"""An instance that was healthy for so long begins anew with its restarts."""


def backoff(restarts: int) -> float:
    """Seconds until a crashed instance starts again: at once, 1, 2, 4 ... 60."""
    return 0.0 if restarts == 0 else min(2.0 ** (restarts - 1), LONGEST_BACKOFF_SECONDS)


def missing_and_surplus(
    app: Any, instances: list[Any], process_types: dict[str, str]
) -> tuple[list[tuple[str, int]], list[Any]]:
    """What the formation lacks, as (process type, number), and the rows it has too many.

    The surplus are those with the highest numbers, so that the others keep their names.
    """
    formation = {name: count for name, count in app["formation"].items() if name in process_types}
    by_type: dict[str, dict[int, Any]] = defaultdict(dict)
    for row in instances:
        by_type[row["process_type"]][int(row["instance"].rpartition("-")[2])] = row
    lacking: list[tuple[str, int]] = []
    surplus: list[Any] = []
    for name in {*formation, *by_type}:
        wanted = formation.get(name, 0)
        have = by_type[name]
        free = (number for number in range(1, 10_000) if number not in have)
        lacking += [(name, next(free)) for _ in range(wanted - len(have))]
        surplus += [have[number] for number in sorted(have)[wanted:]]
    return lacking, surplus


class Reconciler:
    """Keeps the live generation of every app as its formation says."""

    def __init__(self, database: Database, starter: Starter, gateways: Gateways) -> None:
        self._database = database
        self._gateways = gateways
        self._starter = starter
        self._engine = starter.engine
        self._wake = asyncio.Event()
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}

    async def work(self) -> None:
        """Reconcile while holding the lease, for ever."""
        await self._database.listen("scheduler", lambda _: self._wake.set())
        while True:
            async with self._database.lease("reconciler") as lost:
                with contextlib.suppress(Unavailable):  # then nothing of it can be ended either
                    await self._adopt()
                while not lost.is_set():
                    await self._turn()
                for task in (*self._starting.values(), *self._stopping.values()):
                    task.cancel()

    async def _turn(self) -> None:
        self._wake.clear()
        try:
            await self._check_live()
            await self._check_formations()
            await self._retire()
        except Unavailable as error:
            logger.warning("reconciler waits", extra={"cause": error.detail})
            await asyncio.sleep(RETRY_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOCK_SECONDS):
                await self._wake.wait()

    async def heed(self) -> None:
        """Look at once when the engine says that something has happened, for ever."""
        async for _ in self._engine.changes():
            self._wake.set()

    async def housekeep(self) -> None:
        """Let the engine tidy up, for ever."""
        discarded = 0.0
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            with contextlib.suppress(Unavailable):
                rows = await store.all_instances(self._database)
                await self._engine.housekeep({row["instance"] for row in rows})
                if time.monotonic() - discarded > DISCARD_SECONDS:
                    discarded = time.monotonic()
                    await self._discard()

    async def _discard(self) -> None:
        settings = self._starter.settings
        needed = await store.needed_images(self._database, settings.releases_kept)
        removed = await self._engine.discard(needed, settings.image_hours * 3600)
        if removed:
            logger.info("images removed", extra={"count": removed})

    async def _adopt(self) -> None:
        """End what this engine runs although no row asks for it."""
        # Rows are written before anything is started: read after, they know all that runs.
        running = await self._engine.adopt()
        try:
            known = {row["instance"] for row in await store.all_instances(self._database)}
        except Unavailable:
            return
        for instance, reference in running.items():
            if instance not in known and ONE_OFF not in instance:
                logger.warning(
                    "stopping an instance that no row knows", extra={"instance": instance}
                )
                await self._engine.stop(reference, self._starter.settings.stop_grace)
                await self._engine.remove(instance)

    async def _check_live(self) -> None:
        """Notice what ended; start again what is due."""
        now = datetime.now(UTC)
        live = {app["app"]: app["live_generation"] for app in await store.live_apps(self._database)}
        for row in await store.all_instances(self._database):
            if live.get(row["app"]) != row["generation"] or row["instance"] in self._starting:
                continue
            if row["state"] == "healthy":
                await self._check_running(row)
            elif row["state"] == "starting" or (
                row["state"] == "crashed" and row["start_after"] <= now
            ):
                task = asyncio.create_task(self._bring_back(row))
                self._starting[row["instance"]] = task
                task.add_done_callback(
                    lambda _, name=row["instance"]: self._starting.pop(name, None)
                )

    async def _check_running(self, row: Any) -> None:
        reference = row["reference"]
        status = await self._engine.poll(reference) if reference else None
        if status is not None and status.state == "running":
            return
        # "unknown" is an instance of before a restart of the machine: nobody's crash.
        ended = status is not None and status.state == "exited"
        steady = (datetime.now(UTC) - row["healthy_at"]).total_seconds() > STEADY_SECONDS
        restarts = 0 if steady else row["restarts"]
        reason = status.reason if status is not None and ended else "the machine restarted"
        await self._crashed(row, reason, backoff(restarts) if ended else 0.0, restarts)

    async def _crashed(self, row: Any, reason: str, delay: float, restarts: int) -> None:
        logger.warning("instance ended", extra={"instance": row["instance"], "reason": reason})
        async with self._database.transaction() as tx:
            await store.lock_app(tx, row["app"])
            if await store.mark_crashed(tx, row["instance"], reason, delay, restarts):
                await _record(tx, InstanceCrashed, row, reason)
                await routing.announce(tx, row["app"])

    async def _bring_back(self, row: Any) -> None:
        """Start one instance of the live generation and give it its traffic when healthy."""
        try:
            release = await store.release(self._database, row["app"], row["release"])
            manifest = await self._engine.image(release["image"])
            config = await self._starter.reader.read(row["app"], row["instance"])
            if row["state"] == "crashed":
                async with self._database.transaction() as tx:
                    if not await store.mark_starting(tx, row["instance"]):
                        return
            started = await self._starter.start(row, release, config)
            await self._starter.wait_healthy(
                started, manifest, _silent, lambda: self._check_wanted(row)
            )
            async with self._database.transaction() as tx:
                await store.lock_app(tx, row["app"])
                if await store.mark_healthy(tx, row["instance"]):
                    await _record(tx, InstanceStarted, row, "")
                    await routing.announce(tx, row["app"])
        except (Unavailable, NotWanted) as error:
            logger.info("instance waits", extra={"instance": row["instance"], "why": error.detail})
            await asyncio.sleep(1)
        except NotHealthy as error:
            await self._stop_process(row["instance"])
            await self._give_up(row, error.detail)
        except MoorageError as error:
            await self._give_up(row, error.detail)
        except Exception:
            logger.exception("instance could not be started")
            await self._give_up(row, "The platform had an error of its own; see its log.")

    async def _give_up(self, row: Any, reason: str) -> None:
        with contextlib.suppress(Unavailable):
            restarts = row["restarts"] + 1
            await self._crashed(row, reason, backoff(restarts), restarts)

    async def _check_wanted(self, row: Any) -> None:
        """Raises `NotWanted` when the row was given up, or is gone, while its instance starts."""
        if not await self._database.fetchval(
            "select exists (select from instances where instance = $1 and state = 'starting')",
            row["instance"],
        ):
            raise NotWanted(f"{row['instance']} is not wanted any more.")

    async def _check_formations(self) -> None:
        for app in await store.live_apps(self._database):
            release = await store.release(self._database, app["app"], app["live_release"])
            rows = await store.generation_instances(
                self._database, app["app"], app["live_generation"]
            )
            active = [row for row in rows if row["state"] in ("starting", "healthy", "crashed")]
            lacking, surplus = missing_and_surplus(app, active, release["process_types"])
            if lacking or surplus:
                await self._adjust(app, lacking, surplus, rows)

    async def _adjust(
        self, app: Any, lacking: list[tuple[str, int]], surplus: list[Any], rows: list[Any]
    ) -> None:
        taken = {row["instance"] for row in rows}
        async with self._database.transaction() as tx:
            held = await store.lock_app(tx, app["app"])
            if held is None or held["live_generation"] != app["live_generation"]:
                return
            for process_type, number in lacking:
                name = f"{app['app']}.{process_type}.{app['live_generation']}-{number}"
                if name not in taken:  # one by that name is still draining: next time
                    await store.add_instance(
                        tx, app, app["live_release"], process_type, app["live_generation"], number
                    )
            for row in surplus:
                draining = row["state"] == "healthy" and row["process_type"] == "web"
                await store.retire_instance(
                    tx, row["instance"], "draining" if draining else "stopping"
                )
            await routing.announce(tx, app["app"])

    async def _retire(self) -> None:
        """Stop what has been drained, what was given up, and what nobody asks for any more."""
        drained = await store.drained(self._database, self._gateways.sure)
        for row in (*drained, *await store.orphaned(self._database)):
            async with self._database.transaction() as tx:
                await store.retire_instance(tx, row["instance"], "stopping")
        for row in await store.all_instances(self._database):
            if row["state"] == "stopping" and row["instance"] not in self._stopping:
                task = asyncio.create_task(self._stop(row))
                self._stopping[row["instance"]] = task
                task.add_done_callback(
                    lambda _, name=row["instance"]: self._stopping.pop(name, None)
                )

    async def _stop(self, row: Any) -> None:
        try:
            await self._stop_process(row["instance"], row["reference"])
            await self._engine.remove(row["instance"])
            async with self._database.transaction() as tx:
                await store.lock_app(tx, row["app"])
                await store.forget_instance(tx, row["instance"])
                await _record(tx, InstanceStopped, row, "")
                await routing.announce(tx, row["app"])
        except Unavailable as error:
            logger.warning("instance not stopped yet", extra={"cause": error.detail})

    async def _stop_process(self, instance: str, reference: Any = None) -> None:
        """Stop by the reference noted, or by what the engine itself knows."""
        known = reference or (await self._engine.adopt()).get(instance)
        if known:
            await self._engine.stop(known, self._starter.settings.stop_grace)


async def _silent(_: str) -> None:
    return


async def _record(tx: Any, kind: type[InstanceStarted], row: Any, reason: str) -> None:
    event = kind(
        app=row["app"],
        instance=row["instance"],
        release=row["release"],
        process_type=row["process_type"],
        reason=reason,
    )
    await outbox.record(tx, new_event("scheduler", event))
