"""Fixtures: one OpenBao for all tests here, one of a test's own where it is killed or paused."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.secrets.openbao import OpenBao, launch


@pytest.fixture(scope="session")
def vault_server() -> Iterator[OpenBao]:
    """Shared: tests use app names of their own."""
    yield from _server()


@pytest.fixture
def own_vault_server() -> Iterator[OpenBao]:
    yield from _server()


def _server() -> Iterator[OpenBao]:
    folder = Path(tempfile.mkdtemp(prefix="mrg-bao-"))
    server = launch(folder)
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


class Room:
    """The parts of the secrets service on a real database and a real store."""

    def __init__(self, database, server: OpenBao, cut_short: float = 0.0) -> None:
        from services.secrets.changes import Changes
        from services.secrets.documents import Documents
        from services.secrets.handlers import Parts
        from services.secrets.issuing import Issuer
        from services.secrets.removals import Removals
        from services.secrets.repair import Repair
        from services.secrets.vault import Vault

        self.database = database
        self.server = server
        self.vault = Vault(server.address, server.ca_file, server.role_file, timeout=2)
        self.documents = Documents(self.vault)
        self.removals = Removals(database, self.documents)
        self.changes = Changes(database, self.documents, self.removals)
        self.repair = Repair(database, self.documents, self.removals, 0.2, cut_short)
        self.parts = Parts(database, Issuer(self.vault), self.removals)

    async def handle(self, data) -> None:
        from services.secrets.handlers import HANDLERS
        from shared.events import new_event

        async with self.database.transaction() as tx:
            await HANDLERS[data.TYPE](new_event("portal", data), tx, self.parts)

    async def issue(self, app: str) -> dict:
        from services.secrets.handlers import issue

        return await issue({"app": app, "instance": f"{app}.web.1-1"}, self.parts)

    async def announced(self) -> list[tuple[str, int, list[str], str]]:
        """Every `config.changed` in the outbox: (app, version, names, actor)."""
        from shared.events import Event

        rows = await self.database.fetch("select envelope from outbox order by position")
        data = [Event.parse(row["envelope"]).data for row in rows]
        return [(one.app, one.version, list(one.names), one.actor) for one in data]


@pytest.fixture
async def room(database_for, vault_server) -> Room:
    return Room(await database_for("secrets"), vault_server)


@pytest.fixture
async def own_room(database_for, own_vault_server) -> Room:
    return Room(await database_for("secrets"), own_vault_server)
