"""A folder as a commit, without making the folder a repository.

The repository lies in a temporary folder outside; the commit follows what is deployed, so that the
push is an ordinary one and the app's history stays whole.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moorage.credentials import helper_environment, helper_options
from moorage.deployed import Deployed, deployed
from moorage.errors import Trouble
from moorage.git import Git
from moorage.output import note
from moorage.platform import Platform

# What no app wants deployed; a folder's own .gitignore can take a line back (`!data.sqlite`).
LEFT_OUT = (
    ".env",
    ".env.*",
    ".venv/",
    "__pycache__/",
    "*.py[cod]",
    ".git/",
    ".hg/",
    ".svn/",
    ".idea/",
    ".vscode/",
    ".ipynb_checkpoints/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".mypy_cache/",
    ".tox/",
    ".nox/",
    "*.egg-info/",
    "node_modules/",
    ".DS_Store",
    "Thumbs.db",
    "*.swp",
)


@dataclass(frozen=True)
class Snapshot:
    """A commit that holds the folder, in a repository of its own."""

    git: Git
    commit: str
    branch: str  # where it has to be pushed to
    changed: bool  # false: exactly this is deployed already


@contextmanager
def snapshot(folder: Path, platform: Platform, app: str, message: str) -> Iterator[Snapshot]:
    """The folder as a commit on top of what is deployed as `app`; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="moorage-") as home:
        git = _repository(Path(home), folder, platform)
        tree = _tree(git, folder)
        branch, parent = _fetch(git, platform, app)
        if parent and git.do("rev-parse", f"{parent}^{{tree}}") == tree:
            yield Snapshot(git, parent, branch, changed=False)
        else:
            parents = ["-p", parent] if parent else []
            commit = git.do("commit-tree", tree, *parents, "-m", message)
            yield Snapshot(git, commit, branch, changed=True)


def _repository(home: Path, folder: Path, platform: Platform) -> Git:
    mine = {"GIT_DIR": str(home / "git"), "GIT_WORK_TREE": str(folder)}
    git = Git(folder, helper_environment(platform) | mine | _identity(folder, platform))
    git.do("init", "--quiet", "--template=", "--initial-branch=main")
    for key, value in (
        ("core.autocrlf", "false"),
        ("core.hooksPath", "/dev/null"),
        ("gc.auto", "0"),
    ):
        git.do("config", key, value)
    exclude = home / "git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    environments = [f"/{found.parent.name}/" for found in folder.glob("*/pyvenv.cfg")]
    exclude.write_text("\n".join([*LEFT_OUT, *environments]) + "\n")
    return git


def _identity(folder: Path, platform: Platform) -> dict[str, str]:
    """The name git knows, else the user of the platform."""
    host = platform.url.partition("://")[2].partition(":")[0]
    name = Git(folder).ask("config", "user.name") or platform.user
    email = Git(folder).ask("config", "user.email") or f"{platform.user}@{host}"
    people = ("AUTHOR", "COMMITTER")
    return {f"GIT_{who}_NAME": name for who in people} | {
        f"GIT_{who}_EMAIL": email for who in people
    }


def _tree(git: Git, folder: Path) -> str:
    git.do("add", "--all", ".")
    entries = git.do("ls-files", "--stage", "-z").split("\0")
    if entries == [""]:
        raise Trouble(f"there is nothing to deploy in {folder}: it holds no files but ignored ones")
    nested = [entry.partition("\t")[2] for entry in entries if entry.startswith("160000 ")]
    if nested:
        raise Trouble(f"{nested[0]} is a git repository of its own: move it out of {folder}")
    files = {entry.partition("\t")[2] for entry in entries}
    if (folder / ".env").exists() and ".env" not in files:
        note("left out .env: give its values to the app by `moorage secrets set`")
    return git.do("write-tree")


def _fetch(git: Git, platform: Platform, app: str) -> Deployed:
    """What is deployed as `app`, with its history, so that the commit can follow it."""
    found = deployed(git, platform, app)
    if found.commit:
        options, url = helper_options(platform), platform.git_url(app)
        git.do(*options, "fetch", "--quiet", "--no-tags", url, found.branch)
    return found
