"""An app's config vars and secrets, read from the store when an instance starts.

The secrets service hands out a token that can be unwrapped once and opens this app's document; the
values come straight from the store (Vault's HTTP API) and never cross the bus.
"""

import ssl
from dataclasses import dataclass
from typing import Any

import httpx

from shared.bus import Bus
from shared.errors import Unavailable

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Config:
    """Values by name; `version` counts the changes. Its `repr` shows no value."""

    version: int
    values: dict[str, str]

    def __repr__(self) -> str:
        return f"Config(version={self.version}, names={sorted(self.values)})"


class ConfigReader:
    """Reads an app's config. Raises `Unavailable` while the store or its service is away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self, app: str, instance: str) -> Config:
        issued = await self._bus.request("secrets.issue", {"app": app, "instance": instance})
        if not issued["wrapped_token"]:
            return Config(issued["version"], {})
        try:
            return await self._fetch(issued)
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise Unavailable(
                f"the secret store does not answer ({type(error).__name__})"
            ) from error

    async def _fetch(self, issued: dict[str, Any]) -> Config:
        async with httpx.AsyncClient(
            base_url=f"{issued['address']}/v1/",
            verify=_trust(issued["ca_file"]),
            timeout=TIMEOUT_SECONDS,
        ) as client:
            wrapped = {"X-Vault-Token": issued["wrapped_token"]}
            unwrapped = await client.post("sys/wrapping/unwrap", headers=wrapped)
            token = unwrapped.raise_for_status().json()["auth"]["client_token"]
            answer = await client.get(issued["path"], headers={"X-Vault-Token": token})
            # A version that an operator deleted is answered by 404, with data that is null.
            if answer.status_code != httpx.codes.NOT_FOUND:
                answer.raise_for_status()
            found = answer.json()["data"]
        document = found["data"] or {}
        values = {**document.get("config", {}), **document.get("secrets", {})}
        return Config(found["metadata"]["version"], values)


def _trust(ca_file: str | None) -> Any:
    return ssl.create_default_context(cafile=ca_file) if ca_file else True
