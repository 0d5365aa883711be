"""Buckets as copies of tables: real servers, a table that the test keeps in its hand."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.bus import Bucket, Bus
from shared.bus.copies import Copies, Copy, Documents
from shared.database import Database
from shared.errors import Unavailable

CHANNEL = "test_copies"
HOUR = 3600.0


class Sheet:
    """A table: its rows, and what goes wrong or takes long when they are read."""

    def __init__(self) -> None:
        self.rows: Documents = {}
        self.away = False
        self.reads: list[set[str] | None] = []
        self.slow: asyncio.Event | None = None
        """The next to read single rows has them at once, and goes on when this is set."""

    async def read(self, keys: Iterable[str] | None) -> Documents:
        asked = None if keys is None else set(keys)
        self.reads.append(asked)
        if self.away:
            raise Unavailable("The table is away.")
        found = {key: dict(row) for key, row in self.rows.items() if asked is None or key in asked}
        slow, self.slow = self.slow, self.slow if asked is None else None
        if slow is not None and asked is not None:
            await slow.wait()
        return found


class Stage:
    """The copies of one process, and the two sides from which a test looks at them."""

    def __init__(self, database: Database, bus: Bus, sheet: Sheet) -> None:
        self.database = database
        self.bus = bus
        self.sheet = sheet
        self.bucket: Bucket = bus.bucket("routes")

    @asynccontextmanager
    async def following(self, clock: float = HOUR) -> AsyncIterator[Copies]:
        parts = [Copy(self.bucket, self.sheet.read)]
        copies = Copies(self.database, CHANNEL, parts, self.bus.ensure_topology, clock)
        duty = asyncio.create_task(copies.follow())
        yield copies
        assert not duty.done(), "the duty ended by itself"
        duty.cancel()
        await asyncio.gather(duty, return_exceptions=True)

    async def write(self, key: str, row: dict[str, Any] | None, tell: bool = True) -> None:
        """Change a row and commit; `tell` is the notification that a trigger would send."""
        if row is None:
            self.sheet.rows.pop(key)
        else:
            self.sheet.rows[key] = row
        if tell:
            await self.say(f"routes:{key}")

    async def say(self, payload: str) -> None:
        await self.database.execute("select pg_notify($1, $2)", CHANNEL, payload)

    async def becomes(self, wanted: Documents) -> None:
        async def held() -> Documents | Unavailable:
            try:
                return await self.bucket.items()
            except Unavailable as error:
                return error

        await until(held, lambda found: found == wanted)


async def until(
    look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], seconds: float = 30.0
) -> None:
    deadline = time.monotonic() + seconds
    while not wanted(found := await look()):
        assert time.monotonic() < deadline, f"still {found!r}"
        await asyncio.sleep(0.02)


@pytest.fixture
async def stage(database_for: Any, bus_for: Any) -> Stage:
    return Stage(await database_for("router"), await bus_for("router"), Sheet())


async def test_a_notification_is_written_without_waiting_for_the_clock(stage: Stage) -> None:
    async with stage.following():
        await stage.write("a", {"n": 1})
        await stage.becomes({"a": {"n": 1}})
        await stage.write("a", {"n": 2})
        await stage.write("b", {"n": 1})
        await stage.becomes({"a": {"n": 2}, "b": {"n": 1}})
        await stage.write("a", None)
        await stage.becomes({"b": {"n": 1}})
        # Only the first comparison has read everything.
        assert stage.sheet.reads.count(None) == 1


async def test_whoever_begins_to_lead_compares_everything(stage: Stage) -> None:
    await stage.bucket.put("wrong", {"n": 0})
    await stage.bucket.put("left-over", {"n": 1})
    stage.sheet.rows = {"wrong": {"n": 1}, "missing": {"n": 1}}
    async with stage.following():
        await stage.becomes({"wrong": {"n": 1}, "missing": {"n": 1}})


async def test_the_clock_heals_what_nobody_told(stage: Stage) -> None:
    async with stage.following(clock=0.2):
        await stage.write("a", {"n": 1}, tell=False)
        await stage.becomes({"a": {"n": 1}})
        await stage.bucket.put("a", {"n": 7})
        await stage.bucket.put("ghost", {"n": 7})
        await stage.becomes({"a": {"n": 1}})


@pytest.mark.parametrize("payload", ["", "somebody:else", "gibberish"])
async def test_what_is_no_key_asks_for_a_comparison(stage: Stage, payload: str) -> None:
    """The session says "" when it was away and may have missed something."""
    async with stage.following():
        await stage.write("a", {"n": 1})
        await stage.becomes({"a": {"n": 1}})
        await stage.write("a", {"n": 2}, tell=False)
        await stage.say(payload)
        await stage.becomes({"a": {"n": 2}})


async def test_a_table_that_is_away_is_read_when_it_is_back(stage: Stage) -> None:
    async with stage.following():
        await stage.write("a", {"n": 1})
        await stage.becomes({"a": {"n": 1}})
        stage.sheet.away = True
        await stage.write("a", {"n": 2})
        await until(_value(lambda: len(stage.sheet.reads)), lambda count: count > 3)
        stage.sheet.away = False
        await stage.becomes({"a": {"n": 2}})


async def test_a_lost_bucket_is_made_and_filled_again(stage: Stage, nats_server: Any) -> None:
    async with stage.following() as copies:
        stage.bus.on_reconnect(copies.compare_soon)
        await stage.write("a", {"n": 1})
        await stage.becomes({"a": {"n": 1}})
        nats_server.lose_everything()
        await stage.write("b", {"n": 1})
        nats_server.start()
        await stage.becomes({"a": {"n": 1}, "b": {"n": 1}})


async def test_an_older_row_never_overtakes_a_newer_one(stage: Stage) -> None:
    """The comparison has read a row and is slow to write it; a notification of a newer one waits
    for it."""
    slow = stage.sheet.slow = asyncio.Event()
    stage.sheet.rows = {"a": {"n": 1}}
    async with stage.following():
        await until(_value(lambda: stage.sheet.reads), lambda reads: {"a"} in reads)
        await stage.write("a", {"n": 2})
        with pytest.raises(AssertionError):
            await until(stage.bucket.items, lambda held: held == {"a": {"n": 2}}, seconds=0.5)
        slow.set()
        await stage.becomes({"a": {"n": 2}})
        await stage.write("b", {"n": 1})
        await stage.becomes({"a": {"n": 2}, "b": {"n": 1}})


async def test_one_leads_and_the_other_takes_over(
    stage: Stage, database_for: Any, bus_for: Any
) -> None:
    standby = Stage(await database_for("router"), await bus_for("router", "router-2"), Sheet())
    standby.sheet.rows = stage.sheet.rows
    async with stage.following():
        await stage.write("a", {"n": 1})
        await stage.becomes({"a": {"n": 1}})
        async with standby.following():
            await stage.write("a", {"n": 2})
            await stage.becomes({"a": {"n": 2}})
            assert standby.sheet.reads == []
            await stage.database.close()
            await standby.write("a", {"n": 3})
            await standby.becomes({"a": {"n": 3}})


def _value(look: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def found() -> Any:
        return look()

    return found
