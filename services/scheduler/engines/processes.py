"""Processes by pid and start time: the pair names one process for good."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

SHELLS = ("sh", "dash", "bash", "ash")


def start_time(pid: int) -> str | None:
    """Clock ticks since boot at which a process started; None when it is gone (or a zombie).

    Field 22 of /proc/<pid>/stat (proc(5)), counted behind the command in parentheses.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def children(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children()
    return []


def descendants(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def is_waiting_shell(process: psutil.Process) -> bool:
    """Is it a shell that has something running?"""
    with contextlib.suppress(psutil.Error):
        return process.name() in SHELLS and bool(process.children())
    return False


def marked(variable: str) -> set[int]:
    """Processes whose environment began with `variable` ("NAME=value") in it, our own excepted."""
    wanted = variable.encode()
    found: set[int] = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
