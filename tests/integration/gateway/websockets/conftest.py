"""One gateway and one echo server for all cases: starting them takes longer than a case."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.gateway.conftest import World, free_port
from tests.integration.gateway.websockets.peers import Echo, echoing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """It leads `/a/` to where a case says, whoever asks."""
    made = World(tmp_path_factory.mktemp("gateway"))
    await made.start()
    made.public("a")
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def echo() -> AsyncIterator[Echo]:
    async with echoing(free_port()) as echo:
        yield echo
