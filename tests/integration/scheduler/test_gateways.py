"""Gateways that come, are silent, and are said to be gone: what the scheduler reckons with."""

import asyncio
import time

import pytest
import pytest_asyncio

from services.scheduler import store
from services.scheduler.gateways import Gateways

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def database(database_for):
    return await database_for("scheduler")


@pytest_asyncio.fixture
async def watching(database, bus_for):
    """A scheduler's watch, and the bucket as a gateway writes it."""
    gateways = Gateways(database, await bus_for("scheduler"))
    tasks = [asyncio.create_task(duty()) for duty in (gateways.watch, gateways.note)]
    yield (await bus_for("gateway")).bucket("targets")
    for task in tasks:
        task.cancel()


async def known(database) -> set[str]:
    return {row["gateway"] for row in await database.fetch("select gateway from gateways")}


async def until_known(database, names: set[str]) -> None:
    end = time.monotonic() + 15
    while (found := await known(database)) != names:
        assert time.monotonic() < end, f"{found} are known, not {names}"
        await asyncio.sleep(0.02)


async def say(targets, name: str, *gone: str) -> None:
    await targets.put(f"gateway.{name}", {"instance": name, "gone": list(gone)}, ttl=15)


async def test_who_is_gone_is_forgotten_and_who_is_silent_is_not(database, watching):
    for name in ("g.0.a", "g.1.b", "g.2.c"):
        await say(watching, name)
    await until_known(database, {"g.0.a", "g.1.b", "g.2.c"})
    await watching.delete("gateway.g.2.c")
    await say(watching, "g.1.b", "g.0.a")
    await until_known(database, {"g.1.b", "g.2.c"})


async def test_an_entry_that_has_outlived_its_gateway_brings_it_not_back(database, watching):
    await say(watching, "g.1.b", "g.0.a")
    await until_known(database, {"g.1.b"})
    await say(watching, "g.0.a")
    await say(watching, "g.3.d")
    await until_known(database, {"g.1.b", "g.3.d"})


async def test_what_is_no_list_of_names_does_no_harm(database, watching):
    await watching.put("gateway.g.0.a", {"gone": [1, None, {}]}, ttl=15)
    await watching.put("gateway.g.1.b", {"gone": 5}, ttl=15)
    await until_known(database, {"g.0.a", "g.1.b"})


async def test_a_gateway_that_is_gone_holds_nothing_up(database):
    for name in ("g.0.a", "g.1.b"):
        await store.gateway_seen(database, name)
    async with database.transaction() as tx:
        await store.note_applied(tx, "sales", "g.1.b", 7)
        await store.note_applied(tx, "sales", "g.0.a", 6)
    assert await store.behind(database, "sales", 7) == (2, 1)
    await store.forget_gateways(database, ["g.0.a", "never-there"])
    assert await store.behind(database, "sales", 7) == (1, 0)
    assert [row["gateway"] for row in await database.fetch("select * from applied")] == ["g.1.b"]
