"""Who may open and who may change the app."""

from typing import Any

import click

from moorage.client import app_path
from moorage.errors import Trouble
from moorage.session import Session, app_option, json_option, with_session

MODES = ("public", "signed-in", "restricted")
ROLES = ("viewer", "collaborator", "owner")
COLUMNS = {"kind": "KIND", "name": "NAME", "role": "ROLE"}
group_option = click.option("--group", is_flag=True, help="NAME is a group of people.")


@click.group(invoke_without_command=True)
@app_option
@json_option
@click.pass_context
def access(context: click.Context) -> None:
    """Show and change who may open the app."""
    if context.invoked_subcommand is None:
        context.invoke(show)


@access.command()
@app_option
@json_option
@with_session
def show(session: Session) -> None:
    """Show the mode and the grants."""
    _print(session, _read(session))


@access.command("set")
@click.argument("mode", type=click.Choice(MODES))
@app_option
@json_option
@with_session
def set_mode(session: Session, mode: str) -> None:
    """Open the app to everybody, to whoever is signed in, or only to those named."""
    _write(session, _read(session) | {"mode": mode})


@access.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@group_option
@app_option
@json_option
@with_session
def grant(session: Session, name: str, role: str, group: bool) -> None:
    """Let a person or a group in, or give them another role."""
    rule = _read(session)
    kind = "group" if group else "user"
    others = [item for item in rule["grants"] if (item["kind"], item["name"]) != (kind, name)]
    _write(session, rule | {"grants": [*others, {"kind": kind, "name": name, "role": role}]})


@access.command()
@click.argument("name")
@group_option
@app_option
@json_option
@with_session
def revoke(session: Session, name: str, group: bool) -> None:
    """Take a grant back."""
    rule = _read(session)
    kind = "group" if group else "user"
    others = [item for item in rule["grants"] if (item["kind"], item["name"]) != (kind, name)]
    if len(others) == len(rule["grants"]):
        raise Trouble(f"{name} has no grant on {session.app}: `moorage access` lists them")
    _write(session, rule | {"grants": others})


def _read(session: Session) -> dict[str, Any]:
    return session.client.get(app_path(session.app, "/access"))


def _write(session: Session, rule: dict[str, Any]) -> None:
    body = {"mode": rule["mode"], "grants": rule["grants"]}
    _print(session, session.client.put(app_path(session.app, "/access"), body) or rule)


def _print(session: Session, rule: dict[str, Any]) -> None:
    if session.output.as_json:
        session.output.record(rule)
        return
    click.echo(f"{session.app} is {rule['mode']}, owned by {rule['owner']}.")
    if rule["grants"]:
        session.output.table(rule["grants"], COLUMNS, "")
