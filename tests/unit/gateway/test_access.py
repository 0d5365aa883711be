"""Who may open an app, and with which role."""

import pytest

from gateway.access import app_role, may_open
from gateway.table import AccessRule, Grant, Person
from shared.identity import AppRole


def person(user: str = "bob", role: str = "viewer", active: bool = True, *groups: str) -> Person:
    return Person(user, "", "", role, groups, active, 0)


def rule(mode: str, *grants: Grant) -> AccessRule:
    return AccessRule("a", mode, "ann", grants)


GROUP = Grant("group", "data", "collaborator")
USER = Grant("user", "bob", "viewer")


@pytest.mark.parametrize(
    ("mode", "who", "expected"),
    [
        ("public", None, True),
        ("public", person(active=False), True),
        ("signed-in", None, False),
        ("signed-in", person(), True),
        ("signed-in", person(active=False), False),
        ("restricted", None, False),
        ("restricted", person(), False),
        ("restricted", person("ann"), True),
        ("restricted", person("ann", active=False), False),
        ("restricted", person("eve", "admin"), True),
        ("restricted", person("eve", "admin", active=False), False),
        ("restricted", person("eve", "developer"), False),
    ],
)
def test_modes(mode: str, who: Person | None, expected: bool) -> None:
    assert may_open(rule(mode), who) is expected


def test_without_a_rule_only_administrators_enter() -> None:
    assert not may_open(None, None)
    assert not may_open(None, person())
    assert may_open(None, person(role="admin"))


def test_grants() -> None:
    assert may_open(rule("restricted", USER), person())
    assert not may_open(rule("restricted", USER), person("eve"))
    assert may_open(rule("restricted", GROUP), person("eve", "viewer", True, "data"))
    assert not may_open(rule("restricted", GROUP), person("data"))
    assert not may_open(
        rule("restricted", Grant("user", "data", "viewer")), person("eve", "viewer", True, "data")
    )


def test_roles() -> None:
    both = rule("restricted", USER, GROUP)
    assert app_role(both, person()) == AppRole.VIEWER
    assert app_role(both, person("bob", "viewer", True, "data")) == AppRole.COLLABORATOR
    assert app_role(both, person("ann")) == AppRole.OWNER
    assert app_role(both, person("eve", "admin")) == AppRole.OWNER
    assert app_role(None, person("eve", "admin")) == AppRole.OWNER
    assert app_role(rule("public"), person("eve")) == AppRole.NONE
    assert app_role(both, None) == AppRole.NONE
    assert app_role(rule("restricted", Grant("user", "bob", "king")), person()) == AppRole.NONE
