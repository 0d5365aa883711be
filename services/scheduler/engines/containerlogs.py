"""What a container says, as lines, from the log that the engine keeps of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from aiodocker import DockerError

from shared.docker.client import in_our_words
from shared.errors import NotFound

LONGEST_LINE = 64 * 1024
AGAIN_SECONDS = 0.5
ENTRY_BYTES = 16 * 1024
"""The engine cuts longer lines into entries of this size (daemon/logger/copier.go)."""


class Lines:
    """Joins pieces to lines; one that is too long comes in parts."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, piece: str) -> list[str]:
        *lines, self._rest = (self._rest + piece).split("\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = ""
        return [line.rstrip("\r") for line in lines]

    def end(self) -> list[str]:
        rest, self._rest = self._rest, ""
        return [rest.rstrip("\r")] if rest else []


async def last(container: Any, count: int) -> list[str]:
    """The last lines of a container; none when it is gone."""
    found = [line async for line, _ in _entries(container, tail=count, follow=False)]
    return found[-count:] if count else []


async def follow(container: Any, count: int) -> AsyncIterator[str]:
    """The last lines, and those that come after them, for ever.

    The engine ends its answer with the container; another may be begun in its place.
    """
    options: dict[str, Any] = {"tail": count}
    while True:
        async for line, since in _entries(container, follow=True, **options):
            yield line
            options = {"since": since}
        await asyncio.sleep(AGAIN_SECONDS)


async def _entries(container: Any, **options: Any) -> AsyncIterator[tuple[str, str]]:
    """Lines, each with the moment from which on the engine has others."""
    lines, moment = Lines(), "0"
    try:
        with in_our_words():
            if not options["follow"]:
                pieces = await container.log(stdout=True, stderr=True, timestamps=True, **options)
                for piece in pieces:
                    moment, text = _parted(piece, moment)
                    for line in lines.feed(text):
                        yield line, moment
            else:
                async for piece in container.log(
                    stdout=True, stderr=True, timestamps=True, **options
                ):
                    moment, text = _parted(piece, moment)
                    for line in lines.feed(text):
                        yield line, moment
    except (NotFound, DockerError):
        pass
    for line in lines.end():
        yield line, moment


def _parted(piece: str, moment: str) -> tuple[str, str]:
    """The moment after an entry, in seconds since 1970 as the engine wants it, and its text."""
    stamp, space, text = piece.partition(" ")
    if not space:
        return moment, piece
    try:
        return _after(stamp), text
    except ValueError:
        return moment, piece


def _after(stamp: str) -> str:
    """One nanosecond after a time of RFC 3339 with nine decimals, as SECONDS.NANOSECONDS."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    began = datetime.fromisoformat(f"{whole}+00:00")
    nanoseconds = int(fraction.ljust(9, "0")) + 1
    began += timedelta(seconds=nanoseconds // 1_000_000_000)
    return f"{int(began.timestamp())}.{nanoseconds % 1_000_000_000:09d}"
