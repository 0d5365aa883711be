"""Our session with the secret store: signed in by AppRole, renewed, never root.

hvac is synchronous, so each request runs in a thread. Whatever goes wrong becomes one sentence
without the cause attached: an exception of the client may quote what was sent.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac
import hvac.exceptions
import requests

from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

Call = Callable[[hvac.Client], Any]

RENEW_SECONDS = 60.0

MISSING = hvac.exceptions.InvalidPath
"""Raised through `Vault.call` when there is nothing at a path."""
REFUSED = hvac.exceptions.InvalidRequest
"""Raised through `Vault.call` when the store finds a request wrong (a check-and-set that lost)."""


class Vault:
    """Requests to the store. Every one raises `Unavailable` while it is away, sealed or slow."""

    def __init__(
        self, address: str, ca_file: Path | None, role_file: Path, timeout: float = 5.0
    ) -> None:
        self.address = address
        self.ca_file = ca_file
        self._role_file = role_file
        session = _session(ca_file)
        self._client = hvac.Client(
            url=address, verify=session.verify, timeout=timeout, token="", session=session
        )
        self._signing_in = threading.Lock()

    async def call(self, request: Call) -> Any:
        """Run `request(client)` in a thread, signing in first, and again if our token has ended.

        Raises `MISSING` and `REFUSED`, stripped of their text, for the caller to explain.
        """
        return await asyncio.to_thread(self._call, request)

    async def keep_signed_in(self) -> None:
        """Renew the token for ever; runs as a duty."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.call(lambda client: client.auth.token.renew_self())
            except (Unavailable, MISSING, REFUSED) as error:
                logger.warning("token not renewed", extra={"cause": str(error)})

    def _call(self, request: Call) -> Any:
        try:
            return self._signed_in(request)
        except MISSING:
            outcome: Exception = MISSING("nothing at this path")
        except REFUSED:
            outcome = REFUSED("the store refused the request")
        except hvac.exceptions.VaultDown:
            outcome = _unavailable("is sealed or starting; ask an operator to unseal it")
        except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized):
            outcome = _unavailable("refuses the platform's role; ask an operator to renew it")
        except (hvac.exceptions.VaultError, requests.exceptions.RequestException) as error:
            logger.warning("secret store away", extra={"cause": type(error).__name__})
            outcome = _unavailable("does not answer")
        # Raised outside the handler, so that no cause with what was sent hangs on it.
        raise outcome

    def _signed_in(self, request: Call) -> Any:
        used = self._client.token or self._sign_in(None)
        try:
            return request(self._client)
        except hvac.exceptions.Forbidden:
            self._sign_in(used)
        return request(self._client)

    def _sign_in(self, stale: str | None) -> str:
        """Get a new token, unless another thread already replaced the `stale` one."""
        with self._signing_in:
            if self._client.token and self._client.token != stale:
                return self._client.token
            role = self._read_role()
            answer = self._login(role)
            self._client.token = answer["auth"]["client_token"]
            self._allow_app_tokens()
            logger.info("signed in to the secret store")
            return self._client.token

    def _login(self, role: dict[str, str]) -> Any:
        try:
            return self._client.auth.approle.login(
                role["role_id"], role["secret_id"], use_token=False
            )
        except hvac.exceptions.InvalidRequest:
            raise hvac.exceptions.Forbidden from None

    def _read_role(self) -> dict[str, str]:
        try:
            return json.loads(self._role_file.read_text())
        except (OSError, ValueError):
            raise hvac.exceptions.Unauthorized from None

    def _allow_app_tokens(self) -> None:
        """Make sure of the token role through which apps' tokens are issued.

        The tokens are orphans: they outlive ours, and end by themselves after five minutes.
        """
        self._client.adapter.post(
            "/v1/auth/token/roles/app",
            json={
                "allowed_policies_glob": ["app-*"],
                "orphan": True,
                "renewable": False,
                "token_explicit_max_ttl": "5m",
                "token_type": "service",
                "token_no_default_policy": True,
            },
        )


def _session(ca_file: Path | None) -> requests.Session:
    """A session that heeds no proxy or certificate settings of the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(ca_file) if ca_file else True
    return session


def _unavailable(what: str) -> Unavailable:
    return Unavailable(f"The secret store {what}; running apps go on, try again in a moment.", 5.0)
