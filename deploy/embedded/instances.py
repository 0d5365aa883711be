"""Stopping what the process engine runs, when the whole platform stops."""

import asyncio
from types import SimpleNamespace

from deploy.embedded.layout import Layout
from services.scheduler.engines import make

GRACE_SECONDS = 10.0


async def stop_all(layout: Layout) -> int:
    """Stop every instance of an app; how many there were.

    The database still says that they shall run, so the next start brings them back.
    """
    engine = make("process", SimpleNamespace(home=layout.home))
    running = await engine.adopt()
    await asyncio.gather(*(engine.stop(known, GRACE_SECONDS) for known in running.values()))
    return len(running)
