"""Processes by pid and start time: the pair names one process for good."""

import contextlib
import os
import signal
from pathlib import Path

import psutil


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


def descendants(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def send(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
