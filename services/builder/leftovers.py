"""What dead builders left half done in the data folder: found by its name, and removed."""

import asyncio
from contextlib import suppress
from pathlib import Path

from services.builder import images, store
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)


async def keep_clear(database: Database, home: Path, every: float) -> None:
    """Clear at once and then on a clock (seconds), for ever."""
    while True:
        with suppress(Unavailable):
            await clear(database, home)
        await asyncio.sleep(every)


async def clear(database: Database, home: Path) -> int:
    """Remove the work of attempts that nobody works on; how many folders there were.

    Folders are listed before the database is asked, so that an attempt which begins meanwhile is
    never among those removed.
    """
    found = await asyncio.to_thread(_folders, home)
    alive = await store.alive(database)
    dead = [path for path in found if path.name.lstrip(".") not in alive]
    for path in dead:
        await asyncio.to_thread(images.remove, path)
    if dead:
        logger.info("left-overs removed", extra={"folders": len(dead)})
    return len(dead)


def _folders(home: Path) -> list[Path]:
    found = list((home / "builds").glob("*"))
    for store_folder in ("environments", "images"):
        found += (home / store_folder).glob(".*")
    return [path for path in found if path.is_dir()]
