"""One document per app in the store, so that one version of it is the app's config version.

`apps/data/<app>` = {"config": {name: value}, "secrets": {name: value}} in a KV v2 mount `apps`.
"""

from typing import Any, NamedTuple

import hvac

from services.secrets.variables import Document, empty_document
from services.secrets.vault import MISSING, REFUSED, Vault
from shared.errors import Conflict

MOUNT = "apps"


class Versioned(NamedTuple):
    """A document and its version, 0 when the app has none yet."""

    version: int
    document: Document


def path_of(app: str) -> str:
    """The path that an app's token may read, below "/v1/"."""
    return f"{MOUNT}/data/{app}"


def policy_of(app: str) -> str:
    return f"app-{app}"


def policy_text(app: str) -> str:
    """An app's credentials read its own document and nothing else, and change nothing."""
    return f'path "{path_of(app)}" {{\n  capabilities = ["read"]\n}}\n'


class Documents:
    """The apps' documents. Every method raises `Unavailable` while the store is away."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def read(self, app: str) -> Versioned:
        """Document and version from one answer, so that a write based on it overwrites nothing."""

        def request(client: hvac.Client) -> Any:
            return client.secrets.kv.v2.read_secret_version(
                app, mount_point=MOUNT, raise_on_deleted_version=False
            )

        try:
            found = (await self._vault.call(request))["data"]
        except MISSING:
            return Versioned(0, empty_document())
        # An operator may have deleted the current version: its number stays, its data is None.
        return Versioned(
            found["metadata"]["version"], {**empty_document(), **(found["data"] or {})}
        )

    async def version(self, app: str) -> int:
        """The current version, 0 when there is no document."""

        def request(client: hvac.Client) -> Any:
            return client.secrets.kv.v2.read_secret_metadata(app, mount_point=MOUNT)

        try:
            return (await self._vault.call(request))["data"]["current_version"]
        except MISSING:
            return 0

    async def write(self, app: str, document: Document, based_on: int) -> int:
        """Write the version after `based_on` and return it.

        Raises `Conflict` when another has been written meanwhile (check-and-set of KV v2).
        """

        def request(client: hvac.Client) -> Any:
            return client.secrets.kv.v2.create_or_update_secret(
                app, secret=document, cas=based_on, mount_point=MOUNT
            )

        try:
            return (await self._vault.call(request))["data"]["version"]
        except REFUSED:
            pass
        raise Conflict("Somebody else changed this app's config at the same time; try again.")

    async def delete(self, app: str) -> None:
        """Delete all versions of the document and the app's policy."""

        def request(client: hvac.Client) -> Any:
            client.secrets.kv.v2.delete_metadata_and_all_versions(app, mount_point=MOUNT)
            client.sys.delete_acl_policy(policy_of(app))

        try:
            await self._vault.call(request)
        except MISSING:
            return
