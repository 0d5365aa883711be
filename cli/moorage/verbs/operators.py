"""What operators look at: status, events."""

import json
from typing import Any

import click

from moorage.session import Session, json_option, with_session

SERVICES = {
    "service": "SERVICE",
    "instance": "INSTANCE",
    "state": "STATE",
    "address": "ADDRESS",
    "since": "SINCE",
}
EVENTS = {"time": "TIME", "type": "TYPE", "app": "APP", "actor": "BY", "data": "DATA"}


@click.command()
@json_option
@with_session
def status(session: Session) -> None:
    """Show the processes of the platform."""
    session.output.table(
        session.client.get("/status"), SERVICES, "No process of the platform reports."
    )


@click.command()
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@with_session
def events(session: Session, limit: int) -> None:
    """List what happened last on the platform."""
    listed: list[dict[str, Any]] = session.client.get("/events", limit=limit)
    if not session.output.as_json:
        listed = [row | {"data": json.dumps(row.get("data"), ensure_ascii=False)} for row in listed]
    session.output.table(listed, EVENTS, "Nothing has happened yet.")
