"""The queue against a real PostgreSQL and NATS: order, cancelling, fencing, rescue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.builder import leftovers, store
from services.builder.builds import Builds, Terms, rescue_abandoned
from services.builder.handlers import HANDLERS
from services.builder.jobs import Job
from services.builder.uv import Uv
from services.builder.workshops.process import ProcessWorkshop
from shared.database import Database
from shared.errors import Invalid
from shared.events import EventData, new_event
from shared.events.catalogue import AppDeleted, PushCancelled
from shared.sandbox import find_sandbox
from tests.integration.builder.pushes import build_of, ended, eventually, published, pushed

pytestmark = pytest.mark.asyncio


async def handle(database: Database, *data: EventData) -> None:
    for one in data:
        async with database.transaction() as tx:
            await HANDLERS[one.TYPE](new_event("test", one), tx, None)


async def claim(database: Database, worker: str = "w") -> store.Build | None:
    async with database.transaction() as tx:
        return await store.claim(tx, worker)


async def state(database: Database, deploy_id: str) -> str:
    return (await build_of(database, deploy_id))["state"]


@pytest.fixture
async def database(database_for: Any) -> Database:
    return await database_for("builder")


class Cook:
    """Stands in for the work of a build: waits until it is let go."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.go = asyncio.Event()
        self.cancelled = 0
        self.error: Exception | None = None

    async def __call__(self, source: str, job: Job) -> Any:
        self.jobs.append(job)
        job.say(f"cooking {job.app}")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        plan = SimpleNamespace(framework=SimpleNamespace(kind="dash"), process_types={"web": "run"})
        return SimpleNamespace(image="sha256:abc", plan=plan)


@asynccontextmanager
async def builder(
    database: Database, bus: Any, cook: Any, folder: Path, name: str = "builder-1", **terms: float
) -> AsyncIterator[Builds]:
    clocks: dict[str, Any] = {"poll": 0.5, "timeout": 60, "heartbeat": 0.1, "rescue": 0.2, **terms}
    builds = Builds(database, bus, cook, folder, Terms(worker=name, places=2, **clocks))
    duties = [asyncio.create_task(builds.work()), asyncio.create_task(builds.rescue())]
    try:
        yield builds
    finally:
        await builds.stop()
        for duty in duties:
            duty.cancel()
        await asyncio.gather(*duties, return_exceptions=True)


async def test_a_newer_push_replaces_the_one_that_waits(database: Database) -> None:
    first, second, third = pushed(), pushed(), pushed()
    await handle(database, first)
    running = await claim(database)
    assert running
    assert running.deploy_id == first.deploy_id
    await handle(database, second, third)
    assert await state(database, first.deploy_id) == "running"
    assert await state(database, second.deploy_id) == "cancelled"
    assert await state(database, third.deploy_id) == "queued"
    (told,) = await published(database, second.deploy_id)
    assert told.type == "build.failed"
    assert "newer push" in told.data.reason


async def test_one_build_of_an_app_at_a_time(database: Database) -> None:
    first, second, other = pushed(), pushed(), pushed("other")
    await handle(database, first)
    claimed = await claim(database)
    await handle(database, second, other)
    found = await asyncio.gather(*(claim(database, f"w{n}") for n in range(4)))
    assert [build.deploy_id for build in found if build] == [other.deploy_id]
    assert claimed
    async with database.transaction() as tx:
        assert await store.succeed(tx, claimed, "sha256:x", "dash")
    following = await claim(database)
    assert following
    assert following.deploy_id == second.deploy_id


async def test_a_rescued_builds_old_worker_writes_nothing(database: Database) -> None:
    event = pushed()
    await handle(database, event)
    old = await claim(database, "old")
    assert old
    await _grow_stale(database, old)
    await rescue_abandoned(database)
    new = await claim(database, "new")
    assert new
    assert (new.id, new.attempt) == (old.id, 2)
    assert not await store.beat(database, old)
    async with database.transaction() as tx:
        assert not await store.fail(tx, old, "late")
        assert not await store.succeed(tx, old, "sha256:late", "dash")
        assert await store.succeed(tx, new, "sha256:new", "dash")
    assert (await build_of(database, event.deploy_id))["image"] == "sha256:new"


async def test_three_deaths_are_enough(database: Database) -> None:
    event = pushed()
    await handle(database, event)
    for _ in range(store.MOST_ATTEMPTS):
        build = await claim(database)
        assert build
        await _grow_stale(database, build)
        await rescue_abandoned(database)
    row = await build_of(database, event.deploy_id)
    assert row["state"] == "failed"
    assert "died 3 times" in row["reason"]
    assert [one.type for one in await published(database, event.deploy_id)] == ["build.failed"]


async def test_a_dead_build_gives_way_to_a_newer_push(database: Database) -> None:
    first, second = pushed(), pushed()
    await handle(database, first)
    build = await claim(database)
    assert build
    await handle(database, second)
    await _grow_stale(database, build)
    await rescue_abandoned(database)
    assert await state(database, first.deploy_id) == "cancelled"
    assert await state(database, second.deploy_id) == "queued"


