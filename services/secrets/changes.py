"""Changing an app's config vars and secrets: one new version each time, announced exactly once.

The store and the database cannot commit together. So the intent is committed first, then the store
is written with check-and-set, then intent becomes version and event in one transaction. A change
cut short in between is finished by `repair.py`.
"""

from services.secrets import store
from services.secrets.announcing import announce
from services.secrets.documents import Documents, Versioned
from services.secrets.removals import Removals
from services.secrets.variables import Document, Patch, Section, apply_patch
from shared.database import Database
from shared.errors import Conflict, NotFound
from shared.names import new_id

ATTEMPTS = 5
"""How often a change is tried anew when others change the same app at the same moment."""


class Changes:
    """Reads and changes documents. Every method raises `NotFound` for an app we do not know."""

    def __init__(self, database: Database, documents: Documents, removals: Removals) -> None:
        self._database = database
        self._documents = documents
        self._removals = removals

    async def read(self, app: str) -> Versioned:
        await self._check(app)
        return await self._documents.read(app)

    async def change(self, app: str, section: Section, patch: Patch, actor: str) -> Versioned:
        """Apply `patch`; the document as it is then. Nothing is written if nothing changes.

        Raises `Invalid` and `Conflict` as `apply_patch`, `Unavailable` while the store is away.
        """
        await self._check(app)
        for attempt in range(1, ATTEMPTS + 1):
            current = await self._documents.read(app)
            document, names = apply_patch(current.document, section, patch)
            if not names:
                return current
            try:
                version = await self._write(app, section, current, document, names, actor)
                return Versioned(version, document)
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _check(self, app: str) -> None:
        if not await store.knows(self._database, app):
            raise NotFound(f"There is no app '{app}'; create it or push to it first.")
        await self._removals.finish(app)

    async def _write(
        self,
        app: str,
        section: Section,
        current: Versioned,
        document: Document,
        names: list[str],
        actor: str,
    ) -> int:
        intent = new_id()
        await store.begin(self._database, intent, app, current.version + 1, section, names, actor)
        try:
            version = await self._documents.write(app, document, current.version)
        except Conflict:
            await store.forget_intent(self._database, intent)
            raise
        async with self._database.transaction() as tx:
            await announce(tx, await store.complete(tx, intent))
            await store.note_orphan(tx, app)
        return version
