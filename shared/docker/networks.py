"""A bridge for each app, and one for builds, so that none of them shares a network with another.

The engine's own pools of addresses end after some thirty networks, therefore each gets a small
subnet of ours. Which one depends on its name: an app that comes back gets the same again, and a
freed subnet rarely goes to another app soon.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, ip_network

from aiodocker import Docker, DockerError

from shared.docker.client import in_our_words
from shared.docker.names import Names
from shared.errors import Unavailable

PREFIX_LENGTH = 28
OVERLAPS = "overlap"
"""In the engine's answer when somebody has taken the subnet meanwhile."""
MOST_TRIES = 20


class Networks:
    """The platform's networks, all cut out of `pool`."""

    def __init__(self, docker: Docker, names: Names, pool: IPv4Network) -> None:
        self._docker = docker
        self._names = names
        self._pool = pool
        self._known: set[str] = set()
        self._turn = asyncio.Lock()

    async def ensure(
        self, name: str, labels: Mapping[str, str] | None = None, neighbours: bool = True
    ) -> str:
        """The network called `name`, made unless it is there; its name in the engine.

        Without `neighbours` its containers cannot reach each other.
        """
        network = self._names.network(name)
        async with self._turn:
            if name not in self._known:
                with in_our_words(f"The network {network}"):
                    if not await self._exists(network):
                        await self._make(name, network, labels or {}, neighbours)
                self._known.add(name)
        return network

    def forget(self, name: str) -> None:
        """Look again before it is used: somebody has removed it."""
        self._known.discard(name)

    async def remove(self, network: str) -> None:
        """Remove a network by its name in the engine; one that is in use stays."""
        self._known.clear()
        try:
            await (await self._docker.networks.get(network)).delete()
        except DockerError as error:
            if error.status not in (403, 404):
                raise

    async def labelled(self, label: str) -> list[str]:
        """The names, in the engine, of the platform's networks that have a label."""
        found = await self._docker.networks.list(filters=self._names.filters(label))
        return [network["Name"] for network in found]

    async def _exists(self, network: str) -> bool:
        try:
            await (await self._docker.networks.get(network)).show()
        except DockerError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def _make(
        self, name: str, network: str, labels: Mapping[str, str], neighbours: bool
    ) -> None:
        for _, subnet in zip(range(MOST_TRIES), await self._free(name), strict=False):
            try:
                await self._docker.networks.create(
                    {
                        "Name": network,
                        "CheckDuplicate": True,
                        "Driver": "bridge",
                        "Labels": {**self._names.labels, **labels},
                        "IPAM": {"Config": [{"Subnet": str(subnet)}]},
                        "Options": {
                            "com.docker.network.bridge.name": self._names.bridge(name),
                            "com.docker.network.bridge.enable_icc": str(neighbours).lower(),
                        },
                    }
                )
            except DockerError as error:
                if await self._exists(network):  # another scheduler was faster
                    return
                if OVERLAPS not in error.message:
                    raise
            else:
                return
        raise Unavailable(f"No subnet of {self._pool} is free; set MOORAGE_DOCKER_NETWORKS.")

    async def _free(self, name: str) -> Iterator[IPv4Network]:
        """Subnets that no network has, beginning at the one that belongs to the name."""
        taken = [
            ip_network(config["Subnet"])
            for network in await self._docker.networks.list()
            for config in (network.get("IPAM") or {}).get("Config") or ()
            if "Subnet" in config
        ]
        taken = [subnet for subnet in taken if isinstance(subnet, IPv4Network)]
        taken = [subnet for subnet in taken if subnet.overlaps(self._pool)]
        count = 1 << (PREFIX_LENGTH - self._pool.prefixlen)
        first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count
        places = ((first + step) % count for step in range(count))
        size = 1 << (32 - PREFIX_LENGTH)
        base = int(self._pool.network_address)
        subnets = (IPv4Network((base + place * size, PREFIX_LENGTH)) for place in places)
        return (one for one in subnets if not any(one.overlaps(other) for other in taken))
