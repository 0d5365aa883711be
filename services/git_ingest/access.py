"""Who may push to an app and clone it: not viewers, source may hold what the app hides."""

from services.git_ingest.store import Repository
from shared.errors import Forbidden
from shared.identity import AppRole, Caller

_ROLES = {"viewer": AppRole.VIEWER, "collaborator": AppRole.COLLABORATOR, "owner": AppRole.OWNER}


def role_of(caller: Caller, repository: Repository) -> AppRole:
    """The highest role that the access rule gives to the caller, by name or by a group."""
    if caller.is_admin or caller.user == repository.owner:
        return AppRole.OWNER
    mine = {("user", caller.user), *(("group", group) for group in caller.groups)}
    given = (
        _ROLES.get(grant["role"], AppRole.NONE)
        for grant in repository.grants
        if (grant["kind"], grant["name"]) in mine
    )
    return max(given, default=AppRole.NONE)


def check_may(caller: Caller, repository: Repository, what: str) -> None:
    """Raise `Forbidden` unless the caller may `what` ("push to" or "clone")."""
    if role_of(caller, repository) < AppRole.COLLABORATOR:
        raise Forbidden(
            f"{caller.user} may not {what} {repository.app}: ask its owner,"
            f" {repository.owner}, to make you a collaborator."
        )
