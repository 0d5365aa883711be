"""logs: what the app prints."""

import codecs
from collections.abc import Iterable, Iterator

import click

from moorage.client import app_path
from moorage.errors import Trouble
from moorage.session import Session, app_option, json_option, with_session


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0, 10_000),
    default=100,
    show_default=True,
    help="How many of each instance.",
)
@click.option("--process", "-p", metavar="TYPE", help="Only one process type, such as web.")
@app_option
@json_option
@with_session
def logs(session: Session, follow: bool, lines: int, process: str | None) -> None:
    """Print the last lines of the app's log."""
    query: dict[str, str | int] = {"lines": lines}
    if follow:
        query["follow"] = 1
    if process:
        query["process"] = process
    with session.client.stream("GET", app_path(session.app, "/logs"), params=query) as pieces:
        try:
            for line in whole_lines(pieces):
                session.output.line({"line": line}, line)
        except KeyboardInterrupt:
            return
    if follow:
        raise Trouble("the platform ended the log: run `moorage logs -f` again")


def whole_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines of UTF-8 text that comes in pieces cut anywhere."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + decode(piece)).split("\n")
        yield from lines
    if rest:
        yield rest
