"""People of the platform, for administrators."""

import click

from moorage.client import segment
from moorage.prompts import ask_secret
from moorage.session import Session, json_option, with_session

COLUMNS = {
    "user": "USER",
    "name": "NAME",
    "email": "EMAIL",
    "role": "ROLE",
    "groups": "GROUPS",
    "active": "ACTIVE",
}
ROLES = ("admin", "developer", "viewer")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def users(context: click.Context) -> None:
    """List and manage people."""
    if context.invoked_subcommand is None:
        context.invoke(list_users)


@users.command("list")
@json_option
@with_session
def list_users(session: Session) -> None:
    """List people."""
    session.output.table(session.client.get("/users"), COLUMNS, "Nobody.")


@users.command()
@click.argument("user")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@click.option("--email", default="")
@click.option("--name", default="", help="The name people read.")
@click.option("--group", "groups", multiple=True)
@json_option
@with_session
def add(
    session: Session, user: str, role: str, email: str, name: str, groups: tuple[str, ...]
) -> None:
    """Add a person; the first password is asked for, or read from standard input."""
    person = {"user": user, "role": role, "email": email, "name": name, "groups": list(groups)}
    session.client.post("/users", person | {"password": ask_secret("Password", confirm=True)})
    session.output.done(f"Added {user}.", person)


@users.command()
@click.argument("user")
@json_option
@with_session
def disable(session: Session, user: str) -> None:
    """Shut a person out at once: sessions and tokens included."""
    session.client.patch(f"/users/{segment(user)}", {"active": False})
    session.output.done(f"Disabled {user}.", {"user": user, "active": False})


@users.command()
@click.argument("user")
@json_option
@with_session
def password(session: Session, user: str) -> None:
    """Set a person's password."""
    session.client.patch(
        f"/users/{segment(user)}", {"password": ask_secret("Password", confirm=True)}
    )
    session.output.done(f"Set the password of {user}.", {"user": user})
