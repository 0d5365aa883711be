"""The logs of instances: one file each, which its processes append to and we keep small."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

LARGEST_BYTES = 10 * 1024 * 1024
FOLLOW_SECONDS = 0.2
LONGEST_LINE = 64 * 1024


def tail(path: Path, count: int) -> tuple[list[str], int]:
    """The last `count` lines of a file and the position behind them."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = end
            data = b""
            while start > 0 and data.count(b"\n") <= count and len(data) < LARGEST_BYTES:
                step = min(64 * 1024, start)
                start -= step
                file.seek(start)
                data = file.read(step) + data
    except FileNotFoundError:
        return [], 0
    lines = data.decode(errors="replace").splitlines()
    return (lines[-count:] if count else []), end


async def follow(path: Path, position: int) -> AsyncIterator[str]:
    """Every line written after `position`, for ever; a file that was cut is read from its start."""
    rest = b""
    while True:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < position:
            position, rest = 0, b""
        if size > position:
            with path.open("rb") as file:
                file.seek(position)
                chunk = file.read(1024 * 1024)
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace").rstrip("\r")
            if len(rest) > LONGEST_LINE:
                yield rest.decode(errors="replace")
                rest = b""
        else:
            await asyncio.sleep(FOLLOW_SECONDS)


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Every line of a stream; one that is too long comes in pieces."""
    rest = b""
    while chunk := await stream.read(LONGEST_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
        if len(rest) > LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace").rstrip("\r")


def trim(path: Path, largest: int = LARGEST_BYTES) -> bool:
    """Cut a log that has grown too large, keeping its newest half as `<name>.1`.

    Its processes append, so what they write after the cut begins at the start of the file.
    """
    size = path.stat().st_size
    if size <= largest:
        return False
    with path.open("rb") as file:
        file.seek(size - largest // 2)
        path.with_name(path.name + ".1").write_bytes(file.read())
    os.truncate(path, 0)
    return True
