"""Who sees which app, and what they find by searching."""

from datetime import UTC, datetime

import pytest

from services.portal.catalogue import App, matches, role_of, toward, visible
from shared.identity import AppRole, Caller


def app(name="sales", owner="ada", mode="restricted", grants=(), **more) -> App:
    fields = {"title": "", "description": "", "tags": (), "release": None, "deployed_at": None}
    fields |= {"deploy_error": None, "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return App(name=name, owner=owner, mode=mode, grants=grants, **(fields | more))


def grant(kind, name, role):
    return {"kind": kind, "name": name, "role": role}


BOB = Caller(user="bob", groups=("finance",))


@pytest.mark.parametrize(
    ("caller", "seen", "role"),
    [
        (BOB, app(), AppRole.NONE),
        (Caller(user="ada"), app(), AppRole.OWNER),
        (Caller(user="root", platform_role="admin"), app(), AppRole.OWNER),
        (BOB, app(mode="public"), AppRole.VIEWER),
        (BOB, app(mode="signed-in"), AppRole.VIEWER),
        (BOB, app(grants=(grant("user", "bob", "collaborator"),)), AppRole.COLLABORATOR),
        (BOB, app(grants=(grant("group", "finance", "viewer"),)), AppRole.VIEWER),
        (BOB, app(grants=(grant("group", "bob", "owner"),)), AppRole.NONE),
        (BOB, app(grants=(grant("user", "finance", "owner"),)), AppRole.NONE),
        (
            BOB,
            app(grants=(grant("user", "bob", "viewer"), grant("group", "finance", "owner"))),
            AppRole.OWNER,
        ),
    ],
)
def test_role(caller, seen, role):
    assert role_of(caller, seen) == role
    assert visible(caller, [seen]) == ([seen] if role else [])


def test_gateway_and_portal_together():
    """A new owner is known here before the gateway knows; the gateway may know of more grants."""
    assert toward(Caller(user="ada"), app()).app_role == AppRole.OWNER
    told = Caller(user="bob", app="sales", app_role=AppRole.COLLABORATOR)
    assert toward(told, app(mode="public")).app_role == AppRole.COLLABORATOR


@pytest.mark.parametrize(
    ("words", "found"),
    [("", True), ("SAL", True), ("ada money", True), ("buyers", True), ("ada costs", False)],
)
def test_search(words, found):
    described = app(title="Sales", description="Our buyers", tags=("money",))
    assert matches(described, words) is found
