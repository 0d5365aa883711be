"""Creating, describing and deleting apps."""

from typing import Any

from services.portal import store
from services.portal.catalogue import App
from shared.database import Database, outbox
from shared.errors import Conflict, NotFound
from shared.events import EventData, new_event
from shared.events.catalogue import AppCreated, AppDeleted
from shared.names import check_app_name


class Apps:
    """The catalogue as people change it; each change is audited with who made it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[App]:
        return await store.apps(self._database)

    async def get(self, name: str) -> App:
        """Raises `NotFound`."""
        found = await store.app(self._database, name)
        if found is None:
            raise NotFound(f"There is no app '{name}'; create it or push to it first.")
        return found

    async def create(
        self,
        name: str,
        owner: str,
        title: str = "",
        description: str = "",
        tags: tuple[str, ...] = (),
    ) -> bool:
        """Create an app; False when `owner` has it already. Raises `Invalid`, `Conflict`."""
        check_app_name(name)
        async with self._database.transaction() as tx:
            if await store.create(tx, name, owner, title, description, tags):
                await store.add_audit(tx, owner, "app.create", name)
                await _announce(tx, AppCreated(app=name, owner=owner, title=title))
                return True
            there = await store.app(tx, name)
        if there is None or there.owner != owner:
            raise Conflict(f"The name '{name}' belongs to somebody else; choose another one.")
        return False

    async def describe(self, name: str, changes: dict[str, Any], actor: str) -> App:
        async with self._database.transaction() as tx:
            await store.describe(tx, name, changes)
            await store.add_audit(tx, actor, "app.describe", name, {"changed": sorted(changes)})
        return await self.get(name)

    async def delete(self, name: str, actor: str) -> None:
        """Delete an app; every service drops what it has of it. Raises `NotFound`."""
        async with self._database.transaction() as tx:
            if not await store.delete(tx, name):
                raise NotFound(f"There is no app '{name}' any more.")
            await store.add_audit(tx, actor, "app.delete", name)
            await _announce(tx, AppDeleted(app=name))


async def _announce(tx: Any, data: EventData) -> None:
    await outbox.record(tx, new_event("portal", data))
