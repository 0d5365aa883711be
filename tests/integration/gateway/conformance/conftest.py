"""A gateway and nginx, each in front of the same scripted app."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.bench.gateway.tools import Missing
from tests.integration.gateway.conformance import nginx as beside
from tests.integration.gateway.conformance.case import Case
from tests.integration.gateway.conformance.conversation import App
from tests.integration.gateway.fleet import free_port

Opened = Callable[[Case], Awaitable[App]]


@pytest.fixture(scope="session")
def app_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, app_port: int) -> Iterator[beside.Nginx]:
    try:
        beside.install()
    except Missing as missing:
        pytest.fail(str(missing), pytrace=False)
    server = beside.Nginx(tmp_path_factory.mktemp("nginx"), free_port(), app_port)
    server.wait()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def app_for(app_port: int) -> AsyncIterator[Opened]:
    """`await app_for(case)`: the app, with the case's script."""
    opened: list[App] = []

    async def open_app(case: Case) -> App:
        app = App(app_port)
        await app.open(case.app_says)
        opened.append(app)
        return app

    yield open_app
    for app in opened:
        await app.close()


@pytest.fixture
def leads_to(world: Any) -> Callable[[App], int]:
    """Lead the gateway's `/a/` to an app; the gateway's port."""

    def lead(app: App) -> int:
        world.public("a")
        world.route("a", app.address)
        return world.port

    return lead
