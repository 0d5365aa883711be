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

from berth import Berth, process_engine

ENGINES = {
    "process-bubblewrap": process_engine("bubblewrap"),
    "process-without": process_engine("without"),
    "process-plain": process_engine("plain"),
}
NEEDS_BUBBLEWRAP = (
    "this test needs bubblewrap, and it is not installed or the kernel forbids it here; install "
    "the package 'bubblewrap' and allow user namespaces"
)


@pytest_asyncio.fixture(params=list(ENGINES))
async def berth(request: pytest.FixtureRequest) -> AsyncIterator[Berth]:
    async for made in _berth(request.param):
        yield made


@pytest_asyncio.fixture
async def locked_berth() -> AsyncIterator[Berth]:
    """With bubblewrap alone, for what only a sandbox can promise."""
    async for made in _berth("process-bubblewrap"):
        yield made


async def _berth(name: str) -> AsyncIterator[Berth]:
    # Other users reach it: without a sandbox an app has to.
    home = Path(tempfile.mkdtemp(prefix="moorage-engine-"))
    home.chmod(0o755)
    made = Berth(home, ENGINES[name])
    if name.endswith("bubblewrap") and made.engine.level != "bubblewrap":
        shutil.rmtree(home)
        pytest.fail(NEEDS_BUBBLEWRAP) if os.environ.get("CI") else pytest.skip(NEEDS_BUBBLEWRAP)
    yield made
    await made.clear()
    for folder in made.engine._cgroups.folders("x"):  # type: ignore[attr-defined]
        folder.parent.rmdir()
    shutil.rmtree(home)
