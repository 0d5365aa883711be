"""run: a command of one's own beside the app."""

import re
import sys
from collections.abc import Iterable, Iterator

import click

from moorage.client import app_path
from moorage.errors import Trouble
from moorage.session import Session, app_option, json_option, with_session

LAST_LINE = re.compile(rb"exit-status: (-?[0-9]+)\n?")


class Ending:
    """The output of a command without its last line, which says how the command ended."""

    def __init__(self) -> None:
        self.status: int | None = None

    def outside(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The output, a line as soon as it is whole; `status` is set when it has ended."""
        held = b""
        for piece in pieces:
            held += piece
            start = held.rfind(b"\n", 0, -1) + 1
            ended = held.endswith(b"\n") and not LAST_LINE.fullmatch(held, start)
            sure = len(held) if ended else start
            if sure:
                yield held[:sure]
                held = held[sure:]
        if match := LAST_LINE.fullmatch(held):
            self.status = int(match[1])
        elif held:
            yield held


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@app_option
@json_option
@with_session
def run(session: Session, command: tuple[str, ...]) -> None:
    """Run a command with the app's code, config and secrets, and end with its exit status."""
    ending = Ending()
    output = bytearray()
    body = {"command": list(command)}
    with session.client.stream("POST", app_path(session.app, "/run"), json=body) as pieces:
        for piece in ending.outside(pieces):
            if session.output.as_json:
                output += piece
            else:
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
    if ending.status is None:
        raise Trouble("the platform ended the run before the command did: see `moorage logs`")
    if session.output.as_json:
        result = {"output": output.decode(errors="replace"), "exit_status": ending.status}
        session.output.done("", result)
    click.get_current_context().exit(ending.status & 0xFF)
