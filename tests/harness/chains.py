"""The packet filter's chains, which all Docker engines of a machine share.

An engine that starts empties them, so it would take from the others what keeps their networks
apart; and one that ends leaves its own rules behind.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

SHARED = {
    "filter": ("DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"),
    "nat": ("DOCKER",),
}
USERS = "DOCKER-USER"
PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
"""System administration's folders are not on everybody's."""
LOCKED = "/tmp"
"""Locked itself, so that no lock file is left."""
Rule = tuple[str, ...]
"""The table, then the words with which `iptables` would append the rule."""


@contextmanager
def kept(ours: set[str]) -> Iterator[None]:
    """Put back what an engine of ours takes from others; `ours` are the names of its bridges."""
    with alone():
        before = _docker_rules()
        yield
        after = _docker_rules()
        others = set(psutil.net_if_addrs()) - ours
        # At the top and in their order: each chain of the engine's ends with a way out.
        for table, _, *words in reversed(before):
            if (table, "-A", *words) not in after and others & set(words):
                _iptables(table, "-I", *words)


def forward_policy() -> str:
    """What happens to packets that no rule is about; an engine sets it to DROP."""
    return next(rule[-1] for rule in _rules("filter") if rule[1:3] == ("-P", "FORWARD"))


def clear(bridges: set[str], policy: str) -> None:
    """Remove all rules about `bridges`; where no engine is left, the chains too, and set the
    policy back to what it was."""
    with alone():
        for table in SHARED:
            for rule in _rules(table):
                if bridges & set(rule):
                    _remove(rule)
        if all(rule[-2:] == ("-j", "RETURN") and len(rule) == 5 for rule in _docker_rules()):
            _remove_chains()
            _iptables("filter", "-P", "FORWARD", policy)


def _remove_chains() -> None:
    for table, chains in SHARED.items():
        names = {*chains, USERS} if table == "filter" else set(chains)
        rules = _rules(table)
        for rule in rules:
            if rule[2] not in names and rule[-1] in names:
                _remove(rule)
        existing = names & {rule[2] for rule in rules if rule[1] == "-N"}
        for option in ("-F", "-X"):
            for name in sorted(existing):
                _iptables(table, option, name)


@contextmanager
def alone() -> Iterator[None]:
    """While no other tests on this machine do this: what is read must still be so when changed."""
    folder = os.open(LOCKED, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _docker_rules() -> list[Rule]:
    return [
        rule
        for table, chains in SHARED.items()
        for rule in _rules(table)
        if rule[1] == "-A" and rule[2] in chains
    ]


def _rules(table: str) -> list[Rule]:
    lines = _iptables(table, "-S").splitlines()
    return [(table, *line.split()) for line in lines]


def _remove(rule: Rule) -> None:
    table, _, *words = rule
    # An engine that nobody locks out may have been faster.
    with suppress(subprocess.CalledProcessError):
        _iptables(table, "-D", *words)


def _iptables(table: str, *words: str) -> str:
    command = ["iptables", "--wait", "--table", table, *words]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": PATH}, check=True)
    return done.stdout
