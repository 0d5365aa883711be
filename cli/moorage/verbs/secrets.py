"""Secrets: values the platform takes and never shows again."""

import sys

import click

from moorage.client import app_path
from moorage.errors import Trouble
from moorage.session import Session, app_option, json_option, with_session
from moorage.verbs.config import change, check_name, pair


@click.group(invoke_without_command=True)
@app_option
@json_option
@click.pass_context
def secrets(context: click.Context) -> None:
    """List, set and unset the app's secrets."""
    if context.invoked_subcommand is None:
        context.invoke(list_names)


@secrets.command("list")
@app_option
@json_option
@with_session
def list_names(session: Session) -> None:
    """List the names; nobody can read the values back."""
    names = session.client.get(app_path(session.app, "/secrets"))
    session.output.table([{"name": name} for name in names], {"name": "NAME"}, "No secrets.")


@secrets.command("set")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=VALUE|NAME=-...")
@app_option
@json_option
@with_session
def set_secrets(session: Session, pairs: tuple[str, ...]) -> None:
    """Set secrets. NAME=- reads the value from standard input: it stays out of the history."""
    values: dict[str, str | None] = dict(pair(text) for text in pairs)
    asked = [name for name, value in values.items() if value == "-"]
    if len(asked) > 1:
        raise click.UsageError("only one value can come from standard input")
    for name in asked:
        values[name] = _value(name)
    change(session, "/secrets", values)


@secrets.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@app_option
@json_option
@with_session
def unset(session: Session, names: tuple[str, ...]) -> None:
    """Take secrets away."""
    change(session, "/secrets", {check_name(name): None for name in names})


def _value(name: str) -> str:
    if sys.stdin.isatty():
        return click.prompt(name, hide_input=True, err=True)
    try:
        value = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise Trouble("a secret must be text: encode binary values, as base64 does") from error
    if not value:
        raise Trouble(f"standard input holds no value for {name}")
    return value.removesuffix("\n").removesuffix("\r")
