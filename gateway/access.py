"""Who may open an app, and as what: decisions on data alone."""

from gateway.table import AccessRule, Person
from shared.identity import AppRole

_ROLES = {
    "viewer": AppRole.VIEWER,
    "collaborator": AppRole.COLLABORATOR,
    "owner": AppRole.OWNER,
}


def app_role(rule: AccessRule | None, person: Person | None) -> AppRole:
    """The role somebody has on an app by being its owner, an administrator, or by a grant."""
    if person is None or not person.active:
        return AppRole.NONE
    if person.role == "admin":
        return AppRole.OWNER
    if rule is None:
        return AppRole.NONE
    if rule.owner == person.user:
        return AppRole.OWNER
    return max(
        (
            _ROLES.get(grant.role, AppRole.NONE)
            for grant in rule.grants
            if _names(grant.kind, grant.name, person)
        ),
        default=AppRole.NONE,
    )


def may_open(rule: AccessRule | None, person: Person | None) -> bool:
    """Whether somebody (None: nobody known) may open an app.

    An app whose rule has not arrived yet is open to administrators alone.
    """
    if rule is not None and rule.mode == "public":
        return True
    if person is None or not person.active:
        return False
    if rule is not None and rule.mode == "signed-in":
        return True
    return app_role(rule, person) > AppRole.NONE


def _names(kind: str, name: str, person: Person) -> bool:
    return name == person.user if kind == "user" else kind == "group" and name in person.groups
