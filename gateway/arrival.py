"""From where and how a request came in, also when trusted proxies stand in front of us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from gateway.fields import is_host

Network = IPv4Network | IPv6Network


class Hints(NamedTuple):
    """What a request says of the way it came, as it stands in its headers; empty where absent."""

    forwarded: bytes
    forwarded_for: bytes
    proto: bytes
    host: bytes


@dataclass(slots=True)
class Arrival:
    """`address` of the client, `scheme` and `host` (lower case, with its port) as the client
    typed them, and the header lines that tell a target so, each with its CRLF."""

    address: str
    scheme: str
    host: bytes
    lines: bytes


class Trusted:
    """The networks of the proxies that may say for whom they ask."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(
            ip_network(text.strip(), strict=False) for text in networks if text.strip()
        )

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def arrive(peer: str, scheme: str, host: bytes, hints: Hints | None, trusted: Trusted) -> Arrival:
    """How a request arrived over a connection from `peer`.

    Only what a trusted peer says counts. Of a chain of proxies the last address that is none of
    ours is the client: what stands before it, the client may have written itself.
    """
    if hints is not None and peer in trusted:
        steps = _forwarded(hints.forwarded) if hints.forwarded else _classic(hints)
        peer, scheme, host = _follow(steps, peer, scheme, host, trusted)
    return Arrival(peer, scheme, host.lower(), _lines(peer.encode(), scheme.encode(), host))


Step = tuple[str, str, bytes]
"""One proxy's word: the address it was asked from, the scheme, the host; empty if not said."""


def _follow(
    steps: Sequence[Step], peer: str, scheme: str, host: bytes, trusted: Trusted
) -> tuple[str, str, bytes]:
    for address, said_scheme, said_host in reversed(steps):
        if peer not in trusted or not address:
            break
        peer = address
        scheme = said_scheme or scheme
        host = said_host or host
    return peer, scheme, host


def _classic(hints: Hints) -> list[Step]:
    """X-Forwarded-*: a list of addresses; scheme and host as the proxy next to us says."""
    scheme = _scheme(hints.proto.rpartition(b",")[2])
    host = _host(hints.host.rpartition(b",")[2].strip(b" \t"))
    return [(_address(part), scheme, host) for part in hints.forwarded_for.split(b",")]


def _forwarded(value: bytes) -> list[Step]:
    """Forwarded (RFC 7239, section 4)."""
    steps: list[Step] = []
    for element in value.split(b","):
        pairs: dict[bytes, bytes] = {}
        for pair in element.split(b";"):
            name, _, text = pair.partition(b"=")
            pairs[name.strip(b" \t").lower()] = text.strip(b' \t"')
        steps.append(
            (
                _address(pairs.get(b"for", b"")),
                _scheme(pairs.get(b"proto", b"")),
                _host(pairs.get(b"host", b"")),
            )
        )
    return steps


def _address(text: bytes) -> str:
    """An address without brackets and port; empty if it is none (an obfuscated name, a typo)."""
    plain = text.strip(b' \t"').decode("latin-1")
    if plain.startswith("["):
        plain = plain[1:].partition("]")[0]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]
    try:
        return str(ip_address(plain))
    except ValueError:
        return ""


def _scheme(text: bytes) -> str:
    plain = text.strip(b' \t"').lower()
    return plain.decode() if plain in (b"http", b"https") else ""


def _host(text: bytes) -> bytes:
    return text if is_host(text) else b""


def _lines(address: bytes, scheme: bytes, host: bytes) -> bytes:
    named = b'"[%b]"' % address if b":" in address else address
    return (
        b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n"
        b'Forwarded: for=%b;proto=%b;host="%b"\r\n'
    ) % (address, scheme, host, named, scheme, host)
