"""Events a service could not handle."""

import click

from moorage.client import segment
from moorage.session import Session, json_option, with_session

COLUMNS = {
    "id": "ID",
    "service": "SERVICE",
    "type": "TYPE",
    "app": "APP",
    "reason": "REASON",
    "attempts": "ATTEMPTS",
}


@click.group("dead-letters", invoke_without_command=True)
@json_option
@click.pass_context
def dead_letters(context: click.Context) -> None:
    """List, replay and drop the events a service gave up on."""
    if context.invoked_subcommand is None:
        context.invoke(list_letters)


@dead_letters.command("list")
@json_option
@with_session
def list_letters(session: Session) -> None:
    """List dead letters and why they are dead."""
    session.output.table(session.client.get("/dead-letters"), COLUMNS, "No dead letters.")


@dead_letters.command()
@click.argument("letter", metavar="ID")
@json_option
@with_session
def replay(session: Session, letter: str) -> None:
    """Give an event to its service once more."""
    session.client.post(f"/dead-letters/{segment(letter)}/replay")
    session.output.done(f"Replayed {letter}.", {"id": letter, "replayed": True})


@dead_letters.command()
@click.argument("letter", metavar="ID")
@json_option
@with_session
def drop(session: Session, letter: str) -> None:
    """Throw an event away."""
    session.client.delete(f"/dead-letters/{segment(letter)}")
    session.output.done(f"Dropped {letter}.", {"id": letter, "dropped": True})
