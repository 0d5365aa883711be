"""Apps as the portal knows them, and who may see which. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.identity import ROLE_NAMES, AppRole, Caller


@dataclass(frozen=True)
class App:
    """One app with its access rule; grants are {kind: "user"|"group", name, role}."""

    name: str
    owner: str
    title: str
    description: str
    tags: tuple[str, ...]
    created_at: datetime
    release: int | None
    deployed_at: datetime | None
    deploy_error: str | None
    mode: str
    grants: tuple[dict[str, str], ...]


def role_of(caller: Caller, app: App) -> AppRole:
    """What `caller` is to `app`, by the copy of the access rules that the portal has."""
    if caller.is_admin or app.owner == caller.user:
        return AppRole.OWNER
    granted = [_granted(caller, grant) for grant in app.grants]
    if app.mode in ("public", "signed-in"):
        granted.append(AppRole.VIEWER)
    return max(granted, default=AppRole.NONE)


def visible(caller: Caller, apps: Iterable[App]) -> list[App]:
    """The apps that `caller` may open, in the order given."""
    return [app for app in apps if role_of(caller, app) >= AppRole.VIEWER]


def toward(caller: Caller, app: App) -> Caller:
    """The caller with the role on `app` that the gateway or the portal knows, whichever is more.

    The gateway learns of a new app a moment after its owner was told that it exists.
    """
    return replace(caller, app=app.name, app_role=max(caller.app_role, role_of(caller, app)))


def matches(app: App, words: str) -> bool:
    """True when every word occurs in the app's name, title, owner, description or tags."""
    text = " ".join((app.name, app.title, app.owner, app.description, *app.tags)).casefold()
    return all(word in text for word in words.casefold().split())


def described(app: App, role: AppRole, url: str, state: dict[str, str]) -> dict[str, Any]:
    """An app as the API shows it; `last_deploy` is None before the first."""
    return {
        "name": app.name,
        "title": app.title or app.name,
        "description": app.description,
        "tags": list(app.tags),
        "owner": app.owner,
        "access": app.mode,
        "role": role.name.lower(),
        "url": url,
        **state,
        "release": app.release,
        "last_deploy": app.deployed_at,
        "last_error": app.deploy_error,
        "created_at": app.created_at,
    }


def _granted(caller: Caller, grant: dict[str, str]) -> AppRole:
    names = (caller.user,) if grant["kind"] == "user" else caller.groups
    return ROLE_NAMES.get(grant["role"], AppRole.NONE) if grant["name"] in names else AppRole.NONE