async def test_success(database: Database, bus_for: Any, tmp_path: Path) -> None:
    bus, cook, event = await bus_for("builder"), Cook(), pushed()
    cook.go.set()
    async with builder(database, bus, cook, tmp_path):
        await handle(database, event)
        row = await ended(database, event.deploy_id)
    assert (row["state"], row["image"], row["kind"]) == ("succeeded", "sha256:abc", "dash")
    started, succeeded = await published(database, event.deploy_id)
    assert (started.type, succeeded.type) == ("build.started", "build.succeeded")
    assert succeeded.data.process_types == {"web": "run"}
    assert (succeeded.data.message, succeeded.data.pusher) == ("Say hello", "ada")
    (line,) = await store.log_of(database, row["id"], 0, 0)
    assert line["line"] == "cooking sales"


@pytest.mark.parametrize(
    ("error", "said"),
    [(Invalid("Write a Procfile."), "Write a Procfile."), (OSError("disk"), "of its own (OSError")],
)
async def test_failure(
    database: Database, bus_for: Any, tmp_path: Path, error: Exception, said: str
) -> None:
    bus, cook, event = await bus_for("builder"), Cook(), pushed()
    cook.error = error
    cook.go.set()
    async with builder(database, bus, cook, tmp_path):
        await handle(database, event)
        row = await ended(database, event.deploy_id, 10)
    assert row["state"] == "failed"
    assert said in row["reason"]
    assert (await published(database, event.deploy_id))[-1].data.reason == row["reason"]


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
async def test_a_running_build_is_ended(
    database: Database, bus_for: Any, tmp_path: Path, how: str
) -> None:
    bus, cook, event = await bus_for("builder"), Cook(), pushed()
    async with builder(database, bus, cook, tmp_path):
        await handle(database, event)
        await eventually(_none, lambda _: cook.jobs)
        if how == "cancelled":
            gone = PushCancelled(app="sales", deploy_id=event.deploy_id, reason="disconnected")
        else:
            gone = AppDeleted(app="sales")
        await handle(database, gone)
        await eventually(_none, lambda _: cook.cancelled == 1)
        row = await build_of(database, event.deploy_id)
        assert row is None if how == "deleted" else row["state"] == "cancelled"
        said = [one.type for one in await published(database, event.deploy_id)]
        assert said == ["build.started"] + ["build.failed"] * (how == "cancelled")


async def test_a_builder_that_stops_hands_back(
    database: Database, bus_for: Any, tmp_path: Path
) -> None:
    bus, cook, event = await bus_for("builder"), Cook(), pushed()
    async with builder(database, bus, cook, tmp_path):
        await handle(database, event)
        await eventually(_none, lambda _: cook.jobs)
    row = await build_of(database, event.deploy_id)
    assert (row["state"], row["rescues"]) == ("queued", 0)
    cook.go.set()
    async with builder(database, bus, cook, tmp_path, "builder-2"):
        assert (await ended(database, event.deploy_id))["state"] == "succeeded"
    assert [job.name.rpartition(".")[2] for job in cook.jobs] == ["1", "2"]


async def test_two_builders_share_the_queue(
    database: Database, bus_for: Any, tmp_path: Path
) -> None:
    bus, cook = await bus_for("builder"), Cook()
    events = [pushed(f"app-{number}") for number in range(6)]
    async with (
        builder(database, bus, cook, tmp_path, "builder-1"),
        builder(database, bus, cook, tmp_path, "builder-2"),
    ):
        await handle(database, *events)
        await eventually(_none, lambda _: len(cook.jobs) == 4)
        cook.go.set()
        for event in events:
            await ended(database, event.deploy_id)
    assert sorted(job.app for job in cook.jobs) == [f"app-{number}" for number in range(6)]


async def test_a_long_log_is_cut(database: Database, bus_for: Any, tmp_path: Path) -> None:
    async def chatter(source: str, job: Job) -> Any:
        for number in range(12_000):
            job.say(f"line {number}")
        raise Invalid("Enough.")

    bus, event = await bus_for("builder"), pushed()
    async with builder(database, bus, chatter, tmp_path):
        await handle(database, event)
        row = await ended(database, event.deploy_id)
    written = await database.fetch("select line from build_log order by number")
    assert len(written) == 10_001
    assert written[-1]["line"] == " !     The log is too long: no more of it is kept"
    assert row["reason"] == "Enough."


async def test_left_overs_of_the_dead_are_removed(database: Database, tmp_path: Path) -> None:
    await handle(database, pushed("one"), pushed("two"))
    alive, dead = await claim(database), await claim(database)
    assert alive
    assert dead
    await _grow_stale(database, dead)
    for build in (alive, dead):
        for name in (f"builds/{build.name}", f"environments/.{build.name}"):
            (tmp_path / name).mkdir(parents=True)
    (tmp_path / "environments" / ("e" * 64)).mkdir()
    uv = Uv(Path("uv"), {})
    workshop = ProcessWorkshop(tmp_path, uv, find_sandbox(61001), 1024)
    assert await leftovers.clear(database, tmp_path, workshop) == 1
    left = {path.name for path in (tmp_path / "environments").iterdir()}
    assert left == {f".{alive.name}", "e" * 64}


async def _none() -> None:
    return None


async def _grow_stale(database: Database, build: store.Build) -> None:
    await database.execute(
        "update builds set heartbeat_at = now() - interval '11 seconds' where id = $1", build.id
    )
