"""Hands out, once per instance start, the means to read one app's values.

The scheduler gets a wrapped token: it can be unwrapped once, within a minute, and what is inside
reads one document and ends after five minutes. The values themselves never cross the bus.
"""

from typing import Any

import hvac

from services.secrets.documents import path_of, policy_of, policy_text
from services.secrets.vault import Vault
from shared.names import check_app_name

WRAP_TTL = "60s"
TOKEN_TTL = "5m"
TOKEN_USES = 3
"""Reading takes one; the rest is for a scheduler that must ask again."""


class Issuer:
    """Issues wrapped tokens, each with the policy of one app."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def issue(self, app: str, version: int) -> dict[str, Any]:
        """{version, address, ca_file, wrapped_token, path}; no token at version 0.

        Raises `Unavailable` while the store is away; version 0 does not ask it.
        """
        check_app_name(app)
        token = await self._wrapped_token(app) if version else None
        ca_file = self._vault.ca_file
        return {
            "version": version,
            "address": self._vault.address,
            "ca_file": str(ca_file) if ca_file else None,
            "wrapped_token": token,
            "path": path_of(app),
        }

    async def _wrapped_token(self, app: str) -> str:
        def request(client: hvac.Client) -> Any:
            # Written each time: a store that was restored may have lost it since.
            client.sys.create_or_update_acl_policy(policy_of(app), policy_text(app))
            return client.auth.token.create(
                role_name="app",
                policies=[policy_of(app)],
                no_default_policy=True,
                ttl=TOKEN_TTL,
                num_uses=TOKEN_USES,
                display_name=policy_of(app),
                wrap_ttl=WRAP_TTL,
            )

        return (await self._vault.call(request))["wrap_info"]["token"]
