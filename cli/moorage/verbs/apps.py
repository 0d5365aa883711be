"""Apps as a whole: apps, create, info, open, destroy."""

import os
import sys
import webbrowser
from pathlib import Path

import click

from moorage.client import app_path
from moorage.errors import Trouble
from moorage.git import Git
from moorage.remotes import check_label
from moorage.session import Session, app_option, json_option, with_session

COLUMNS = {"name": "NAME", "state": "STATE", "owner": "OWNER", "title": "TITLE", "url": "URL"}
REMOTE = "moorage"


@click.command()
@json_option
@with_session
def apps(session: Session) -> None:
    """List the apps you may see."""
    listed = session.client.get("/apps")
    rows = [app | {"url": session.platform.app_url(app["name"])} for app in listed]
    session.output.table(rows, COLUMNS, "No apps yet: `moorage deploy` in a folder makes one.")


@click.command()
@click.argument("name")
@click.option("--title", help="What people see in the portal.")
@json_option
@with_session
def create(session: Session, name: str, title: str | None) -> None:
    """Create an app without deploying it; a git remote `moorage` is added in a repository."""
    made = session.client.post(
        "/apps", {"name": check_label(name)} | ({"title": title} if title else {})
    )
    url = session.platform.git_url(name)
    remote = _add_remote(url)
    way = "git push moorage HEAD:main" if remote else f"moorage deploy --app {name}"
    session.output.done(
        f"Created {name}. Deploy it by `{way}`.", made | {"git_url": url, "remote": remote}
    )


@click.command()
@app_option
@json_option
@with_session
def info(session: Session) -> None:
    """Show one app."""
    app = session.app
    urls = {"url": session.platform.app_url(app), "git_url": session.platform.git_url(app)}
    session.output.record(session.client.get(app_path(app)) | urls)


@click.command("open")
@app_option
@json_option
@with_session
def open_app(session: Session) -> None:
    """Print the app's address and open it in a browser, where there is one."""
    url = session.platform.app_url(session.app)
    if not session.output.as_json and _has_screen():
        webbrowser.open(url)
    session.output.done(url, {"app": session.app, "url": url})


@click.command()
@click.option("--confirm", metavar="NAME", help="The app's name, instead of being asked for it.")
@app_option
@json_option
@with_session
def destroy(session: Session, confirm: str | None) -> None:
    """Delete the app with its releases, config and secrets, for good."""
    app = session.app
    if confirm is None:
        if not sys.stdin.isatty():
            raise Trouble(f"say --confirm {app} to destroy it")
        confirm = click.prompt(f"This deletes {app} for good. Type its name", err=True)
    if confirm != app:
        raise Trouble(f"{confirm!r} is not the name of the app ({app}): nothing was destroyed")
    session.client.delete(app_path(app))
    session.output.done(f"Destroyed {app}.", {"app": app, "destroyed": True})


def _add_remote(url: str) -> str | None:
    """The remote added for `url`: none outside a repository or when the name is taken."""
    git = Git(Path.cwd())
    if git.top() != Path.cwd().resolve():
        return None
    return REMOTE if git.ask("remote", "add", REMOTE, url) is not None else None


def _has_screen() -> bool:
    """False where `webbrowser` would start a browser inside the terminal, or none."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
