"""What the tables promise, tried on a real PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest_asyncio

from services.git_ingest import store
from services.git_ingest.holder import Holder
from services.git_ingest.sources import SourceStore
from services.git_ingest.store import NewPush


@pytest_asyncio.fixture
async def database(database_for):
    return await database_for("git_ingest")


def new_push(deploy_id: str, app: str = "sales", holder: str = "h", source: str = "s") -> NewPush:
    return NewPush(deploy_id, app, holder, "ann", "main", "c" * 40, source, 10)


async def begin(database, *arguments: str, **more: str):
    async with database.transaction() as tx:
        return await store.begin_push(tx, new_push(*arguments, **more))


async def test_first_decision_stands(database):
    await begin(database, "d1")
    assert await store.decide_push(database, "d1", "succeeded", None, 3)
    assert not await store.decide_push(database, "d1", "failed", "too late")
    state = await store.push_state(database, "d1")
    assert (state.outcome, state.reason) == ("succeeded", None)


async def test_newer_push_supersedes_only_what_is_undecided(database):
    await begin(database, "d1")
    await begin(database, "other", "tool")
    await store.decide_push(database, "d1", "succeeded", None)
    assert await begin(database, "d2") == []
    (cancelled,) = await begin(database, "d3")
    assert (cancelled.deploy_id, cancelled.published) == ("d2", False)
    assert await store.open_before(database, "d3")
    for deploy_id in ("d1", "d2"):
        await store.end_push(database, deploy_id)
    assert not await store.open_before(database, "d3")


async def test_cancelled_push_is_not_published(database):
    await begin(database, "d1")
    await begin(database, "d2")
    async with database.transaction() as tx:
        assert not await store.publish_push(tx, "d1")
        assert await store.publish_push(tx, "d2")


async def test_pushes_of_a_dead_holder_are_cancelled_and_of_a_living_not(database):
    alive = Holder(database)
    await alive.beat()
    await begin(database, "d1", holder="dead")
    await begin(database, "d2", "tool", holder=alive.id)
    async with database.transaction() as tx:
        await store.publish_push(tx, "d1")
    await store.beat(database, "dead")
    await database.execute(
        "update holders set beat_at = now() - interval '11 seconds' where holder = 'dead'"
    )
    await alive.beat()
    ended = dict(await database.fetch("select deploy_id, outcome from pushes"))
    assert ended == {"d1": "cancelled", "d2": None}
    events = await database.fetch("select subject from outbox")
    assert [row["subject"] for row in events] == ["evt.push.cancelled.sales"]


async def test_late_deletion_spares_an_app_created_since(database):
    now = datetime.now(UTC)
    await store.add_repository(database, "sales", "ann", now)
    async with database.transaction() as tx:
        assert not await store.remove_repository(tx, "sales", now - timedelta(seconds=1))
        assert await store.remove_repository(tx, "sales", now + timedelta(seconds=1))
    assert await store.repository(database, "sales") is None


async def test_app_that_we_created_keeps_its_owner_when_its_event_comes(database):
    await store.add_repository(database, "sales", "ann", None)
    async with database.transaction() as tx:
        await store.set_access(tx, "sales", "bob", [])
    await store.add_repository(database, "sales", "ann", datetime.now(UTC))
    found = await store.repository(database, "sales")
    assert found is not None
    assert found.owner == "bob"


async def test_sources_are_dropped_when_no_push_used_them_for_long(database, bus_for, tmp_path):
    bus = await bus_for("git_ingest")
    file = tmp_path / "source.tar"
    file.write_bytes(b"x" * 100)
    for deploy_id, source in (("d1", "old"), ("d2", "shared"), ("d3", "shared")):
        await begin(database, deploy_id, deploy_id, source=source)
        await bus.objects.put(f"sources/{source}.tar", file)
    await database.execute(
        "update pushes set ended_at = now() - interval '8 days' where deploy_id in ('d1', 'd2')"
    )
    await SourceStore(database, bus.objects, keep_days=7).sweep()
    assert not await bus.objects.exists("sources/old.tar")
    assert await bus.objects.exists("sources/shared.tar")
    assert await store.stale_sources(database, 7) == []
