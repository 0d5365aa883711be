"""Stopping what the engine runs, when the whole platform stops."""

import asyncio
import os
from pathlib import Path

from deploy.embedded.layout import Layout
from services.scheduler.engines import make
from shared.docker.settings import DockerSettings

GRACE_SECONDS = 10.0
DEFAULT_ENGINE = "process"


def engine_name() -> str:
    """The engine that the operator has chosen."""
    return os.environ.get("MOORAGE_ENGINE") or DEFAULT_ENGINE


async def stop_all(layout: Layout) -> int:
    """Stop every instance of an app; how many there were.

    The database still says that they shall run, so the next start brings them back.
    """
    engine = make(engine_name(), _Settings(home=layout.home))
    try:
        running = await engine.adopt()
        await asyncio.gather(*(engine.stop(known, GRACE_SECONDS) for known in running.values()))
        await engine.clear()
    finally:
        await engine.close()
    return len(running)


class _Settings(DockerSettings):
    home: Path
