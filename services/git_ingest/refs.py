"""What a push changes: the refs it moves, and which of them is to go live."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import Invalid

_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
HEADS = "refs/heads/"
FIRST_BRANCHES = ("main", "master")
"""An app that was never deployed takes either, the first one by preference."""


@dataclass(frozen=True)
class Update:
    """One ref of a push, as git's pre-receive hook is told (githooks(5)): old id, new id, name."""

    old: str
    new: str
    ref: str

    @staticmethod
    def parse(line: str) -> "Update":
        """Read "OLD NEW REF"; `Invalid` when an id is not hexadecimal."""
        old, new, ref = line.split(" ", 2)
        if not (_OBJECT_ID.fullmatch(old) and _OBJECT_ID.fullmatch(new)):
            raise Invalid("git sent an object id that is none; update git and push again.")
        return Update(old, new, ref)

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")

    @property
    def creates(self) -> bool:
        return not self.old.strip("0")

    @property
    def branch(self) -> str | None:
        """The branch's short name, None for a tag."""
        return self.ref.removeprefix(HEADS) if self.ref.startswith(HEADS) else None

    @property
    def title(self) -> str:
        """How a person calls it."""
        return f"branch {self.branch}" if self.branch else self.ref.removeprefix("refs/tags/")


def going_live(updates: Sequence[Update], deploy_branch: str | None) -> Update | None:
    """The one update that is to be deployed, if any.

    `deploy_branch` is None for an app that was never live. Raises `Invalid` when the push would
    delete the deploy branch.
    """
    by_branch = {update.branch: update for update in updates if update.branch}
    for branch in (deploy_branch,) if deploy_branch else FIRST_BRANCHES:
        update = by_branch.get(branch)
        if update is None:
            continue
        if not update.deletes:
            return update
        if deploy_branch:
            raise Invalid(
                f"The branch {branch} cannot be deleted because it is what runs; to remove the"
                " app with all it has, use `moorage destroy`."
            )
    return None
