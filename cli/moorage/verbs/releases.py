"""Releases of an app and the way back."""

import re

import click

from moorage.client import app_path
from moorage.session import Session, app_option, json_option, with_session

COLUMNS = {
    "release": "RELEASE",
    "state": "STATE",
    "reason": "REASON",
    "commit": "COMMIT",
    "actor": "BY",
    "created_at": "CREATED",
}


@click.command()
@app_option
@json_option
@with_session
def releases(session: Session) -> None:
    """List the app's releases, newest first."""
    listed = session.client.get(app_path(session.app, "/releases"))
    if not session.output.as_json:
        listed = [
            row | {"release": f"v{row['release']}", "commit": (row.get("commit") or "")[:10]}
            for row in listed
        ]
    session.output.table(listed, COLUMNS, "No releases yet.")


@click.command()
@click.argument("release", required=False, metavar="[vN]")
@app_option
@json_option
@with_session
def rollback(session: Session, release: str | None) -> None:
    """Go back to an earlier release (the one before, when none is named) without a build."""
    number = _number(release) if release else None
    answer = session.client.post(app_path(session.app, "/rollback"), {"release": number})
    sentence = f"{session.app} goes back to v{answer['rolled_back_to']} as v{answer['release']}."
    session.output.done(sentence, {"app": session.app} | answer)


def _number(text: str) -> int:
    match = re.fullmatch(r"v?([1-9][0-9]{0,8})", text)
    if not match:
        raise click.BadParameter(f"{text!r} is not a release, such as v3")
    return int(match[1])
