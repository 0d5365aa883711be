"""What dead builders left half done: found by its name, and removed."""

import asyncio
from contextlib import suppress
from pathlib import Path

from services.builder import images, store
from services.builder.workshops.protocol import Workshop
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)


async def keep_clear(database: Database, home: Path, workshop: Workshop, every: float) -> None:
    """Clear at once and then on a clock (seconds), for ever."""
    while True:
        with suppress(Unavailable):
            await clear(database, home, workshop)
        await asyncio.sleep(every)


async def clear(database: Database, home: Path, workshop: Workshop) -> int:
    """Remove the work of attempts that nobody works on; how many there were.

    They are listed before the database is asked, so that an attempt which begins meanwhile is never
    among those removed.
    """
    folders = {path.name: path for path in (home / "builds").glob("*") if path.is_dir()}
    begun = {*folders, *await workshop.attempts()}
    dead = begun - await store.alive(database)
    await workshop.clear(dead)
    for name in dead & set(folders):
        await asyncio.to_thread(images.remove, folders[name])
    if dead:
        logger.info("left-overs removed", extra={"attempts": len(dead)})
    return len(dead)
