"""`stage`: git_ingest as its own process, and the test in all the other roles."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from shared.identity import Signer, new_key, public_part
from tests.integration.git_ingest.stage import Door, Stage, listen_as_builder

StageFor = Callable[..., Awaitable[Stage]]


@pytest_asyncio.fixture
async def stage_for(
    tmp_path: Path, start_service, bus_for, database_for, layout
) -> AsyncIterator[StageFor]:
    """`await stage_for(max_push="1MiB")`: a stage whose service has these settings."""
    opened = []

    async def make(**settings: str) -> Stage:
        keeper = await start_service("git_ingest", **settings)
        buses = {name: await bus_for(name) for name in ("builder", "scheduler", "portal", "auth")}
        key = new_key()
        entry = {"kid": key["kid"], "use": "identity", "jwk": public_part(key), "not_after": 9e9}
        await buses["auth"].bucket("signing-keys").put(key["kid"], entry)
        door = Door(layout.socket("git_ingest-1"))
        stage = Stage(
            folder=tmp_path,
            port=await door.open(),
            signer=Signer(key),
            buses=buses,
            database=await database_for("git_ingest"),
            home=layout.home,
        )
        stage.keeper = keeper
        await buses["portal"].answer("portal.create-app", stage.create_app)
        opened.append((door, listen_as_builder(stage)))
        return stage

    yield make
    for door, listening in opened:
        door.close()
        listening.cancel()


@pytest_asyncio.fixture
async def stage(stage_for: StageFor) -> Stage:
    return await stage_for()
