"""What runs: ps, scale, restart."""

import re

import click

from moorage.client import app_path
from moorage.session import Session, app_option, json_option, with_session

COLUMNS = {
    "instance": "INSTANCE",
    "process_type": "PROCESS",
    "state": "STATE",
    "release": "RELEASE",
    "started_at": "STARTED",
    "restarts": "RESTARTS",
    "memory": "MEMORY",
}
COUNT = re.compile(r"([a-z][a-z0-9_-]*)=([0-9]{1,3})")


@click.command()
@app_option
@json_option
@with_session
def ps(session: Session) -> None:
    """List the app's instances."""
    listed = session.client.get(app_path(session.app, "/instances"))
    if not session.output.as_json:
        listed = [row | {"memory": _megabytes(row.get("memory_bytes"))} for row in listed]
    session.output.table(listed, COLUMNS, f"Nothing of {session.app} runs.")


@click.command()
@click.argument("counts", nargs=-1, metavar="[TYPE=COUNT]...")
@app_option
@json_option
@with_session
def scale(session: Session, counts: tuple[str, ...]) -> None:
    """Show or set how many instances of each process type run: scale web=3."""
    path = app_path(session.app, "/scale")
    wanted = dict(_count(text) for text in counts)
    formation = session.client.post(path, wanted) if wanted else session.client.get(path)
    session.output.record(formation or wanted)


@click.command()
@app_option
@json_option
@with_session
def restart(session: Session) -> None:
    """Start every instance anew, with no request failing meanwhile."""
    session.client.post(app_path(session.app, "/restart"))
    session.output.done(f"Restarting {session.app}.", {"app": session.app, "restarting": True})


def _megabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 1_000_000:.0f} MB"


def _count(text: str) -> tuple[str, int]:
    match = COUNT.fullmatch(text)
    if not match:
        raise click.BadParameter(f"{text!r} is not TYPE=COUNT, such as web=3")
    return match[1], int(match[2])
