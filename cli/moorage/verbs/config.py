"""Config vars: values that are no secrets."""

import re

import click

from moorage.client import app_path
from moorage.errors import Trouble
from moorage.session import Session, app_option, json_option, with_session

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@click.group(invoke_without_command=True)
@app_option
@json_option
@click.pass_context
def config(context: click.Context) -> None:
    """List, set and unset the app's config vars."""
    if context.invoked_subcommand is None:
        context.invoke(list_vars)


@config.command("list")
@app_option
@json_option
@with_session
def list_vars(session: Session) -> None:
    """List the app's config vars."""
    values = session.client.get(app_path(session.app, "/config"))
    if session.output.as_json:
        session.output.record(values)
    else:
        rows = [{"name": name, "value": values[name]} for name in sorted(values)]
        session.output.table(rows, {"name": "NAME", "value": "VALUE"}, "No config vars.")


@config.command()
@click.argument("name")
@app_option
@json_option
@with_session
def get(session: Session, name: str) -> None:
    """Print one value."""
    values = session.client.get(app_path(session.app, "/config"))
    if name not in values:
        raise Trouble(f"{session.app} has no config var {name}: `moorage config` lists them")
    session.output.done(values[name], {name: values[name]})


@config.command("set")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=VALUE...")
@app_option
@json_option
@with_session
def set_vars(session: Session, pairs: tuple[str, ...]) -> None:
    """Set config vars; the app goes over to them with no request failing."""
    change(session, "/config", dict(pair(text) for text in pairs))


@config.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@app_option
@json_option
@with_session
def unset(session: Session, names: tuple[str, ...]) -> None:
    """Take config vars away."""
    change(session, "/config", {check_name(name): None for name in names})


def change(session: Session, path: str, values: dict[str, str | None]) -> None:
    """Send changed values (`None` takes one away); only the names are printed."""
    session.client.patch(app_path(session.app, path), values)
    words = ", ".join(
        f"{name} {'unset' if value is None else 'set'}" for name, value in values.items()
    )
    session.output.done(f"{session.app}: {words}.", {"app": session.app, "names": list(values)})


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE in its two parts."""
    name, sign, value = text.partition("=")
    if not sign:
        # The text may be a value pasted by mistake: it is not repeated.
        raise click.BadParameter("each argument must be NAME=VALUE")
    return check_name(name), value


def check_name(name: str) -> str:
    """`name` when it can be that of an environment variable."""
    if NAME.fullmatch(name):
        return name
    raise click.BadParameter("a name is letters, digits and underscores, no digit first")
