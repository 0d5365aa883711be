"""A rollout: new instances start beside the old, get healthy, get the traffic; the old ones drain.

It is a job row: claimed, heart-beaten, taken over when its worker dies. Nothing is switched before
every new instance is healthy, and until then giving up leaves the running version untouched.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from services.scheduler import routing, store
from services.scheduler.config import Config
from services.scheduler.starting import NotHealthy, NotWanted, Starter
from shared.bus import Bus
from shared.database import Database, outbox
from shared.errors import MoorageError, NotFound, Unavailable
from shared.events import new_event
from shared.events.catalogue import (
    DeployFailed,
    DeploySucceeded,
    InstanceStarted,
    ReleaseCreated,
)
from shared.logs import get_logger
from shared.telemetry import span

logger = get_logger(__name__)

BEAT_SECONDS = 2.0
APPLY_POLL_SECONDS = 0.5
SAY_SECONDS = 5.0
UNROUTED_SECONDS = 600.0
"""How long a rollout that is live waits for a gateway to say so before it ends without that."""


GIVEN_UP = {
    "superseded": "A newer push of this app has taken its place.",
    "disconnected": "The push was broken off before its release was live.",
}


class Lost(Exception):
    """Another worker has taken this rollout over."""


class Rollouts:
    """Works on rollouts, several at a time, each of another app."""

    def __init__(self, database: Database, bus: Bus, starter: Starter, worker: str) -> None:
        self._database = database
        self._bus = bus
        self._starter = starter
        self._worker = worker
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()

    async def work(self) -> None:
        """Claim and perform, for ever."""
        await self._database.listen("scheduler", self._hear)
        slots = asyncio.Semaphore(self._starter.settings.rollouts)
        while True:
            await slots.acquire()
            # Cleared before the look: news that come while it is under way are not lost.
            self._wake.clear()
            try:
                rollout = await store.claim_rollout(self._database, self._worker)
            except Unavailable:
                rollout = None
                await asyncio.sleep(0.5)
            if rollout is None:
                slots.release()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._wake.wait()
                continue
            task = asyncio.create_task(self._perform(rollout))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            task.add_done_callback(lambda _: (slots.release(), self._wake.set()))

    def _hear(self, _: str) -> None:
        self._wake.set()
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _perform(self, rollout: Any) -> None:
        """See one rollout to its end, within the trace of the push that asked for it."""
        names = {"app": rollout["app"], "release": rollout["release"]}
        with span("rollout", rollout["traceparent"], **names):
            await self._see_through(rollout)

    async def _see_through(self, rollout: Any) -> None:
        """Whatever goes wrong ends the rollout with a reason."""
        beating = asyncio.create_task(self._beat(rollout))
        working = asyncio.create_task(self._steps(rollout))
        try:
            await asyncio.wait({beating, working}, return_when=asyncio.FIRST_COMPLETED)
            if beating.done() and not working.done():
                logger.warning("rollout was taken over", extra={"rollout": rollout["id"]})
                return
            await self._conclude(rollout, working.exception())
        except Unavailable as error:
            # Nobody can note the end now: the heartbeat runs out and the rollout is taken up again.
            logger.warning("rollout interrupted", extra={"cause": error.detail})
        finally:
            for task in (beating, working):
                task.cancel()

    async def _beat(self, rollout: Any) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with contextlib.suppress(Unavailable):
                if not await store.beat(self._database, rollout):
                    return

    async def _steps(self, rollout: Any) -> None:
        if rollout["state"] != "activated":
            await self._bring_up(rollout)
            await self._activate(rollout)
        await self._wait_applied(rollout)

    async def _bring_up(self, rollout: Any) -> None:
        """Start the new instances beside the old and wait until all of them are healthy."""
        await self._check_wanted(rollout)
        release = await store.release(self._database, rollout["app"], rollout["release"])
        if release is None:
            raise NotFound(f"Release v{rollout['release']} is not there any more.")
        manifest = await self._starter.engine.image(release["image"])
        config = await self._config(rollout)
        await self._note_release(rollout, release, config)
        await self._plan(rollout, manifest.process_types)
        rows = await store.generation_instances(
            self._database, rollout["app"], rollout["generation"]
        )
        started = [await self._start(rollout, row, release, config) for row in rows]
        say = self._say_for(rollout)
        waits = [
            asyncio.create_task(
                self._starter.wait_healthy(row, manifest, say, lambda: self._check_wanted(rollout))
            )
            for row in started
        ]
        try:
            waited = await asyncio.gather(*waits)
        finally:
            for wait in waits:  # one that failed ends the others
                wait.cancel()
        for row, seconds in zip(started, waited, strict=True):
            await say(f"       {row['instance']} is healthy after {seconds:.1f} s")

    async def _config(self, rollout: Any) -> Config:
        """The app's config as it is now; while the store is away the rollout waits for it."""
        said = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await self._starter.reader.read(rollout["app"], f"rollout-{rollout['id']}")
            except Unavailable as error:
                if loop.time() - said > SAY_SECONDS:
                    said = loop.time()
                    await self._say(rollout, f"       waiting for the secret store: {error.detail}")
                await self._check_wanted(rollout)
                await asyncio.sleep(0.5)

    async def _note_release(self, rollout: Any, release: Any, config: Config) -> None:
        event = ReleaseCreated(
            app=rollout["app"],
            deploy_id=rollout["deploy_id"],
            release=rollout["release"],
            image=release["image"],
            config_version=config.version,
            reason=release["reason"],
            actor=release["actor"],
        )
        async with self._database.transaction() as tx:
            await store.set_config_version(tx, rollout["app"], rollout["release"], config.version)
            if release["state"] == "pending":
                await outbox.record(tx, new_event("scheduler", event))
        await self._say(rollout, f"-----> Release v{rollout['release']}")

    async def _plan(self, rollout: Any, process_types: dict[str, str]) -> None:
        """Rows for the instances of the formation, unless a worker before us made them."""
        async with self._database.transaction() as tx:
            app = await store.lock_app(tx, rollout["app"])
            if app is None or await store.lock_rollout(tx, rollout) is None:
                raise Lost
            for process_type in process_types:
                for number in range(1, app["formation"].get(process_type, 0) + 1):
                    await store.add_instance(
                        tx, rollout, rollout["release"], process_type, rollout["generation"], number
                    )

    async def _start(self, rollout: Any, row: Any, release: Any, config: Config) -> Any:
        await self._say(rollout, f"-----> Starting {row['instance']}")
        return await self._starter.start(row, release, config)

    async def _check_wanted(self, rollout: Any) -> None:
        """Raises `NotWanted` when the push was cancelled; no news is no reason to give up."""
        with contextlib.suppress(Unavailable):
            if reason := await store.cancelled(self._database, rollout):
                raise NotWanted(GIVEN_UP[reason])

    async def _activate(self, rollout: Any) -> None:
        """Give the new instances the traffic, in one transaction, if the rollout is still ours."""
        release = await store.release(self._database, rollout["app"], rollout["release"])
        manifest = await self._starter.engine.image(release["image"])
        await self._say(rollout, "-----> Switching")
        async with self._database.transaction() as tx:
            held = await store.lock_rollout(tx, rollout)
            if held is None:
                raise Lost
            if held["cancelled"]:
                raise NotWanted(GIVEN_UP[held["cancelled"]])
            await store.lock_app(tx, rollout["app"])
            for row in await store.generation_instances(tx, rollout["app"], rollout["generation"]):
                await store.mark_healthy(tx, row["instance"])
                event = InstanceStarted(
                    app=row["app"],
                    instance=row["instance"],
                    release=row["release"],
                    process_type=row["process_type"],
                )
                await outbox.record(tx, new_event("scheduler", event))
            await store.activate(tx, rollout)
            content = {"prefix_mode": manifest.prefix_mode, "sticky": manifest.sticky}
            await routing.announce(tx, rollout["app"], content)

    async def _wait_applied(self, rollout: Any) -> None:
        """Wait until every gateway routes to the new instances."""
        app = rollout["app"]
        loop = asyncio.get_running_loop()
        began = said = loop.time()
        while True:
            revision = await self._database.fetchval(
                "select revision from apps where app = $1", app
            )
            present, behind = await store.behind(self._database, app, revision or 0)
            if present and not behind:
                return
            waited = loop.time() - began
            if waited > UNROUTED_SECONDS:
                logger.error("no gateway applied the route", extra={"app": app})
                return
            if loop.time() - said > SAY_SECONDS:
                said = loop.time()
                who = f"{behind} gateway(s)" if present else "a gateway"
                await self._say(rollout, f"       waiting for {who} to switch: {waited:.0f} s")
            with contextlib.suppress(TimeoutError):
                async with self._news:
                    async with asyncio.timeout(APPLY_POLL_SECONDS):
                        await self._news.wait()

    async def _conclude(self, rollout: Any, error: BaseException | None) -> None:
        """Write how it ended, with the event that tells the pusher."""
        if isinstance(error, (Lost, Unavailable)):
            logger.warning("rollout not concluded", extra={"rollout": rollout["id"]})
            return
        if error is None:
            await self._succeed(rollout)
            return
        if isinstance(error, MoorageError):
            reason = error.detail
        else:
            logger.error("rollout failed", exc_info=error, extra={"app": rollout["app"]})
            reason = "The platform had an error of its own while starting the app; see its log."
        if isinstance(error, NotHealthy):
            for line in error.lines:
                await self._say(rollout, f"       | {line}")
        await self._fail(rollout, reason)

    async def _succeed(self, rollout: Any) -> None:
        async with self._database.transaction() as tx:
            await store.finish_rollout(tx, rollout, "succeeded")
            if rollout["deploy_id"]:
                event = DeploySucceeded(
                    app=rollout["app"],
                    deploy_id=rollout["deploy_id"],
                    release=rollout["release"],
                    path=f"/{rollout['app']}/",
                )
                await outbox.record(tx, new_event("scheduler", event))

    async def _fail(self, rollout: Any, reason: str) -> None:
        async with self._database.transaction() as tx:
            if await store.lock_rollout(tx, rollout) is None:
                return
            await store.finish_rollout(tx, rollout, "failed", reason)
            await store.stop_generation(tx, rollout["app"], rollout["generation"])
            await store.fail_release(tx, rollout["app"], rollout["release"])
            if rollout["deploy_id"]:
                event = DeployFailed(
                    app=rollout["app"],
                    deploy_id=rollout["deploy_id"],
                    release=rollout["release"],
                    reason=reason,
                )
                await outbox.record(tx, new_event("scheduler", event))

    def _say_for(self, rollout: Any) -> Callable[[str], Awaitable[None]]:
        async def say(line: str) -> None:
            await self._say(rollout, line)

        return say

    async def _say(self, rollout: Any, line: str) -> None:
        if rollout["deploy_id"]:
            await self._bus.emit_progress(rollout["deploy_id"], line)
