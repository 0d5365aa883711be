"""Every engine at every level, each test on a data folder of its own."""

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from berth import Berth, DockerBerth, ProcessBerth

PROCESS = ["process-bubblewrap", "process-without", "process-plain"]
NEEDS_BUBBLEWRAP = (
    "this test needs bubblewrap, and it is not installed or the kernel forbids it here; install "
    "the package 'bubblewrap' and allow user namespaces"
)


@pytest_asyncio.fixture(params=[*PROCESS, "docker"])
async def berth(request: pytest.FixtureRequest) -> AsyncIterator[Berth]:
    async for made in _berth(request.param, request):
        yield made


@pytest_asyncio.fixture(params=PROCESS)
async def process_berth(request: pytest.FixtureRequest) -> AsyncIterator[Berth]:
    async for made in _berth(request.param, request):
        yield made


@pytest_asyncio.fixture(params=["process-bubblewrap", "docker"])
async def locked_berth(request: pytest.FixtureRequest) -> AsyncIterator[Berth]:
    """What only a sandbox or a container can promise."""
    async for made in _berth(request.param, request):
        yield made


async def _berth(name: str, request: pytest.FixtureRequest) -> AsyncIterator[Berth]:
    server = request.getfixturevalue("docker_server") if name == "docker" else None
    # Other users reach it: without a sandbox an app has to.
    home = Path(tempfile.mkdtemp(prefix="moorage-engine-"))
    home.chmod(0o755)
    made = DockerBerth(home, server) if server else ProcessBerth(home, name.partition("-")[2])
    if isinstance(made, DockerBerth):
        await made.build()
    if name.endswith("bubblewrap") and made.engine.level != "bubblewrap":
        shutil.rmtree(home)
        pytest.fail(NEEDS_BUBBLEWRAP) if os.environ.get("CI") else pytest.skip(NEEDS_BUBBLEWRAP)
    yield made
    await made.clear()
    shutil.rmtree(home)


@pytest_asyncio.fixture
async def docker_berth(request: pytest.FixtureRequest) -> AsyncIterator[DockerBerth]:
    async for made in _berth("docker", request):
        assert isinstance(made, DockerBerth)
        yield made
