"""Takes out of the store what deleted apps left there."""

from services.secrets import store
from services.secrets.documents import Documents
from shared.database import Database


class Removals:
    """Deleted apps whose document and policy are still to go."""

    def __init__(self, database: Database, documents: Documents) -> None:
        self._database = database
        self._documents = documents

    async def finish_all(self) -> None:
        """Raises `Unavailable` while the store is away; what is left is tried again."""
        for app in await store.removals(self._database):
            await self.finish(app)

    async def finish(self, app: str) -> None:
        """Remove what an earlier app of this name left, before a new one writes anything.

        The row stays locked meanwhile, so nobody removes the document of the new app.
        """
        if not await store.awaits_removal(self._database, app):
            return
        async with self._database.transaction() as tx:
            if await store.take_removal(tx, app):
                await self._documents.delete(app)
