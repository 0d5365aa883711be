"""Addresses for engines of the tests' own, which nobody else on the machine has."""

import json
import random
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import psutil

from tests.harness import chains

TAKEN_FROM = IPv4Network("10.160.0.0/11")
"""Far from the usual networks, and from the platform's own."""
PREFIX_LENGTH = 16


def free() -> list[IPv4Network]:
    """Subnets that no interface has and no route leads to, in any order."""
    taken = [net for _, net in _interfaces()] + _routed()
    found = [
        subnet
        for subnet in TAKEN_FROM.subnets(new_prefix=PREFIX_LENGTH)
        if not any(subnet.overlaps(net) for net in taken)
    ]
    return random.sample(found, len(found))


def interfaces_in(subnet: IPv4Network) -> set[str]:
    return {name for name, net in _interfaces() if net.overlaps(subnet)}


def _interfaces() -> Iterator[tuple[str, IPv4Network]]:
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.family == socket.AF_INET:
                yield name, IPv4Network(f"{one.address}/{one.netmask}", strict=False)


def _routed() -> list[IPv4Network]:
    command = ["ip", "-json", "-4", "route"]
    done = subprocess.run(command, capture_output=True, env={"PATH": chains.PATH}, check=True)
    routes: list[dict[str, Any]] = json.loads(done.stdout)
    return [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]
