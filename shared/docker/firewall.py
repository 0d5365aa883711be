"""What apps may reach over the network, as rules of the host's own packet filter.

The engine lets every container reach every port of its host. The rules are a table of the
platform's own, so neither the engine nor another firewall that starts again takes them away, and
an "accept" in it overrules nobody else's "drop". They go by the names of the bridges; a new app is
covered from its first packet on.

The host may still reach apps, and apps answer. Connections that exist when the rules change go on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Literal

from aiodocker import Docker
from aiodocker.containers import DockerContainer

from shared.docker.client import in_our_words
from shared.docker.containment import locked_in
from shared.docker.names import Names
from shared.errors import Unavailable

Network = IPv4Network | IPv6Network
Egress = Literal["open", "none"] | tuple[Network, ...]
"""Where apps may connect to: anywhere, nowhere, or these networks alone."""

NEVER: tuple[Network, ...] = (
    # Link-local: never routed, so what answers there belongs to the machine. Most clouds have their
    # metadata service here (169.254.169.254); it gives the machine's credentials to all who ask.
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fe80::/10"),
    # The metadata services that do not: Amazon's over IPv6, Alibaba's, Azure's agent.
    IPv6Network("fd00:ec2::254/128"),
    IPv4Network("100.100.100.200/32"),
    IPv4Network("168.63.129.16/32"),
)
# Apps see "no route to host" at once instead of waiting for an answer.
REFUSE = "reject with icmpx admin-prohibited"
SCRIPT_MEMORY_BYTES = 64 * 1024 * 1024
SCRIPT_SECONDS = 60.0
_COMPLAINT_LINES = 5


def rules(
    names: Names,
    egress: Egress = "open",
    never: Iterable[Network] = (),
    resolvers: Iterable[IPv4Address | IPv6Address] = (),
    builds: Sequence[str] = (),
) -> str:
    """The script, for `nft -f`, that replaces the platform's table in one step.

    `never` are networks that no app may reach whatever `egress` says. `resolvers` are the host's
    name servers: unless nothing is open they may be asked for names, wherever they are. `builds`
    are the bridges on which packages are installed; they reach what is open to nobody else.
    """
    apps = f'"{names.bridges}*"'
    names_accepted = _names_accepted(egress, tuple(resolvers), builds)
    arriving = [
        "type filter hook input priority filter; policy accept;",
        f"iifname != {apps} accept",
        "ct state established,related accept",
        *names_accepted,
        REFUSE,
    ]
    forwarded = [
        "type filter hook forward priority filter; policy accept;",
        "ct state established,related accept",
        f"iifname {apps} goto leaving",
        f"oifname {apps} {REFUSE}",
    ]
    leaving = [
        # To a neighbour on the same bridge; seen here only where bridges pass the packet filter.
        "fib daddr . iif oif exists accept",
        *names_accepted,
        # Sent to a port of the host, which the engine has led on to some container.
        f"ct status dnat {REFUSE}",
        *_to((*NEVER, *never), REFUSE),
        f"oifname {apps} {REFUSE}",
        *_egress(egress, builds),
    ]
    chains = {"input": arriving, "forward": forwarded, "leaving": leaving}
    body = "\n".join(_chain(name, lines) for name, lines in chains.items())
    return f"{removal(names)}{_table(names)} {{\n{body}\n}}\n"


def removal(names: Names) -> str:
    """The script that takes the platform's table away, whether it is there or not."""
    table = _table(names)
    return f"{table} {{}}\ndelete {table}\n"


def name_servers(resolv_conf: str) -> list[IPv4Address | IPv6Address]:
    """Those that a `/etc/resolv.conf` names."""
    found: list[IPv4Address | IPv6Address] = []
    for line in resolv_conf.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                with suppress(ValueError):
                    found.append(ip_address(address.partition("%")[0]))
            case _:
                pass
    return found


async def apply(
    docker: Docker, image: str, script: str, labels: Mapping[str, str] | None = None
) -> None:
    """Run `script` on the engine's host: in a container of `image`, which must have nft.

    Raises `Unavailable` with what nft says.
    """
    config = {
        "Image": image,
        "User": "0:0",
        "Entrypoint": [],
        "Cmd": ["nft", script],
        "Labels": dict(labels or {}),
        "HostConfig": {
            **locked_in(
                network="host",
                memory_bytes=SCRIPT_MEMORY_BYTES,
                cpu=None,
                processes=16,
                open_files=None,
            ),
            "CapAdd": ["NET_ADMIN"],
            # Where the engine maps users, the host's network is only for its real ones.
            "UsernsMode": "host",
        },
    }
    with in_our_words(f"The image {image}"):
        container = await docker.containers.create(config)
        try:
            await container.start()
            ended = await container.wait(timeout=SCRIPT_SECONDS)
            if ended["StatusCode"] != 0:
                raise Unavailable(f"The host's packet filter refuses: {await _said(container)}")
        finally:
            await container.delete(force=True)


async def _said(container: DockerContainer) -> str:
    pieces = await container.log(stdout=True, stderr=True)
    lines = "".join(pieces).splitlines()[:_COMPLAINT_LINES]
    return " ".join(line.strip() for line in lines) or "it does not say why."


def _table(names: Names) -> str:
    return f"table inet moorage_{names.mark}"


def _names_accepted(
    egress: Egress, resolvers: tuple[IPv4Address | IPv6Address, ...], builds: Sequence[str]
) -> list[str]:
    """Rules that let name servers be asked; by builds alone where nothing is open to apps."""
    if egress == "none" and not builds:
        return []
    who = f"iifname {_set(builds)} " if egress == "none" else ""
    accept = "meta l4proto { tcp, udp } th dport 53 accept"
    return [who + rule for rule in _to(map(ip_network, resolvers), accept)]


def _egress(egress: Egress, builds: Sequence[str]) -> Iterator[str]:
    if egress == "open":
        return
    if builds:
        yield f"iifname {_set(builds)} accept"
    if egress != "none":
        yield from _to(egress, "accept")
    yield REFUSE


def _to(networks: Iterable[Network], verdict: str) -> Iterator[str]:
    """A rule per address family that has any; nft wants no network twice, nor within another."""
    wanted = list(networks)
    four = collapse_addresses(net for net in wanted if isinstance(net, IPv4Network))
    six = collapse_addresses(net for net in wanted if isinstance(net, IPv6Network))
    for family, found in (("ip", list(four)), ("ip6", list(six))):
        if found:
            yield f"{family} daddr {{ {', '.join(map(str, found))} }} {verdict}"


def _set(bridges: Sequence[str]) -> str:
    return "{ " + ", ".join(f'"{bridge}"' for bridge in bridges) + " }"


def _chain(name: str, lines: Iterable[str]) -> str:
    return f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}"
