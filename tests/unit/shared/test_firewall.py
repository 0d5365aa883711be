"""The text of the rules; what they do to packets is tried in tests/integration/docker."""

import re
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from shared.docker.firewall import Egress, name_servers, removal, rules
from shared.docker.names import Names

NAMES = Names("abc123")
REFUSE = "reject with icmpx admin-prohibited"
COMPANY = ip_network("198.51.100.0/24")
RESOLVER = IPv4Address("198.51.100.53")


def chain(script: str, name: str) -> list[str]:
    found = re.search(rf"\tchain {name} {{\n(.*?)\t}}", script, re.DOTALL)
    assert found
    return [line.strip() for line in found[1].splitlines()]


def test_the_table_is_replaced_in_one_step() -> None:
    lines = rules(NAMES).splitlines()
    assert lines[:3] == [
        "table inet moorage_abc123 {}",
        "delete table inet moorage_abc123",
        "table inet moorage_abc123 {",
    ]
    assert rules(NAMES).startswith(removal(NAMES))


def test_nothing_new_goes_from_apps_to_the_host() -> None:
    assert chain(rules(NAMES), "input") == [
        "type filter hook input priority filter; policy accept;",
        'iifname != "mabc123-*" accept',
        "ct state established,related accept",
        REFUSE,
    ]


def test_nothing_new_is_forwarded_to_apps() -> None:
    assert chain(rules(NAMES), "forward")[1:] == [
        "ct state established,related accept",
        'iifname "mabc123-*" goto leaving',
        f'oifname "mabc123-*" {REFUSE}',
    ]


def test_the_metadata_services_come_before_what_is_open() -> None:
    leaving = chain(rules(NAMES, (ip_network("0.0.0.0/0"),)), "leaving")
    refused = next(place for place, line in enumerate(leaving) if "169.254.0.0/16" in line)
    assert leaving[refused].endswith(REFUSE)
    assert refused < leaving.index("ip daddr { 0.0.0.0/0 } accept")
    assert any("fe80::/10" in line and "fd00:ec2::254" in line for line in leaving)


def test_what_is_never_to_be_reached_is_refused_although_all_is_open() -> None:
    leaving = chain(rules(NAMES, "open", never=[COMPANY, ip_network("fd00::/8")]), "leaving")
    assert any("198.51.100.0/24" in line and line.endswith(REFUSE) for line in leaving)
    assert any("fd00::/8" in line and line.endswith(REFUSE) for line in leaving)


@pytest.mark.parametrize(
    ("egress", "end"),
    [
        ("open", [f'oifname "mabc123-*" {REFUSE}']),
        ("none", [f'oifname "mabc123-*" {REFUSE}', REFUSE]),
        ((), [f'oifname "mabc123-*" {REFUSE}', REFUSE]),
        ((COMPANY,), ["ip daddr { 198.51.100.0/24 } accept", REFUSE]),
        (
            (ip_network("2001:db8::/32"), COMPANY),
            ["ip daddr { 198.51.100.0/24 } accept", "ip6 daddr { 2001:db8::/32 } accept", REFUSE],
        ),
    ],
)
def test_egress_is_decided_last(egress: Egress, end: list[str]) -> None:
    assert chain(rules(NAMES, egress), "leaving")[-len(end) :] == end


def test_networks_within_others_are_named_once() -> None:
    """nft refuses a set whose ranges overlap."""
    inner = ip_network("198.51.100.128/25")
    assert "ip daddr { 198.51.100.0/24 } accept" in rules(NAMES, (inner, COMPANY, inner))


def test_builds_reach_what_apps_do_not() -> None:
    leaving = chain(rules(NAMES, "none", builds=["mabc123-42"]), "leaving")
    assert leaving[-2:] == ['iifname { "mabc123-42" } accept', REFUSE]
    assert "accept" not in chain(rules(NAMES, "none"), "leaving")[-2]


@pytest.mark.parametrize("name", ["input", "leaving"])
def test_name_servers_may_be_asked_wherever_they_are(name: str) -> None:
    ask = "ip daddr { 198.51.100.53/32 } meta l4proto { tcp, udp } th dport 53 accept"
    lines = chain(rules(NAMES, "open", never=[COMPANY], resolvers=[RESOLVER]), name)
    assert lines.index(ask) < next(place for place, line in enumerate(lines) if REFUSE in line)
    assert ask in chain(rules(NAMES, (), resolvers=[RESOLVER]), name)


def test_where_nothing_is_open_only_builds_ask_name_servers() -> None:
    assert "dport 53" not in rules(NAMES, "none", resolvers=[RESOLVER])
    script = rules(NAMES, "none", resolvers=[RESOLVER], builds=["mabc123-42"])
    asking = [line.strip() for line in script.splitlines() if "dport 53" in line]
    assert len(asking) == 2
    assert all(line.startswith('iifname { "mabc123-42" } ip daddr') for line in asking)


def test_name_servers_of_a_host() -> None:
    text = "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1 \nnameserver\n"
    text += "nameserver fe80::1%eth0\nnameserver ?\n"
    assert name_servers(text) == [ip_address("192.0.2.1"), ip_address("fe80::1")]
