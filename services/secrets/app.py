"""Where the parts of the secrets service meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.secrets.api import application
from services.secrets.changes import Changes
from services.secrets.documents import Documents
from services.secrets.handlers import ANSWERS, HANDLERS, Parts
from services.secrets.issuing import Issuer
from services.secrets.removals import Removals
from services.secrets.repair import Repair
from services.secrets.settings import SecretsSettings
from services.secrets.vault import Vault
from shared.identity import Callers
from shared.process import Ground, Service


@asynccontextmanager
async def build(ground: Ground) -> AsyncIterator[Service]:
    """The secrets service: it starts and is ready whether the store answers or not."""
    settings: SecretsSettings = ground.settings
    vault = Vault(
        settings.vault_address,
        settings.vault_ca_file,
        settings.vault_role_file,
        settings.vault_timeout,
    )
    documents = Documents(vault)
    removals = Removals(ground.database, documents)
    repair = Repair(ground.database, documents, removals, settings.secrets_repair_seconds)
    callers = Callers(ground.bus.bucket("signing-keys"))
    yield Service(
        parts=Parts(ground.database, Issuer(vault), removals),
        api=application(Changes(ground.database, documents, removals), callers),
        handlers=HANDLERS,
        rpcs=ANSWERS,
        duties=[callers.watch, vault.keep_signed_in, repair.watch],
    )
