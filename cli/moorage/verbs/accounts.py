"""Who we are on the platform: login, logout, whoami, and what git asks."""

import os
import sys

import click

from moorage.client import Client, sign_in
from moorage.credentials import answer, install_helper, remove_helper
from moorage.errors import Trouble
from moorage.logins import Login
from moorage.output import note
from moorage.platform import Platform, clean_url
from moorage.prompts import ask_secret
from moorage.session import Session, json_option, with_session

LOCAL = ("http://localhost", "http://127.0.0.1", "http://[::1]")


@click.command()
@click.argument("url", required=False)
@click.option("--user", "-u", help="User name; asked for when left out.")
@click.option("--token", "by_token", is_flag=True, help="Read an API token from standard input.")
@json_option
@with_session
def login(session: Session, url: str | None, user: str | None, by_token: bool) -> None:
    """Log in to the platform at URL and let git use it."""
    address = clean_url(url or os.environ.get("MOORAGE_URL") or _last_url(session))
    if address.startswith("http://") and not address.startswith(LOCAL):
        note(f"careful: {address} is not encrypted, others on the network can read what you send")
    if by_token:
        token = ask_secret("Token").strip()
    else:
        name = user or click.prompt(f"User name at {address}", err=True)
        token = sign_in(address, name, ask_secret("Password"))
    who = Client(Platform(address, "", token)).get("/whoami")
    session.logins.save(Login(address, who["user"], token))
    install_helper(address)
    session.output.done(f"Logged in to {address} as {who['user']}.", {"url": address} | who)


@click.command()
@json_option
@with_session
def logout(session: Session) -> None:
    """Forget the login of this platform, for git as well."""
    last = session.logins.current()
    address = clean_url(os.environ.get("MOORAGE_URL") or (last.url if last else _nobody()))
    if not session.logins.forget(address):
        raise Trouble(f"not logged in to {address}: there is nothing to forget")
    remove_helper(address)
    session.output.done(
        f"Logged out of {address}; `moorage tokens revoke` ends the token itself.", {"url": address}
    )


@click.command()
@json_option
@with_session
def whoami(session: Session) -> None:
    """Show as whom the platform knows you."""
    session.output.record({"url": session.platform.url} | session.client.get("/whoami"))


@click.command("git-credential", hidden=True)
@click.argument("operation")
@with_session
def git_credential(session: Session, operation: str) -> None:
    """Answer git's question for a user name and a password."""
    if operation == "get":
        click.echo(answer(sys.stdin, os.environ, session.logins), nl=False)


def _last_url(session: Session) -> str:
    last = session.logins.current()
    if last is None:
        raise click.UsageError("say where: moorage login URL", click.get_current_context())
    return last.url


def _nobody() -> str:
    raise Trouble("not logged in anywhere: there is nothing to forget")
