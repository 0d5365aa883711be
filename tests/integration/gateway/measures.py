"""What a process takes of its machine at the moment, as proc(5) says it."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

MEGABYTE = 1 << 20
_TICKS = os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes, with its share of what it has in common with others (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no PSS is told")


def descriptors(pid: int) -> set[int]:
    """The numbers of its open files and sockets."""
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def busy_seconds(pid: int) -> float:
    """Processor time so far, its own and the kernel's for it."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


async def steady(value: Callable[[], int], still: float = 0.6, seconds: float = 30.0) -> int:
    """Wait until a value has not changed for `still` seconds, and return it."""
    end = time.monotonic() + seconds
    last, since = value(), time.monotonic()
    while time.monotonic() - since < still:
        assert time.monotonic() < end, "it never stood still"
        await asyncio.sleep(0.05)
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last
