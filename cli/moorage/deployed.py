"""What is deployed as an app, asked of the platform by git."""

from typing import NamedTuple

from moorage.credentials import helper_options
from moorage.git import Git
from moorage.platform import Platform

FIRST_BRANCH = "refs/heads/main"


class Deployed(NamedTuple):
    """The branch that a push has to go to, and the commit it has; none before the first deploy."""

    branch: str
    commit: str | None


def deployed(git: Git, platform: Platform, app: str) -> Deployed:
    """HEAD of the app's repository names its deploy branch; an app that is not there yet has main.

    A platform that cannot be asked is left to the push to complain about.
    """
    url = platform.git_url(app)
    told = git.ask(*helper_options(platform), "ls-remote", "--symref", url, "HEAD") or ""
    branch, commit = FIRST_BRANCH, None
    for line in told.splitlines():
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: "):
            branch = value.removeprefix("ref: ")
        elif name == "HEAD":
            commit = value
    return Deployed(branch, commit)
