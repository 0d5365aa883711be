"""Keeps the firewall's rules in force: before anything runs, and every now and then again."""

import asyncio
import time
from pathlib import Path

from aiodocker import Docker

from shared.docker import firewall
from shared.docker.names import BUILDS, Names
from shared.docker.settings import DockerSettings

AGAIN_SECONDS = 300.0
"""Somebody may have flushed the host's packet filter."""
RESOLV_CONF = Path("/etc/resolv.conf")


class Guard:
    """The rules of one platform, on one engine's host."""

    def __init__(self, docker: Docker, names: Names, settings: DockerSettings) -> None:
        self._docker = docker
        self._names = names
        self._settings = settings
        self._turn = asyncio.Lock()
        self._applied = -AGAIN_SECONDS

    async def ensure(self) -> None:
        """See that the rules are in force. Raises `Unavailable` when they cannot be."""
        if time.monotonic() - self._applied < AGAIN_SECONDS:
            return
        async with self._turn:
            if time.monotonic() - self._applied >= AGAIN_SECONDS:
                await self._apply()

    def doubt(self) -> None:
        """Apply them again before the next start: the engine has gone away meanwhile."""
        self._applied = -AGAIN_SECONDS

    async def lift(self) -> None:
        """Take the rules away, when nothing of the platform runs any more."""
        image, script = self._settings.docker_app_image, firewall.removal(self._names)
        await firewall.apply(self._docker, image, script, self._names.labels)
        self.doubt()

    async def _apply(self) -> None:
        settings = self._settings
        script = firewall.rules(
            self._names,
            egress=settings.egress,
            never=settings.never,
            resolvers=firewall.name_servers(RESOLV_CONF.read_text()),
            builds=[self._names.bridge(BUILDS)],
        )
        image = settings.docker_app_image
        await firewall.apply(self._docker, image, script, self._names.labels)
        self._applied = time.monotonic()
