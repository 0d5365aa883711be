"""deploy: push the current folder."""

from pathlib import Path

import click

from moorage.credentials import helper_environment, helper_options
from moorage.deployed import deployed
from moorage.errors import Trouble
from moorage.git import Git
from moorage.output import note
from moorage.remotes import folder_label
from moorage.session import Session, app_option, json_option, with_session
from moorage.snapshot import snapshot


@click.command()
@click.option("--message", "-m", help="What changed (a folder that is no git repository).")
@click.option("--force", is_flag=True, help="Replace what is deployed by another history.")
@app_option
@json_option
@with_session
def deploy(session: Session, message: str | None, force: bool) -> None:
    """Deploy the current folder and wait until it is live.

    A git repository is pushed as it is committed. Any other folder is pushed as it lies there,
    ignored files left out; it is not changed and becomes no repository.
    """
    folder = Path.cwd()
    if _is_repository(folder):
        _deploy_commit(session, _app(session, folder), folder, force)
    else:
        app = _app(session, folder)
        with snapshot(folder, session.platform, app, message or f"Deploy {folder.name}") as taken:
            spec = f"{taken.commit}:{taken.branch}"
            changed = taken.changed and _push(session, app, taken.git, spec)
            _report(session, app, taken.commit, changed)


def _is_repository(folder: Path) -> bool:
    top = Git(folder).top()
    if top and top != folder.resolve():
        note(f"this folder lies inside the repository {top}: deploying only what is in it")
    return top == folder.resolve()


def _app(session: Session, folder: Path) -> str:
    return session.named_app or folder_label(folder.resolve())


def _deploy_commit(session: Session, app: str, folder: Path, force: bool) -> None:
    git = Git(folder, helper_environment(session.platform))
    commit = git.ask("rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        raise Trouble("there is no commit yet: git add and git commit first, then deploy")
    if git.ask("status", "--porcelain"):
        note("not deployed: changes that are not committed")
    branch = deployed(git, session.platform, app).branch
    spec = f"{'+' if force else ''}{commit}:{branch}"
    _report(session, app, commit, _push(session, app, git, spec))


def _push(session: Session, app: str, git: Git, spec: str) -> bool:
    """Push as `spec` says, git's words on the terminal; false when it was deployed already."""
    url = session.platform.git_url(app)
    options = helper_options(session.platform)
    status, told = git.show(*options, "push", "--porcelain", url, spec)
    if status == 0:
        return not any(line.startswith("=\t") for line in told.splitlines())
    if any("(fetch first)" in line or "(non-fast-forward)" in line for line in told.splitlines()):
        raise Trouble(
            f"{app} holds commits that are not in this folder: git pull {url} first, "
            "or deploy --force to replace them"
        )
    raise Trouble(f"{app} was not deployed: the lines above say why")


def _report(session: Session, app: str, commit: str, changed: bool) -> None:
    url = session.platform.app_url(app)
    sentence = f"{app} is live at {url}" if changed else f"{app} is up to date at {url}"
    session.output.done(sentence, {"app": app, "commit": commit, "url": url, "changed": changed})
