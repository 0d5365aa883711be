"""API tokens: for git on other machines, for CI, for programs."""

import click

from moorage.client import segment
from moorage.session import Session, json_option, with_session

COLUMNS = {
    "id": "ID",
    "name": "NAME",
    "scopes": "SCOPES",
    "created": "CREATED",
    "expires": "EXPIRES",
}
SCOPES = ("open", "read", "write", "all")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def tokens(context: click.Context) -> None:
    """List, create and revoke your API tokens."""
    if context.invoked_subcommand is None:
        context.invoke(list_tokens)


@tokens.command("list")
@json_option
@with_session
def list_tokens(session: Session) -> None:
    """List your tokens (never their values)."""
    session.output.table(session.client.get("/tokens"), COLUMNS, "No tokens.")


@tokens.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Default: all.")
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires; default: never.")
@json_option
@with_session
def create(session: Session, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Create a token; its value is printed once, on standard output."""
    wanted = {"name": name, "scopes": list(scopes) or ["all"], "days": days}
    made = session.client.post("/tokens", wanted)
    session.output.done(made["token"], made)


@tokens.command()
@click.argument("token_id", metavar="ID")
@json_option
@with_session
def revoke(session: Session, token_id: str) -> None:
    """End a token at once."""
    session.client.delete(f"/tokens/{segment(token_id)}")
    session.output.done(f"Revoked {token_id}.", {"id": token_id, "revoked": True})
