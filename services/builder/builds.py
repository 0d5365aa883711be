"""Builds as jobs: claimed, worked on with a heartbeat, rescued when their builder dies.

| duty       | what it does                                                             |
|------------|--------------------------------------------------------------------------|
| `work`     | claims queued builds while there are free places, and ends cancelled ones |
| `rescue`   | queues again what a dead builder left, or fails it after three attempts  |
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.builder import store
from services.builder.build_log import BuildLog
from services.builder.jobs import Job
from services.builder.recipe import Result
from services.builder.store import Build
from shared import telemetry
from shared.bus import Bus
from shared.database import Database, outbox
from shared.errors import MoorageError, Unavailable
from shared.events import new_event
from shared.events.catalogue import BuildFailed, BuildStarted, BuildSucceeded, EventData
from shared.logs import get_logger

logger = get_logger(__name__)

HEARTBEAT_SECONDS = 2.0
RESCUE_SECONDS = 3.0
RETRY_SECONDS = 0.5
AGAIN_SECONDS = 2.0
MOST_TRIES = 30
"""Attempts at a build that something keeps from going on, such as an engine that is away."""

Cook = Callable[[str, Job], Coroutine[Any, Any, Result]]
"""cook(source, job): makes the image of a source archive, see `recipe.cook`."""


@dataclass(frozen=True)
class Terms:
    """How this builder works: its name, its places, its clocks (seconds)."""

    worker: str
    places: int
    poll: float
    timeout: float
    heartbeat: float = HEARTBEAT_SECONDS
    rescue: float = RESCUE_SECONDS


class Builds:
    """This builder's share of the queue."""

    def __init__(
        self, database: Database, bus: Bus, cook: Cook, work_folder: Path, terms: Terms
    ) -> None:
        self._database = database
        self._bus = bus
        self._cook = cook
        self._folder = work_folder
        self._terms = terms
        self._running: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._stopping = False

    async def work(self) -> None:
        """Run for ever."""
        await self._database.listen(store.CHANNEL, self._hear)
        while True:
            with suppress(Unavailable):
                await self._fill_places()
            # Not `wait_for`: before Python 3.12 it may swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._terms.poll):
                    await self._wake.wait()
            self._wake.clear()

    async def rescue(self) -> None:
        """Run for ever."""
        while True:
            with suppress(Unavailable):
                await rescue_abandoned(self._database)
            await asyncio.sleep(self._terms.rescue)

    async def stop(self) -> None:
        """Take nothing more, end what runs and hand it back."""
        self._stopping = True
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hear(self, build_id: str) -> None:
        if task := self._running.get(build_id):
            task.cancel()
        self._wake.set()

    async def _fill_places(self) -> None:
        while len(self._running) < self._terms.places and not self._stopping:
            build = await self._claim()
            if build is None:
                return
            task = asyncio.create_task(self._run(build))
            self._running[build.id] = task
            task.add_done_callback(lambda _, ended=build.id: self._ended(ended))

    def _ended(self, build_id: str) -> None:
        self._running.pop(build_id, None)
        self._wake.set()

    async def _claim(self) -> Build | None:
        async with self._database.transaction() as tx:
            build = await store.claim(tx, self._terms.worker)
            if build and build.attempt == 1:
                started = BuildStarted(app=build.app, deploy_id=build.deploy_id, build_id=build.id)
                with telemetry.span("build started", build.traceparent, app=build.app):
                    await outbox.record(tx, new_event("builder", started))
            return build

    async def _run(self, build: Build) -> None:
        log = BuildLog(self._database, self._bus, build)
        carrier = asyncio.create_task(log.carry())
        try:
            with telemetry.span("build", build.traceparent, app=build.app, build=build.id):
                await self._run_in_span(build, log)
        except asyncio.CancelledError:
            if self._stopping:
                await self._hand_back(build)
            else:
                logger.info("build given up", extra={"app": build.app, "build": build.id})
        except Exception:
            # The row stays "running" without a heartbeat: it is rescued.
            logger.exception("build left", extra={"app": build.app, "build": build.id})
        finally:
            carrier.cancel()
            with suppress(Unavailable):
                await log.flush()

    async def _run_in_span(self, build: Build, log: BuildLog) -> None:
        job = Job(
            name=build.name,
            app=build.app,
            work=self._folder / build.name,
            say=log.say,
            timeout=self._terms.timeout,
        )
        cooking = asyncio.create_task(self._cook(build.source, job))
        beating = asyncio.create_task(self._beat(build))
        try:
            async with asyncio.timeout(self._terms.timeout + 60):
                await asyncio.wait({cooking, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not cooking.done():
                logger.warning("build lost", extra={"app": build.app, "build": build.id})
                return
            await self._finish(build, log, cooking)
        finally:
            await _end(cooking, beating)

    async def _beat(self, build: Build) -> None:
        """Beat until the build is not ours any more."""
        while True:
            with suppress(Unavailable):
                if not await store.beat(self._database, build):
                    return
            await asyncio.sleep(self._terms.heartbeat)

    async def _finish(self, build: Build, log: BuildLog, cooking: "asyncio.Task[Result]") -> None:
        error = cooking.exception()
        if error is None:
            await self._record(build, log, cooking.result())
            return
        if isinstance(error, Unavailable) and build.attempt < MOST_TRIES:
            log.say(f" !     {error.detail} Trying again")
            await asyncio.sleep(AGAIN_SECONDS)
            await self._hand_back(build)
            return
        if isinstance(error, MoorageError):
            reason = error.detail
        else:
            logger.error("build broke", extra={"build": build.id}, exc_info=error)
            reason = (
                f"The builder had a trouble of its own ({type(error).__name__}: {error}); push "
                "again, and tell the administrator if it comes back."
            )[:500]
        await self._record(build, log, reason)

    async def _record(self, build: Build, log: BuildLog, outcome: Result | str) -> None:
        """Write the end of a build, however long the database takes to come back."""
        while True:
            try:
                await log.flush()
                async with self._database.transaction() as tx:
                    if await _written(tx, build, outcome):
                        await outbox.record(tx, new_event("builder", _event(build, outcome)))
                return
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def _hand_back(self, build: Build) -> None:
        with suppress(Unavailable):
            await store.hand_back(self._database, build)


async def rescue_abandoned(database: Database) -> None:
    """Queue again, or end, the running builds that nobody works on any more."""
    async with database.transaction() as tx:
        for row in await store.abandoned(tx):
            logger.warning("build rescued", extra={"app": row["app"], "build": row["id"]})
            if row["newer"]:
                reason = "A newer push of this app took its place."
            elif row["rescues"] + 1 >= store.MOST_ATTEMPTS:
                reason = (
                    f"The builder died {store.MOST_ATTEMPTS} times over this build, maybe for want "
                    "of memory; push again, and tell the administrator if it comes back."
                )
            else:
                await store.requeue(tx, row["id"])
                continue
            await store.end(tx, row["id"], "cancelled" if row["newer"] else "failed", reason)
            failed = BuildFailed(
                app=row["app"], deploy_id=row["deploy_id"], build_id=row["id"], reason=reason
            )
            await outbox.record(tx, new_event("builder", failed))


async def _written(tx: Any, build: Build, outcome: Result | str) -> bool:
    if isinstance(outcome, str):
        return await store.fail(tx, build, outcome)
    return await store.succeed(tx, build, outcome.image, outcome.plan.framework.kind)


def _event(build: Build, outcome: Result | str) -> EventData:
    if isinstance(outcome, str):
        return BuildFailed(
            app=build.app, deploy_id=build.deploy_id, build_id=build.id, reason=outcome
        )
    return BuildSucceeded(
        app=build.app,
        deploy_id=build.deploy_id,
        build_id=build.id,
        image=outcome.image,
        kind=outcome.plan.framework.kind,
        process_types=outcome.plan.process_types,
        commit=build.commit,
        author=build.author,
        message=build.message,
        pusher=build.pusher,
    )


async def _end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
