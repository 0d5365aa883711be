"""Child processes of a build: lines streamed, time and memory limited, none left over."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shared.errors import Invalid

OnLine = Callable[[str], None]
CHUNK = 65536
LONGEST_LINE = 4000


async def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    on_line: OnLine,
    timeout: float,
    cwd: Path | None = None,
    memory_mb: int | None = None,
) -> int:
    """Run `command` to its end and return its exit status; both its outputs go to `on_line`.

    The whole group of processes is killed on cancellation and when `timeout` (seconds) has passed;
    the latter raises `Invalid`. `memory_mb` limits the address space of each process.
    """
    child = await asyncio.create_subprocess_exec(
        *limited(command, memory_mb),
        env=dict(env),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout
    try:
        async with asyncio.timeout(timeout):
            await _read_lines(child.stdout, on_line)
            return await child.wait()
    except TimeoutError as error:
        raise Invalid(
            f"The build did not finish within {timeout / 60:.0f} minutes and was ended; "
            "take something out of the requirements, or pin versions that have wheels."
        ) from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await asyncio.shield(child.wait())


def limited(command: Sequence[str], memory_mb: int | None) -> list[str]:
    """`command` behind a shell that limits its address space; a shell is everywhere."""
    if memory_mb is None:
        return list(command)
    return ["/bin/sh", "-c", 'ulimit -v "$0" && exec "$@"', str(memory_mb * 1024), *command]


async def _read_lines(stream: asyncio.StreamReader, on_line: OnLine) -> None:
    pending = b""
    while chunk := await stream.read(CHUNK):
        *lines, pending = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            _hand_on(line, on_line)
        if len(pending) > LONGEST_LINE:
            _hand_on(pending, on_line)
            pending = b""
    _hand_on(pending, on_line)


def _hand_on(line: bytes, on_line: OnLine) -> None:
    if text := line.decode(errors="replace").rstrip():
        on_line(text[:LONGEST_LINE])
