"""A stage around a real scheduler with the process engine."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from stage import Stage

from services.scheduler.engines import make
from services.scheduler.settings import SchedulerSettings


@pytest_asyncio.fixture
async def stage(nats_server, database_for, bus_for) -> AsyncIterator[Stage]:
    names = ("builder", "secrets", "gateway", "git_ingest", "portal")
    buses = {name: await bus_for(name) for name in names}
    made = Stage(nats_server.layout.home, await database_for("scheduler"), buses)
    await made.open()
    gateway = asyncio.create_task(made.be_gateway())
    yield made
    gateway.cancel()
    settings = nats_server.settings("scheduler").model_dump()
    engine = make("process", SchedulerSettings(**settings))
    for reference in (await engine.adopt()).values():
        await engine.stop(reference, 0.1)
